"""Damaged states of samplers and streams: refused in one line, with nothing loaded, or another place."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damaged_states import check_refusals
from samplers import ROOT, curriculum, manifest, sampler

from syllabus.trainer import Curriculum, ManifestSampler, ManifestStream, TrainerError
from syllabus.trainer.data.intervals import left


def test_of_a_sampler_only_places_are_loaded():
    one = sampler(curriculum())
    one.set_epoch(2)
    iterator = iter(one)
    for _ in range(7):
        next(iterator)
    taken = check_refusals(one, one.state_dict())
    assert taken == []  # none of the values tried is an epoch or a position of it


def test_an_iterator_refuses_what_its_sampler_does():
    one = sampler(curriculum())
    iterator = iter(one)
    state = iterator.state_dict()
    for wrong in (None, [], {}, {**state, "epoch": "1"}, {**state, "global_examples": 0.5}):
        with pytest.raises(TrainerError, match="load_state_dict: "):
            iterator.load_state_dict(wrong)
    assert len(list(iterator)) == len(one)


def test_there_is_nothing_after_the_last_epoch():
    one = sampler(curriculum())
    one.load_state_dict({**one.state_dict(), "epoch": 6})
    with pytest.raises(TrainerError, match=r"global_examples=3 is outside \[0, 1\)"):
        one.load_state_dict({**one.state_dict(), "epoch": 6, "global_examples": 3})


def test_a_loaders_state_may_be_deep_circular_or_of_anything():
    one = sampler(curriculum())
    state = one.state_dict()
    deep: dict = {"state": state}
    for _ in range(5000):
        deep = {"inside": deep}
    deep["itself"] = deep
    one.load_state_dict(deep)
    for wrong, line in (
        ({"_steps_since_snapshot": "3"}, "_steps_since_snapshot='3' is a str"),
        ({"a": {"b": [1, 2]}}, "there is no state of a ManifestSampler inside"),
        ({"a": state, "b": {**state, "epoch": 1}}, "states of several ManifestSamplers inside"),
        (3, "the state is a int; expected a dict"),
    ):
        with pytest.raises(TrainerError, match=line):
            one.load_state_dict(wrong)


@pytest.fixture(scope="module")
def source() -> Path:
    path = Path(tempfile.mkdtemp(dir=ROOT.name), "part-0.parquet")
    rows = manifest().source_rows
    pq.write_table(pa.table({"row": np.arange(rows)}), path, row_group_size=9)
    return path


def stream(source: Path, monkeypatch, **options) -> ManifestStream:
    names, starts, lasts = [source.name], [0], [manifest().source_rows - 1]
    monkeypatch.setattr("syllabus.trainer.data.row_groups._files", lambda _manifest: (names, starts, lasts))
    return ManifestStream(curriculum(), source, **options)


def test_of_a_stream_only_places_are_loaded(source, monkeypatch):
    one = stream(source, monkeypatch)
    rows = iter(one)
    for _ in range(7):
        next(rows)
    state = one.state_dict()
    one.load_state_dict({**state, "history": [[2, 3]], "ranks": 3, "given": 2})
    taken = check_refusals(one, {**one.state_dict(), "given": 0})
    # Fewer rows given before, or other ranks and workers that have given none yet.
    legal = (
        "('history',): []",
        "('history', 0): 'taken out'",
        "('history', 1): 'taken out'",
        "('history',): 'resized'",
    )
    assert [name for name in taken if name not in legal and not name.endswith("tensor(7777)")] == []


def test_of_a_stream_rows_that_no_epoch_has_are_refused_at_once(source, monkeypatch):
    one = stream(source, monkeypatch)
    state = one.state_dict()
    started = time.process_time()
    for change, line in (
        ({"given": 26}, "given=26 of the 25 rows of 1 workers"),
        ({"ended": True}, "ended, with given=0 of the 25 rows of 1 workers"),
        ({"history": [[2, 14]]}, "history: 14 rows were given by each of 2 ranks, which had 13"),
        ({"history": [[2, 10], [1, 6]]}, "history: 6 rows were given by each of 1 ranks, which had 5"),
        ({"history": [[10**12, 1]]}, r"history\[0\]\[0\]=1000000000000 is outside \[1, 65536\]"),
        ({"history": [[65536, 1]] * 1000}, "history: 1 rows were given by each of 65536 ranks, which had 0"),
        ({"history": [[2, 0]]}, r"history\[0\]\[1\]=0 is outside"),
        ({"epoch": 6, "given": 1}, "given=1 of the 0 rows"),
        ({"epoch": 7}, r"epoch=7 is outside \[0, epochs=6\]"),
        ({"epoch": 6, "ended": True}, "epoch=6 has ended, and there are no more of them"),
        ({"version": 1, "ranks": 2}, "version is 1 in the state and 2 here"),
    ):
        with pytest.raises(TrainerError, match=line):
            one.load_state_dict({**state, **change})
        assert one.state_dict() == state
    assert time.process_time() - started < 5
    with pytest.raises(TrainerError, match="states of several ManifestStreams inside"):
        one.load_state_dict({"a": state, "b": {**state, "epoch": 1}})


def test_what_is_left_of_many_ranks_is_found_in_linear_time():
    count, rest = 300_000, [(0, 300_000)]
    started = time.process_time()
    for _ in range(3):
        rest = left(rest, [(20_000, 2)], count, False)
    assert time.process_time() - started < 5
    assert sum(stop - start for start, stop in rest) == count - 3 * 2 * 20_000


def test_two_functions_of_one_name_are_told_apart():
    def made(first: int) -> Curriculum:
        return Curriculum(manifest(), 0.4, 6, lambda c, _epoch: c.examples[first : first + 25], seed=0)

    one, other = made(0), made(5)
    state = ManifestSampler(one).state_dict()
    assert one.schedule == other.schedule == "<lambda>"
    with pytest.raises(TrainerError, match=r"drawn is '[0-9a-f]{16}' in the state and '[0-9a-f]{16}' here"):
        ManifestSampler(other).load_state_dict(state)
    ManifestSampler(made(0)).load_state_dict(state)
    del state["drawn"]  # of before there was such an entry
    ManifestSampler(other).load_state_dict(state)


def test_a_schedule_may_know_its_later_epochs_only_by_then_and_gain_some():
    scores = {0: 0.0}

    def mine(one, epoch):
        return one.examples[int(scores[epoch]) :][:25]

    state = ManifestSampler(Curriculum(manifest(), 0.4, 2, mine, seed=0)).state_dict(3)
    ManifestSampler(Curriculum(manifest(), 0.4, 4, mine, seed=0)).load_state_dict(state)
