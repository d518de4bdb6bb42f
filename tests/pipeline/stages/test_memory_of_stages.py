"""What is held in one process beside the data: types, draws and pieces, against what they stand for."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syllabus.manifests.ids import RepetitionCheck
from syllabus.pipeline.options import Options
from syllabus.pipeline.runtime import allocation
from syllabus.pipeline.stages import transform
from syllabus.pipeline.stages.commit.context import Buckets
from syllabus.pipeline.stages.commit.importances import _merged_places
from syllabus.pipeline.stages.neighbours import evidence, stage
from syllabus.pipeline.stages.neighbours.coarse_quantizer import SAMPLE, _sample_rows
from syllabus.pipeline.stages.neighbours.cover import repeated_groups
from syllabus.pipeline.stages.neighbours.vectors import NeighbourSearch
from syllabus.pipeline.stages.regroup.buckets import kernel_bytes, kernel_rows
from syllabus.pipeline.stages.select.selecting import Selecting
from syllabus.pipeline.stages.transform import drawn, mix
from syllabus.selectors import FacilityLocation, herding
from syllabus.selectors.neighbours import TopK, nearest_quantiles
from syllabus.selectors.numerics.union_find import UnionFind


def peak(work: Callable[[], object]) -> int:
    """Return the most bytes that are allocated at once while `work` runs."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_kept_where_the_library_of_c_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def windows(_: object) -> None:
        raise TypeError("LoadLibrary() argument 1 must be str, not None")

    monkeypatch.setattr(allocation.ctypes, "CDLL", windows)
    before = allocation.pa.default_memory_pool().backend_name
    with allocation.freed_memory_returned():
        allocation.release_free_memory()
        assert allocation.pa.default_memory_pool().backend_name == "system"
    assert allocation.pa.default_memory_pool().backend_name == before


def test_a_job_leaves_the_process_its_own_allocation(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda *given: told.append(given))
    monkeypatch.setattr(allocation.ctypes, "CDLL", lambda _: library)
    before = allocation.pa.default_memory_pool().backend_name
    with allocation.freed_memory_returned():
        assert allocation.pa.default_memory_pool().backend_name == "system"
        assert told == [(-3, 8 << 20)]
    assert allocation.pa.default_memory_pool().backend_name == before
    assert told[1:] == [(-3, 32 << 20), (-1, 64 << 20)]


@given(memory=st.integers(2**20, 2**40))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_the_rows_whose_products_fit_are_the_most_that_do(memory: int) -> None:
    rows = kernel_rows(memory)
    assert kernel_bytes(rows) <= memory < kernel_bytes(rows + 1)


def test_nothing_fits_where_there_is_no_room_for_a_block() -> None:
    assert kernel_rows(0) == kernel_rows(2**20) == 0


@pytest.mark.parametrize("greatest", [False, True])
@pytest.mark.parametrize("given_index", [False, True])
def test_a_draw_is_the_beginning_of_a_sort(
    greatest: bool, given_index: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transform, "DRAWN_ROWS", 37)
    index = np.arange(500, dtype=np.int32) * 3 + 1 if given_index else None
    numbers = mix((np.arange(500) if index is None else index).astype(np.uint64), 5)
    order = np.argsort(numbers)[:: -1 if greatest else 1]
    for most in (0, 1, 36, 37, 200, 500, 600):
        found = drawn(500, most, 5, index, greatest)
        assert found.tolist() == order[:most].tolist()


def test_a_draw_holds_a_block_whatever_the_number_of_rows() -> None:
    drawn(1000, 10, 0)
    assert peak(lambda: drawn(3_000_000, 1000, 0)) < 10_000_000


def test_repeated_groups_are_those_of_two_or_more() -> None:
    groups = np.random.default_rng(0).integers(0, 300, 500).astype(np.int32)
    groups = np.array([int(np.flatnonzero(groups == each)[0]) for each in groups], np.int32)
    found = repeated_groups(groups)
    sizes = np.bincount(groups, minlength=500)
    assert found.firsts.tolist() == np.flatnonzero(sizes > 1).tolist()
    assert found.sizes.tolist() == sizes[sizes > 1].tolist()
    assert found.members.tolist() == (sizes[groups] > 1).tolist()
    assert len(repeated_groups(np.arange(4)).firsts) == 0


def test_union_find_takes_four_bytes_an_id() -> None:
    found = UnionFind(1000)
    found.union(np.array([7, 9, 999]), np.array([5, 7, 998]))
    assert found.roots().dtype == np.int32
    others, roots = found.pairs()
    assert (others.tolist(), roots.tolist()) == ([7, 9, 999], [5, 5, 998])
    assert others.dtype == roots.dtype == np.int64


def test_rankings_of_buckets_go_by_rank_and_bucket() -> None:
    sizes = {(0, 0): 3, (0, 1): 1, (0, 2): 5, (0, 3): 3}
    found = {bucket: places.tolist() for bucket, places in _merged_places(list(sizes), Buckets(sizes, sizes))}
    ranked = sorted((rank, bucket) for bucket, size in sizes.items() for rank in range(size))
    for bucket, size in sizes.items():
        assert found[bucket] == [ranked.index((rank, bucket)) for rank in range(size)]


@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=6),
    rows=st.integers(1, 50),
    seed=st.integers(0, 99),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_orders_are_joined_in_pieces_as_they_are_at_once(sizes: list[int], rows: int, seed: int) -> None:
    orders = np.split(np.random.default_rng(seed).permutation(sum(sizes)), np.cumsum(sizes)[:-1])
    joined: list[int] = []
    for bounds, order in herding.interleaved(sizes, rows):
        taken = [each[first:stop] for each, (first, stop) in zip(orders, bounds, strict=True)]
        joined += np.concatenate(taken)[order].tolist()
    assert joined == herding.interleave(orders).tolist()


def test_neighbours_are_looked_at_a_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "PIECE_ROWS", 7)
    ids = np.arange(40).reshape(20, 2)
    pieces = list(stage._pieces(np.arange(20)[::-1], TopK(ids, ids / 50)))
    assert [len(positions) for positions, _ in pieces] == [7, 7, 6]
    assert np.concatenate([nearest.ids for _, nearest in pieces]).tolist() == ids.tolist()
    every = np.quantile(ids[:, 0] / 50, (0.05, 0.25, 0.5, 0.75, 0.95))
    assert nearest_quantiles(pieces, 20) == tuple(every.tolist())


def test_only_so_many_pairs_of_a_group_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "MOST_OF_GROUP", 3)
    groups = np.array([0, 1, 0, 0, 1, 0, 6, 0], np.int32)
    listed = evidence._listed(groups, repeated_groups(groups))
    assert np.flatnonzero(listed).tolist() == [0, 1, 2, 3, 4]


def test_ids_are_held_in_ten_bytes_each() -> None:
    import pyarrow as pa

    pieces = [pa.chunked_array([[f"{n}:{row}" for row in range(20_000)]]) for n in range(10)]
    check = RepetitionCheck()

    def add() -> None:
        for piece in pieces:
            check.add(piece)

    check.add(pieces[0])
    assert peak(add) < 10 * 220_000 + 100 * 20_000
    assert len(check.repeated(iter([pieces[0], *pieces]))) == 20_000


def test_lists_are_fitted_on_as_many_rows_as_a_quarter_of_the_memory_holds() -> None:
    def rows(n: int, memory: float) -> int:
        held = SimpleNamespace(n=n, memory=memory, dimension=384)
        held.most_rows = lambda rows: max(1, min(rows, int(memory) // (4 * 384 * 4)))
        return _sample_rows(cast(NeighbourSearch, SimpleNamespace(vectors=held)))

    assert rows(10**6, 4e9) == SAMPLE
    assert rows(50_000, 4e9) == 50_000
    assert rows(10**6, 1e8) == 10**8 // (16 * 384)
    assert rows(10**8, 1e6) == 10_000  # as many as there are lists


def test_similarities_take_the_memory_that_a_worker_has() -> None:
    def selecting(**given: Any) -> Selecting:
        options = Options(source="s", output="o", embedding="v", **given)
        return Selecting(options, "groups")

    vectors = np.eye(300, 8, dtype=np.float32) + np.float32(1e-3)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    one, other = (
        selecting(objective="facility_location", memory_per_worker=memory, bucket_size=300)
        for memory in (4.0, 0.0004)
    )
    assert cast(FacilityLocation, one.function(vectors, None)).capacity == 300
    assert cast(FacilityLocation, other.function(vectors, None)).capacity < 300
    # The bound that needs them all is not believed of less memory.
    assert one.subsets_key((0, 0)) != other.subsets_key((0, 0))
    same = selecting(objective="facility_location", memory_per_worker=8.0, bucket_size=300)
    assert one.subsets_key((0, 0)) == same.subsets_key((0, 0))
    cut = [
        selecting(objective="graph_cut", memory_per_worker=memory, bucket_size=300) for memory in (4.0, 0.001)
    ]
    assert cut[0].subsets_key((0, 0)) == cut[1].subsets_key((0, 0))
