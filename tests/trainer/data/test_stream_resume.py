"""Resuming a stream: every position of an epoch, on other ranks and workers, and the end of an epoch."""

from __future__ import annotations

import itertools
import tempfile
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from curricula import quiet
from small_manifest import write_small_manifest
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from syllabus.trainer import Curriculum, ManifestStream, TrainerError

ROOT = tempfile.TemporaryDirectory(prefix="syllabus-stream-resume-")
N, EPOCH, BATCH = 37, 1, 2
WORLDS, WORKERS = (1, 2, 4), (0, 1, 2)


@cache
def curriculum(fraction: float = 0.3) -> Curriculum:
    """Of the epochs' 11 examples (or 1) in 8 row groups; three of them are a window."""
    folder = Path(ROOT.name)
    one = write_small_manifest(folder / "m", n=N, fractions=(0.3,), overwrite=True)
    pq.write_table(pa.table({"row": np.arange(N + 2)}), folder / "data.parquet", row_group_size=5)
    return quiet(one, fraction, 4, "fresh", seed=0)


def stream(fraction: float = 0.3, **options) -> ManifestStream:
    return ManifestStream(curriculum(fraction), Path(ROOT.name) / "data.parquet", window=3, **options)


@cache
def team(world: int, drop_last: bool = False) -> list[ManifestStream]:
    """The streams of all ranks; what follows sets their epoch or loads a state each time."""
    return [stream(num_replicas=world, rank=rank, drop_last=drop_last) for rank in range(world)]


def numbers(rows) -> list[int]:
    return [row["row"] for row in rows]


def rows_of(batches) -> list[int]:
    return [row for batch in batches for row in batch["row"].tolist()]


def begin(streams: list[ManifestStream], state: dict | None = None, epoch: int = EPOCH) -> None:
    for one in streams:
        one.set_epoch(0)  # forgets what was loaded before
        one.set_epoch(epoch)
        if state is not None:
            one.load_state_dict(state)


@cache
def states(world: int, drop_last: bool = False) -> list[tuple[list[int], list[list[int]], dict]]:
    """After each step of a run without workers: what all ranks used, what each had left, their state."""
    streams = team(world, drop_last)
    found = []
    # Up to the last step; in it some ranks have the epoch's first rows again.
    for given in range(len(curriculum()) // world):
        begin(streams)
        iterators = [iter(one) for one in streams]
        head = [next(rows)["row"] for rows in iterators for _ in range(given)]
        state, *others = [one.state_dict() for one in streams]
        assert all(other == state for other in others)
        found.append((head, [numbers(rows) for rows in iterators], state))
    return found


@pytest.mark.parametrize(("workers", "drop_last"), [(0, False), (0, True), (1, False), (2, False)])
@pytest.mark.parametrize(("before", "after"), [*itertools.product(WORLDS, WORLDS)])
def test_every_position_on_any_number_of_ranks_and_workers(before, after, workers, drop_last):
    whole = set(curriculum().indices(EPOCH).tolist())
    for head, left, state in states(before, drop_last):
        new = team(after, drop_last)
        begin(new, state)
        if workers:
            tail = [rows_of(DataLoader(one, BATCH, num_workers=workers)) for one in new]
        else:
            tail = [numbers(one) for one in new]
        rows = [*head, *itertools.chain(*tail)]
        assert len(set(map(len, tail))) == 1
        padding = 0 if drop_last else -(len(whole) - len(head)) % after
        assert len(rows) - padding == len(set(rows))
        assert set(rows) <= whole
        assert len(whole) - len(set(rows)) <= (before - 1 + after - 1 if drop_last else 0)
        if before == after and workers < 2:
            assert tail == left
        if not workers:  # It resumes once; then the epoch is whole again.
            again = [len(numbers(one)) for one in new]
            assert sum(again) == len(whole) - new[0].dropped + new[0].padding


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("world", WORLDS)
def test_every_position_of_a_stateful_loader(world, workers):
    def loader(rank: int) -> StatefulDataLoader:
        one = stream(num_replicas=world, rank=rank)
        one.set_epoch(EPOCH)
        return StatefulDataLoader(one, BATCH, num_workers=workers)

    seen, padding = [], stream(num_replicas=world, rank=0).padding
    for rank in range(world):
        first, batches, kept = loader(rank), [], []
        for batch in first:
            batches.append(batch["row"].tolist())
            kept.append(first.state_dict())
        for taken, state in enumerate(kept[:-1], start=1):
            again = loader(rank)
            again.load_state_dict(state)
            assert [batch["row"].tolist() for batch in again] == batches[taken:]
        seen += itertools.chain(*batches)
    assert len(seen) == len(curriculum()) + padding
    assert sorted(set(seen)) == curriculum().indices(EPOCH).tolist()


def test_a_chain_of_resumes_on_other_ranks_gives_every_row_once():
    state, seen = None, []
    for world, steps in [(2, 2), (4, 1), (1, 1), (2, 99)]:
        for one in team(world):
            begin([one], state)
            seen += numbers(itertools.islice(iter(one), steps))
            last = one.state_dict()
        state = last
    assert sorted(seen) == curriculum().indices(EPOCH).tolist()


def test_states_of_before_shares_were_even_go_on_where_nothing_has_changed():
    for world, drop_last, refused in [(1, False, False), (2, True, False), (2, False, True)]:
        _, left, state = states(world, drop_last)[3]
        first = team(world, drop_last)[0]
        old = {**state, "version": 1}
        if refused:
            with pytest.raises(TrainerError, match="version is 1 in the state and 2 here"):
                first.load_state_dict(old)
            continue
        begin([first], old)
        assert numbers(first) == left[0]


# The end of an epoch


def test_the_end_of_an_epoch_is_the_next_ones_beginning():
    one, other = stream(), stream()
    count = len(curriculum())
    rows = iter(one)
    numbers(itertools.islice(rows, count))
    other.load_state_dict(one.state_dict())  # the loop has not ended
    assert (other.epoch, numbers(other)) == (0, [])
    assert next(rows, None) is None
    other.load_state_dict(one.state_dict())
    assert other.epoch == 1
    assert sorted(numbers(other)) == curriculum().indices(1).tolist()


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("fraction", [1 / N, 0.3, 10 / N])
@pytest.mark.parametrize("workers", WORKERS)
def test_a_loader_goes_on_after_the_last_batch_and_after_the_end(workers, fraction, told):
    """Last batches short or not; of one row all workers but one have none; loops that count or ask."""

    def loader() -> tuple[ManifestStream, StatefulDataLoader]:
        one = stream(fraction)
        return one, StatefulDataLoader(one, BATCH, num_workers=workers, persistent_workers=workers > 1)

    epochs = [curriculum(fraction).indices(epoch).tolist() for epoch in range(4)]
    assert len(set(map(tuple, epochs))) == 4
    one, first = loader()
    one.set_epoch(1)
    states = [(1, 0, first.state_dict())]
    seen = []
    for batch in first:
        seen += batch["row"].tolist()
        states.append((1, len(seen), first.state_dict()))
    states.append((2, 0, first.state_dict()))
    for epoch, used, state in (states[0], *states[-2:]):
        one, again = loader()
        if told:
            one.load_state_dict(state)
            assert one.epoch == epoch
        again.load_state_dict(state)
        found = {1: seen[:used]}
        for later in range(epoch, 4):
            one.set_epoch(later)
            found[later] = found.get(later, []) + rows_of(again)
        assert [sorted(found[later]) for later in range(epoch, 4)] == epochs[epoch:]


def test_a_state_of_one_of_several_workers_is_not_another_numbers(monkeypatch):
    first = StatefulDataLoader(stream(), BATCH, num_workers=2)
    whole, *_ = [first.state_dict() for _ in first]
    inside = whole["_snapshot"]["_worker_snapshots"]["worker_0"]["dataset_state"]
    assert (inside["workers"], inside["given"]) == (2, 2)
    one = stream()
    for state in (whole, inside):
        one.load_state_dict(state)
        with pytest.raises(TrainerError, match=r"\(ranks, workers\) were \(1, 2\), here they are \(1, 1\)"):
            next(iter(one))
    with pytest.raises(TrainerError, match="there is no state of a ManifestStream inside"):
        one.load_state_dict({"_num_yielded": 2})
    one.load_state_dict(whole)
    worker = SimpleNamespace(num_workers=2, id=0)  # of a loader that the state was not loaded into
    monkeypatch.setattr("syllabus.trainer.data.stream.get_worker_info", lambda: worker)
    with pytest.raises(TrainerError, match="load it into the same loader"):
        next(iter(one))
