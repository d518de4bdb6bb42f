"""Bounding keeps what it promises, and RandGreeDi its guarantee; one part is greedy."""

import itertools

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syllabus.selectors import (
    FacilityLocation,
    GraphCut,
    SelectionError,
    SparseFacilityLocation,
    SparseGraphCut,
    bound,
    maximize,
    rand_greedi,
    random_parts,
)


def quick(examples):
    return settings(max_examples=examples, deadline=None, derandomize=True)


@st.composite
def instances(draw, most=9):
    """Return (rows, λ, k, neighbours), few enough for brute force; half the time the rows share a mean."""
    n, d, seed = draw(st.integers(3, most)), draw(st.integers(2, 5)), draw(st.integers(0, 10**6))
    rows = np.random.default_rng(seed).normal(size=(n, d)) + draw(st.sampled_from([0, 0, 2]))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    trade_off = draw(st.sampled_from([0.0, 0.1, 0.4, 0.5, 1.0]))
    return rows.astype(np.float32), trade_off, draw(st.integers(1, n)), draw(st.integers(1, n - 1))


def functions(rows, trade_off, neighbours):
    yield GraphCut(rows, trade_off)
    yield GraphCut(rows * np.float32(3), trade_off, similarity="dot")
    yield SparseGraphCut(rows, trade_off, neighbours)


def decided(f, k):
    return 1 - len(bound(f, k).undecided) / f.n


@given(instance=instances())
@quick(40)
def test_every_optimal_set_has_what_is_included_and_nothing_that_is_excluded(instance):
    rows, trade_off, k, neighbours = instance
    for f in functions(rows, trade_off, neighbours):
        sets = [np.array(each) for each in itertools.combinations(range(f.n), k)]
        values = np.array([f.value(each) for each in sets])
        found = bound(f, k)
        allowed = set(found.included) | set(found.undecided)
        for place in np.flatnonzero(values >= values.max() - 1e-9 * max(1, abs(values.max()))):
            assert set(found.included) <= set(sets[place]) <= allowed


@given(instance=instances(most=60))
@quick(40)
def test_greedy_over_what_is_left_is_greedy_over_all(instance):
    rows, trade_off, k, neighbours = instance
    for f in functions(rows, trade_off, neighbours):
        left = bound(f, k, keep="greedy")
        assert not len(left.included)
        excluded = np.setdiff1d(np.arange(f.n), left.undecided)
        over_left = maximize(f, k, "naive", exclude=excluded)
        assert over_left.indices.tolist() == maximize(f, k, "naive").indices.tolist()


@pytest.mark.parametrize("keep", ["optimum", "greedy"])
def test_bounding_decides_most_rows_where_a_mean_tells_them_apart(keep):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3000, 32)) + 0.7 * rng.random((3000, 1))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    found = bound(GraphCut(rows), 300, keep)
    assert found.share > 0.5
    assert found.share == pytest.approx(1 - len(found.undecided) / 3000)
    assert len(found.included) <= 300 <= len(found.included) + len(found.undecided)


def test_without_a_penalty_everything_is_decided():
    rows = oracles.planted("normal", 50, 8, seed=1)
    for f in (GraphCut(rows, 0.0), SparseGraphCut(rows, 0.0, 5)):
        found = bound(f, 7)
        assert sorted(found.included) == sorted(maximize(f, 7).indices)
        assert found.share == 1


def test_bounds_are_refused_where_none_are_known():
    rows = oracles.planted("normal", 20, 4, seed=0)
    for f in (FacilityLocation(rows), GraphCut(rows, similarity="rbf")):
        with pytest.raises(SelectionError, match="no bounds are known"):
            bound(f, 3)
    with pytest.raises(SelectionError, match="keep='greed'"):
        bound(GraphCut(rows), 3, keep="greed")


def test_facility_location_that_serves_all_rows_from_some_of_them():
    rows = oracles.planted("normal", 80, 8, seed=3)
    some = np.arange(0, 80, 3)
    whole, part = FacilityLocation(rows), SparseFacilityLocation(rows[some], len(some), served=rows)
    selection = maximize(part, 10)
    assert part.value(selection.indices) == pytest.approx(whole.value(some[selection.indices]))
    everyone = np.setdiff1d(np.arange(80), some)
    assert some[selection.indices].tolist() == maximize(whole, 10, exclude=everyone).indices.tolist()


@given(instance=instances())
@quick(40)
def test_graph_cut_of_other_rows_by_definition(instance):
    rows, trade_off, k, cut = instance
    own, whole = rows[:cut], rows
    kernel = (1 + whole.astype(np.float64) @ own.T.astype(np.float64)) / 2
    inside = (1 + own.astype(np.float64) @ own.T.astype(np.float64)) / 2
    share = len(own) / len(rows)
    f = GraphCut(own, trade_off, whole=(whole.sum(axis=0, dtype=np.float64) * share, share * len(rows)))
    k = min(k, cut)
    values = {}
    for chosen in itertools.combinations(range(cut), k):
        each = np.array(chosen)
        values[chosen] = share * kernel[:, each].sum() - trade_off * inside[np.ix_(each, each)].sum()
        assert f.value(each) == pytest.approx(values[chosen], rel=1e-5, abs=1e-5)
    greedy = maximize(f, k, "naive")
    assert maximize(f, k, "lazy").indices.tolist() == greedy.indices.tolist()
    assert greedy.gains.sum() == pytest.approx(f.value(greedy.indices), rel=1e-6, abs=1e-6)
    if greedy.upper_bound is not None:
        assert greedy.upper_bound >= max(values.values()) - 1e-6
    assert trade_off > 0.5 or greedy.upper_bound is not None


def test_graph_cut_of_other_rows_refuses_what_is_no_sum():
    rows = oracles.planted("normal", 20, 4, seed=0)
    for whole in ((np.zeros(3), 5.0), (np.full(4, np.nan), 5.0), (np.zeros(4), 0.0)):
        with pytest.raises(SelectionError, match="whole"):
            GraphCut(rows, whole=whole)
    with pytest.raises(SelectionError, match="linear"):
        GraphCut(rows, similarity="rbf", whole=(np.zeros(4), 5.0))


def skewed(seed):
    """Rows of ten parts: all that differs lies in the first, the others are copies of a few."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate([rng.normal(size=(60, 12)), np.tile(rng.normal(size=(9, 12)), (60, 1))])
    rows += 1e-3 * rng.normal(size=rows.shape)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    parts = np.concatenate([np.zeros(60, np.int64), 1 + np.arange(540) % 9])
    return rows, parts


def test_parts_that_hold_more_keep_more_by_gain():
    rows, parts = skewed(0)
    whole = FacilityLocation(rows)
    greedy = maximize(whole, 40).objective
    found = {}
    for share in ("size", "gain"):
        selection = rand_greedi(
            lambda own: FacilityLocation(rows[own]), 600, 40, 600, 0, 2.0, parts=parts, share=share,
            final=lambda own: SparseFacilityLocation(rows[own], 600, served=rows),
        )  # fmt: skip
        found[share] = (np.sum(selection.indices < 60), whole.value(selection.indices) / greedy)
    assert found["gain"][0] > 2 * found["size"][0]
    assert found["gain"][1] > 0.999 > found["size"][1]


def test_an_unknown_share_is_refused():
    rows, _ = skewed(1)
    with pytest.raises(SelectionError, match=r"share='weight' is unknown; valid: size, gain"):
        rand_greedi(lambda own: GraphCut(rows[own]), 600, 6, 100, 0, share="weight")


@pytest.mark.parametrize("budget", [12, 24, 40])
def test_a_floor_makes_few_neighbours_do(budget):
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(30, 10))[rng.integers(0, 30, 1200)] + 0.7 * rng.normal(size=(1200, 10))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    whole = FacilityLocation(rows)
    greedy = maximize(whole, budget).objective
    with_floor, without = (
        whole.value(maximize(SparseFacilityLocation(rows, 64, floor=floor), budget).indices)
        for floor in (True, False)
    )
    assert with_floor > 0.99 * greedy
    assert with_floor >= without - 1e-9


def test_a_floor_by_definition():
    rows = oracles.planted("normal", 40, 5, seed=2)
    f = SparseFacilityLocation(rows, 6, floor=True)
    kernel = np.maximum(0, (1 + rows.astype(np.float64) @ rows.T.astype(np.float64)) / 2)
    floors = np.sort(kernel, axis=1)[:, -6]
    for chosen in ([3], [3, 17], [0, 9, 21, 39]):
        expected = np.maximum(floors, kernel[:, chosen].max(axis=1)).sum()
        assert f.value(chosen) == pytest.approx(expected, rel=1e-6)
    assert f.value([]) == 0
    greedy = maximize(f, 12, "naive")
    assert maximize(f, 12, "lazy").indices.tolist() == greedy.indices.tolist()
    assert greedy.gains.sum() == pytest.approx(f.value(greedy.indices))
    everyone = SparseFacilityLocation(rows, 40, floor=True)
    assert everyone.value([3]) == pytest.approx(FacilityLocation(rows).value([3]))


@given(n=st.integers(1, 500), seed=st.integers(0, 2**63), share=st.floats(0, 1))
@quick(25)
def test_random_parts_are_even_and_differ_between_rounds(n, seed, share):
    parts = 1 + int(share * (n - 1))
    found = random_parts(n, parts, seed)
    sizes = np.bincount(found, minlength=parts)
    assert len(sizes) == parts
    assert sizes.max() - sizes.min() <= 1
    if n > 50 and 1 < parts < n:
        assert not np.array_equal(found, random_parts(n, parts, seed, round_=1))


@given(instance=instances(most=40))
@quick(30)
def test_one_part_is_greedy(instance):
    rows, trade_off, k, _ = instance
    n = len(rows)
    for make in (lambda own: GraphCut(rows[own], trade_off), lambda own: FacilityLocation(rows[own])):
        one = rand_greedi(make, n, k, n, seed=0)
        greedy = maximize(make(np.arange(n)), k)
        assert one.indices.tolist() == greedy.indices.tolist()
        assert one.gains.tolist() == greedy.gains.tolist()


@given(instance=instances(most=10), seed=st.integers(0, 10**6), parts=st.integers(2, 4))
@quick(40)
def test_as_published_it_keeps_its_guarantee(instance, seed, parts):
    rows, _, k, _ = instance
    n, k = len(rows), min(k, 4)
    whole = FacilityLocation(rows)
    best = max(whole.value(np.array(each)) for each in itertools.combinations(range(n), k))

    def served(own):
        return SparseFacilityLocation(rows[own], n, served=rows)

    found = rand_greedi(served, n, k, n, seed, oversampling=n, parts=random_parts(n, min(parts, n), seed))
    assert len(set(found.indices)) == k
    assert found.objective == pytest.approx(whole.value(found.indices))
    # (1 - 1/e)/2 holds in expectation; whatever the parts, (1 - 1/e)²/min(parts, k) always does.
    assert found.objective >= (1 - 1 / np.e) ** 2 / min(parts, k) * best


def gain(f, k, found):
    """Return the normalised gain beside greedy."""
    rng = np.random.default_rng(0)
    random = np.mean([f.value(rng.choice(f.n, k, replace=False)) for _ in range(20)])
    return (f.value(found.indices) - random) / (maximize(f, k).objective - random)


def test_facility_location_in_parts_needs_a_larger_union_or_rounds():
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(20, 8))[rng.integers(0, 20, 1200)] + 0.5 * rng.normal(size=(1200, 8))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    f, k = FacilityLocation(rows), 24

    def run(oversampling, rounds):
        return rand_greedi(
            lambda own: FacilityLocation(rows[own]), 1200, k, 200, 0, oversampling, rounds,
            final=lambda own: SparseFacilityLocation(rows[own], served=rows),
        )  # fmt: skip

    # Every part finds the same centres.
    assert gain(f, k, run(1, 1)) < 0.8
    assert gain(f, k, run(6, 1)) > 0.95
    assert gain(f, k, run(1, 3)) > 0.95


def test_bounding_and_parts_together_select_from_fewer_rows():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2000, 16)) + 0.7 * rng.random((2000, 1))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    f, seen = GraphCut(rows), []

    def make(own):
        seen.append(own)
        return GraphCut(rows[own])

    left = bound(f, 100, keep="greedy").undecided
    found = rand_greedi(make, 2000, 100, 300, 0, oversampling=1, rows=left)
    assert set(np.concatenate(seen)) == set(left)
    assert max(map(len, seen)) <= 300
    assert len(left) < 1500
    assert len(set(found.indices)) == 100
    assert gain(f, 100, found) > 0.9


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"budget": 51}, "budget=51"),
        ({"part_rows": 19}, "part_rows=19 is below oversampling"),
        ({"oversampling": 0.5}, "oversampling"),
        ({"rounds": 0}, "rounds=0"),
        ({"parts": np.zeros(49, np.int64)}, "parts have 49 numbers"),
        ({"rows": [0, 50]}, "index 50 is outside"),
        ({"seed": None}, "seed is missing"),
    ],
)
def test_arguments_out_of_range_are_one_line(changed, message):
    rows = oracles.planted("normal", 50, 4, seed=0)
    arguments = {"n": 50, "budget": 5, "part_rows": 20, "seed": 0, **changed}
    with pytest.raises(SelectionError, match=message):
        rand_greedi(lambda own: GraphCut(rows[own]), **arguments)
