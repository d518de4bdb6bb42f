"""Nearest neighbours and near-duplicates against every pair computed one by one."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syllabus.selectors import SelectionError
from syllabus.selectors.neighbours import Queries, TopK, flat_index, neighbours, search
from syllabus.selectors.neighbours import blocked_search as module
from syllabus.selectors.numerics.products import device_product
from syllabus.selectors.numerics.union_find import UnionFind


def unit(rows: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows, np.float64)
    return (rows / np.linalg.norm(rows, axis=1)[:, None]).astype(np.float32)


def planted(n: int, seed: int, d: int = 16) -> np.ndarray:
    """Clusters, with exact copies, copies up to a small jitter, and a chain of near-duplicates."""
    draw = np.random.default_rng(seed)
    rows = draw.standard_normal((6, d))[draw.integers(0, 6, n)] + 0.7 * draw.standard_normal((n, d))
    rows[draw.integers(0, n, n // 5)] = rows[3]
    some = draw.integers(0, n, n // 5)
    rows[some] = rows[some - 1] + 0.05 * draw.standard_normal((len(some), d))
    return unit(rows)


def oracle(rows: np.ndarray, k: int, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest by (descending cosine, index), and groups by sweeping the whole matrix until it rests."""
    cosines = rows.astype(np.float64) @ rows.astype(np.float64).T
    # Exact copies tie exactly, whatever the product's rounding says.
    cosines = np.round(cosines, 12)
    np.fill_diagonal(cosines, -np.inf)
    order = np.lexsort((np.broadcast_to(np.arange(len(rows)), cosines.shape), -cosines), axis=1)[:, :k]
    joined = cosines >= threshold - 1e-6
    groups = np.arange(len(rows))
    while True:
        lower = np.array([min([groups[i], *groups[joined[i]]]) for i in range(len(rows))])
        if (lower == groups).all():
            return order, groups
        groups = lower


@pytest.mark.parametrize("tile", [7, 64, 2000])
@settings(max_examples=12, deadline=None, derandomize=True)
@given(n=st.integers(12, 150), k=st.integers(1, 11), seed=st.integers(0, 9), threshold=st.floats(0.5, 1))
def test_every_pair_is_decided_as_if_computed_alone(tile, n, k, seed, threshold) -> None:
    rows = planted(n, seed)
    before, module.TILE = module.TILE, tile
    try:
        ids, cosines, groups = neighbours(rows, k, threshold)
    finally:
        module.TILE = before
    expected, named = oracle(rows, k, threshold)
    # Where rounding to 12 digits made a tie of what is none, cosines still agree.
    exact = rows.astype(np.float64) @ rows.astype(np.float64).T
    assert np.allclose(cosines, np.take_along_axis(exact, expected, axis=1), atol=1e-12)
    same = ids == expected
    assert np.allclose(np.take_along_axis(exact, ids, axis=1)[~same], cosines[~same], atol=1e-12)
    assert same.mean() > 0.99
    assert groups.tolist() == named.tolist()


def test_ties_go_to_the_smallest_index() -> None:
    rows = planted(400, 1)
    rows[100:200] = rows[100]
    ids, _, groups = neighbours(rows, 10)
    for row in (100, 105, 199):
        assert ids[row].tolist() == [other for other in range(100, 112) if other != row][:10]
    assert set(groups[100:200]) == {groups[100]}


def test_all_pairs_join_not_only_the_nearest() -> None:
    """Two sheaves of twelve copies, joined by one pair that is in nobody's ten nearest."""
    rows = np.zeros((24, 3))
    rows[:12] = [1, 0, 0]
    rows[12:] = [np.cos(0.3), np.sin(0.3), 0]
    ids, _, groups = neighbours(unit(rows), 10, 0.95)
    assert all((row < 12) == (other < 12) for row in range(24) for other in ids[row])
    assert groups.tolist() == [0] * 24


def test_the_result_does_not_depend_on_where_and_in_which_order_parts_are_searched() -> None:
    rows = planted(500, 4)
    expected, cosines, _ = neighbours(rows, 6)
    for order in itertools.permutations(range(3)):
        nearest = TopK.empty(500, 6)
        for part in order:
            ids = np.arange(part * 170, min(500, part * 170 + 170))
            own = TopK.empty(500, 6)
            search(Queries(rows, np.arange(500), own), rows[ids], ids, 2.0, UnionFind(0))
            nearest.merge(np.arange(500), own)
        assert np.array_equal(nearest.ids, expected)
        assert np.array_equal(nearest.cosines, cosines)


def test_a_product_that_errs_within_its_bound_changes_nothing(monkeypatch) -> None:
    rows = planted(300, 5)
    expected = neighbours(rows, 8)
    draw = np.random.default_rng(0)
    error = module._error(rows, "cpu")

    def rough(queries, others, device):  # noqa: ARG001
        made = queries.astype(np.float64) @ others.astype(np.float64).T
        return (made + draw.uniform(-0.9 * error, 0.9 * error, made.shape)).astype(np.float32)

    monkeypatch.setattr(module, "product", rough)
    for got, right in zip(neighbours(rows, 8), expected, strict=True):
        assert np.array_equal(got, right)


def test_the_product_of_a_device_is_that_of_the_processor() -> None:
    rows = planted(90, 6)
    made = device_product(rows[:40], rows, "cpu")
    assert np.abs(made - rows[:40] @ rows.T).max() < module._error(rows, "cpu")


@pytest.fixture
def precision():
    """Set torch's precision of float32 products, and set it back."""
    torch = pytest.importorskip("torch")
    before = torch.get_float32_matmul_precision()
    yield torch.set_float32_matmul_precision
    torch.set_float32_matmul_precision(before)


def test_what_torch_may_round_factors_to_widens_the_bound(precision) -> None:
    rows = planted(90, 6)
    precision("highest")
    exact = module._error(rows, "cuda")
    precision("medium")
    device_product(rows, rows, "cpu")  # leaves the setting, which others share, as it is
    assert module._error(rows, "cuda") >= exact + 2.0**-7
    assert module._error(rows, "cpu") == exact


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def search_by_faiss(rows, k, threshold, device):
    """The nearest and the groups by a flat index, and how many rows' candidates were not enough."""
    nearest, groups = TopK.empty(len(rows), k), UnionFind(len(rows))
    ids = np.arange(len(rows))
    low, error = threshold - module.ROUNDING, module._error(rows, device)
    left = flat_index.search_flat(rows, ids, nearest, rows, ids, low, error, groups.parents, device)
    untouched = len(left)
    assert (nearest.ids[left] == -1).all()
    rest = Queries(rows[left], left, TopK.empty(untouched, k))
    search(rest, rows, ids, threshold, groups)
    nearest.ids[left], nearest.cosines[left] = rest.nearest.ids, rest.nearest.cosines
    return nearest, groups.roots(), untouched


@pytest.mark.parametrize("device", DEVICES)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(n=st.integers(12, 400), k=st.integers(1, 11), seed=st.integers(0, 9), threshold=st.floats(0.5, 1))
def test_candidates_of_faiss_give_what_all_products_do(device, n, k, seed, threshold) -> None:
    rows = planted(n, seed)
    expected = neighbours(rows, k, threshold)
    nearest, groups, _ = search_by_faiss(rows, k, threshold, device)
    assert np.array_equal(nearest.ids, expected[0])
    assert np.array_equal(nearest.cosines, expected[1])
    assert np.array_equal(groups, expected[2])


@pytest.mark.parametrize("device", DEVICES)
def test_candidates_are_enough_for_all_but_copies(device) -> None:
    rows = unit(np.random.default_rng(4).standard_normal((600, 24)))
    rows[:50] = rows[0]
    _, _, left = search_by_faiss(rows, 10, 0.95, device)
    assert 50 <= left < 100  # 32 candidates do not show 50 copies, nor what is beyond them


def test_coarse_products_of_an_index_are_not_trusted(monkeypatch) -> None:
    rows = planted(200, 5)

    class Coarse:
        def __init__(self, dimension, by_distance, device):
            self.index = plain(dimension, by_distance, device)
            self.add = self.index.add

        def search(self, queries, count):
            products, places = self.index.search(queries, count)
            return products * np.float32(1 + 2.0**-10), places

    plain = flat_index.flat_index
    monkeypatch.setattr(flat_index, "flat_index", Coarse)
    nearest, _, left = search_by_faiss(rows, 10, 0.95, "cpu")
    assert left == 200
    assert np.array_equal(nearest.ids, neighbours(rows, 10)[0])


def test_the_search_goes_by_faiss_where_it_has_the_gpu(monkeypatch) -> None:
    rows = planted(300, 8)
    found, ids = [], np.arange(300)
    for on_gpu in (False, True):
        monkeypatch.setattr(module, "by_faiss_on_gpu", lambda _, on_gpu=on_gpu: on_gpu)
        queries, groups = Queries(rows, ids, TopK.empty(300, 7)), UnionFind(300)
        search(queries, rows, ids, 0.9, groups)
        found.append(
            (queries.nearest.ids.tolist(), queries.nearest.cosines.tolist(), groups.roots().tolist())
        )
    assert found[0] == found[1]


def test_a_processor_is_no_gpu() -> None:
    assert not flat_index.by_faiss_on_gpu("cpu")


@pytest.mark.gpu
@pytest.mark.parametrize("setting", ["highest", "high", "medium"])
def test_the_same_neighbours_on_a_gpu(precision, setting) -> None:
    rows = planted(5000, 7, d=64)
    expected, _, _ = neighbours(rows, 10)
    nearest = TopK.empty(5000, 10)
    precision(setting)
    search(Queries(rows, np.arange(5000), nearest), rows, np.arange(5000), 2.0, UnionFind(0), "cuda")
    assert np.array_equal(nearest.ids, expected)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40))
def test_joins_in_any_order_name_the_smallest(pairs) -> None:
    made = []
    for order in (pairs, pairs[::-1]):
        joins = UnionFind(31)
        joins.union(np.array([a for a, _ in order], np.int64), np.array([b for _, b in order], np.int64))
        made.append(joins.roots().tolist())
    groups = list(range(31))
    for _ in range(31):
        for a, b in pairs:
            groups = [min(groups[a], groups[b]) if g in (groups[a], groups[b]) else g for g in groups]
    assert made == [groups, groups]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.eye(3, dtype=np.float32), 3), r"k=3 is outside \[1, n - 1=2\]"),
        ((np.eye(3, dtype=np.float32), 1, 1.5), r"threshold=1.5 is outside \(0, 1\]"),
        ((2 * np.eye(3, dtype=np.float32), 1), "row 0 has norm 2"),
    ],
)
def test_what_is_out_of_bounds_is_named(arguments, message) -> None:
    with pytest.raises(SelectionError, match=message):
        neighbours(*arguments)


@pytest.mark.parametrize("ids", [[-1], [5], [2**62]])
def test_ids_that_are_none_reach_no_compiled_loop(ids: list[int]) -> None:
    groups, wrong, right = UnionFind(5), np.array(ids), np.array([4])
    for pair in ((wrong, right), (right, wrong), (right, np.array([0, 1]))):
        with pytest.raises(SelectionError, match=r"ids are not in 0 … 4"):
            groups.union(*pair)
    assert groups.roots().tolist() == list(range(5))
    nearest = TopK.empty(5, 2)
    for places, lists in ((wrong, 1), (right, 2), (np.array([0, 1]), 1)):
        with pytest.raises(SelectionError, match="of 5 rows"):
            nearest.merge(places, TopK(np.zeros((lists, 2), np.int64), np.zeros((lists, 2))))
    assert (nearest.ids == -1).all()
