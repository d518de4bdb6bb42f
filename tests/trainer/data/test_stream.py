"""The stream: exactly the epoch's rows, from the row groups that hold them, dealt out."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from curricula import quiet
from hypothesis import given, settings
from hypothesis import strategies as st
from small_manifest import write_small_manifest
from torch.utils.data import DataLoader

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, GraB, ManifestSampler, ManifestStream, TrainerError
from syllabus.trainer.data.intervals import even, left, length, share
from syllabus.trainer.data.row_groups import RowGroups

ROOT = tempfile.TemporaryDirectory(prefix="syllabus-stream-")
N, SPLIT, GROUP = 118, 53, 9  # 120 source rows in two files


@cache
def made() -> tuple[Manifest, str]:
    """A manifest, and the folder of Parquet files that it could have been made from."""
    folder = Path(tempfile.mkdtemp(dir=ROOT.name))
    small = write_small_manifest(folder / "m", n=N, fractions=(0.3,), split=SPLIT)
    (folder / "s" / "a").mkdir(parents=True)
    rows = pa.table({"row": np.arange(120), "text": [f"row {i}" for i in range(120)]})
    pq.write_table(rows.slice(0, SPLIT), folder / "s" / "a" / "one.parquet", row_group_size=GROUP)
    pq.write_table(rows.slice(SPLIT), folder / "s" / "two.parquet", row_group_size=GROUP)
    return small, str(folder / "s")


def curriculum(fraction: float = 0.3, schedule: str = "fresh") -> Curriculum:
    return quiet(made()[0], fraction, 6, schedule, seed=0)


def stream(*arguments, fraction: float = 0.3, **options) -> ManifestStream:
    return ManifestStream(curriculum(fraction), made()[1], *arguments, **{"window": 3, **options})


def numbers(rows) -> list[int]:
    return [row["row"] for row in rows]


def team(world: int, **options) -> list[ManifestStream]:
    return [stream(num_replicas=world, rank=rank, **options) for rank in range(world)]


# Shares


@settings(deadline=None, max_examples=200, derandomize=True)
@given(
    st.integers(1, 40), st.lists(st.tuples(st.integers(1, 5), st.integers(0, 9)), max_size=4), st.booleans()
)
def test_shares_and_what_is_left_of_them_follow_the_definition(k, history, drop_last):
    positions, cut = list(range(k)), [(0, k)]
    for parts, given_out in history:
        size = len(positions) // parts if drop_last else -(-len(positions) // parts)
        whole = [*positions, *range(k, k + parts)][: size * parts]
        shares = [whole[part * size : (part + 1) * size] for part in range(parts)]
        for part, expected in enumerate(shares):
            found = share(even(cut, parts, k, drop_last), parts, part)
            assert [p for a, b in found for p in range(a, b)] == expected
            workers = [share(found, 3, worker) for worker in range(3)]
            assert [p for each in workers for a, b in each for p in range(a, b)] == expected
            assert max(map(length, workers)) - min(map(length, workers)) <= 1
        positions = [p for each in shares for p in each[given_out:] if p < k]
        cut = left(cut, [(parts, given_out)], k, drop_last)
        assert [p for a, b in cut for p in range(a, b)] == positions
    assert left([(0, k)], history, k, drop_last) == cut
    assert length(cut) == len(positions)


# One epoch


@pytest.mark.parametrize("order", ["shuffle", "sequential"])
@pytest.mark.parametrize("fraction", [0.02, 0.3, 1.0])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_an_epoch_is_the_curriculums_each_row_once(order, fraction, world):
    for epoch in (0, 4):
        parts = team(world, order=order, fraction=fraction)
        for one in parts:
            one.set_epoch(epoch)
        ranks = [numbers(one) for one in parts]
        together = [row for rows in ranks for row in rows]
        assert len(set(map(len, ranks))) == 1
        count = len(curriculum(fraction))
        assert parts[0].padding == len(together) - count == -count % world
        assert [together[place] for place in range(count, len(together))] == together[: parts[0].padding]
        together = together[:count]
        assert sorted(together) == curriculum(fraction).indices(epoch).tolist()
        if order == "sequential":
            assert together == sorted(together)


def test_drop_last_makes_ranks_equal_and_counts_what_it_leaves_out():
    parts = team(3, drop_last=True, fraction=1.0)
    ranks = [numbers(one) for one in parts]
    assert {len(rows) for rows in ranks} == {N // 3}
    assert len({row for rows in ranks for row in rows}) == N - 1
    assert parts[0].dropped == N % 3 == 1


def test_the_order_differs_between_epochs_and_seeds_and_mixes_row_groups():
    one = stream(fraction=1.0)
    epochs = []
    for epoch in (0, 1):
        one.set_epoch(epoch)
        epochs.append(numbers(one))
    assert epochs[0] != epochs[1]
    assert numbers(stream(fraction=1.0)) == epochs[0]
    assert numbers(stream(fraction=1.0, seed=9)) != epochs[0]
    groups = RowGroups(*made(), None)
    first = groups.of(np.array(epochs[0][: 2 * GROUP]))
    assert len(set(first.tolist())) == 3
    assert (np.diff(first) < 0).any()


def test_only_row_groups_with_wanted_rows_are_read_and_each_once(monkeypatch):
    read, seen = pq.ParquetFile.read_row_group, []

    def counted(file, group, **options):
        seen.append((file.metadata.num_rows, group))
        return read(file, group, **options)

    one = stream(["row"], fraction=0.02)
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    rows = numbers(one)
    needed = {(SPLIT, row // GROUP) if row < SPLIT else (120 - SPLIT, (row - SPLIT) // GROUP) for row in rows}
    assert len(seen) == len(set(seen))
    assert set(seen) == needed
    assert len(needed) <= len(rows) == 2


def test_a_streams_repr_is_one_line():
    expected = f"ManifestStream({curriculum()!r}, order='shuffle', window=3, rank=1 of 2, epoch=0)"
    assert repr(stream(num_replicas=2, rank=1)) == expected


def test_columns_are_those_asked_for():
    assert next(iter(stream(["text"]))).keys() == {"text"}
    row = next(iter(stream()))
    assert row["text"] == f"row {row['row']}"


# Workers


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_workers_of_a_loader_share_the_rows_and_follow_the_epoch(workers):
    one = stream(["row"])
    loader = DataLoader(one, batch_size=4, num_workers=workers, persistent_workers=workers > 0)
    for epoch in (0, 3):
        one.set_epoch(epoch)
        rows = [row for batch in loader for row in batch["row"].tolist()]
        assert sorted(rows) == curriculum().indices(epoch).tolist()


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize(("world", "workers"), [(3, 2), (2, 1), (4, 0), (5, 2)])
def test_every_rank_has_as_many_batches(world, workers, drop_last):
    for fraction in (0.02, 0.3, 1.0):
        if drop_last and len(curriculum(fraction)) < world:
            continue
        ranks = [
            len(list(DataLoader(one, batch_size=4, num_workers=workers)))
            for one in team(world, columns=["row"], fraction=fraction, drop_last=drop_last)
        ]
        assert len(set(ranks)) == 1 <= ranks[0]


def test_iterators_of_one_stream_do_not_disturb_each_other():
    one = stream()
    whole = numbers(one)
    first = iter(one)
    head = [next(first)["row"] for _ in range(5)]
    second = iter(one)
    middle = next(second)["row"]
    assert one.state_dict()["given"] == 1
    assert (head + numbers(first), [middle, *numbers(second)]) == (whole, whole)
    assert one.state_dict()["given"] == len(whole)


def test_an_iterator_that_has_given_nothing_is_of_the_epoch_named_since():
    one, early = stream(), stream()
    rows = iter(early)
    for each in (one, early):
        each.set_epoch(2)
    assert numbers(rows) == numbers(one)
    assert early.epoch == 2


def test_ranks_that_start_after_the_stream_are_an_error(monkeypatch):
    early, told = stream(), stream(num_replicas=1, rank=0)
    monkeypatch.setattr("syllabus.trainer.ranks.world_size", lambda: 2)
    for call in (lambda: early.set_epoch(0), lambda: next(iter(early))):
        with pytest.raises(
            TrainerError, match=r"ManifestStream: made for 1 rank\(s\), and torch.distributed has 2"
        ):
            call()
    told.set_epoch(0)
    assert numbers(told)


# Errors


@pytest.mark.parametrize("order", ["herding", "balance", "flip_flop", GraB()])
def test_orders_of_single_rows_are_refused(order):
    with pytest.raises(TrainerError, match="is not one of sequential, shuffle: rows read by row group"):
        stream(order=order)


def test_errors_name_what_is_wrong():
    with pytest.raises(TrainerError, match="window=0 is below 1"):
        stream(window=0)
    with pytest.raises(TrainerError, match=r"a/one.parquet: has no column 'picture'; it has row, text"):
        stream(["picture"])
    with pytest.raises(TrainerError, match=r"epoch=6 is outside \[0, epochs=6\)"):
        stream().set_epoch(6)
    state = stream().state_dict()
    with pytest.raises(TrainerError, match="window is 3 in the state and 5 here"):
        stream(window=5).load_state_dict(state)
    split = stream()
    split.load_state_dict({**state, "workers": 2, "given": 3})
    with pytest.raises(TrainerError, match=r"\(ranks, workers\) were \(1, 2\), here they are \(1, 1\)"):
        next(iter(split))


def test_a_source_with_other_rows_is_refused(tmp_path):
    with pytest.raises(TrainerError, match=r"a/one.parquet: cannot be read"):
        ManifestStream(curriculum(), tmp_path)
    (tmp_path / "a").mkdir()
    for rows in (SPLIT + 1, 20):
        pq.write_table(pa.table({"row": np.arange(rows)}), tmp_path / "a" / "one.parquet")
        with pytest.raises(TrainerError, match=rf"one.parquet: has {rows} rows, \d+ to 53 were numbered"):
            ManifestStream(curriculum(), tmp_path)
    # The name of a column is no UTF-8 any more.
    damaged = (tmp_path / "a" / "one.parquet").read_bytes().replace(b"row", b"r\xe4w")
    (tmp_path / "a" / "one.parquet").write_bytes(damaged)
    with pytest.raises(TrainerError, match=r"a/one.parquet: cannot be read: 'utf-8' codec"):
        ManifestStream(curriculum(), tmp_path)


def test_one_file_may_be_the_source(tmp_path):
    small = write_small_manifest(tmp_path / "m", n=30, fractions=(0.3,))
    pq.write_table(pa.table({"row": np.arange(32)}), tmp_path / "data.parquet", row_group_size=7)
    drawn = quiet(small, 0.3, 2, "fresh", seed=0)
    assert sorted(numbers(ManifestStream(drawn, tmp_path / "data.parquet"))) == sorted(ManifestSampler(drawn))
    # Another file in the same folder is not taken for it.
    pq.write_table(pa.table({"row": np.arange(32)}), tmp_path / "other.parquet", row_group_size=7)
    with pytest.raises(TrainerError, match=r"other.parquet: the manifest was made from data.parquet"):
        ManifestStream(drawn, tmp_path / "other.parquet")
