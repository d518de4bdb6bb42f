"""Rows that cost: subsets within a limit, greedy within a limit, random sets within a limit."""

import itertools

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import tokens
from set_functions import NAMES, OFFERED, brute, made

from syllabus.selectors import (
    FacilityLocation,
    SelectionError,
    explore,
    explore_within,
    maximize_within,
    random_value_within,
)
from syllabus.selectors.constraint import (
    Constraint,
)
from syllabus.selectors.numerics import counter_rng as randomness
from syllabus.selectors.optimizers import greedy, stochastic
from syllabus.selectors.optimizers.dispatch import SOLVERS

FEW = oracles.planted("normal", 3, 2, seed=0)
SUBMODULAR = [name for name in NAMES if made(name, FEW).submodular]
PLAIN = {"lazy": greedy.lazy, "stochastic": stochastic.stochastic}


def compiled(optimizer):
    """Return the names of the submodular functions with a solver of their own."""
    return sorted(
        kind.name
        for (kind, name), solver in SOLVERS.items()
        if name == optimizer and solver is not PLAIN[optimizer] and kind.name in SUBMODULAR
    )


def test_these_are_compiled():
    expected = {"facility_location", "facility_location_conditional_gain", "graph_cut"}
    assert expected == set(compiled("lazy")) == set(compiled("stochastic"))


@pytest.mark.parametrize("kind", oracles.KINDS)
@pytest.mark.parametrize("name", SUBMODULAR)
@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_costs_of_one_give_the_subsets_without_costs(name, kind, power):
    function = made(name, oracles.planted(kind, 150, 12, seed=5))
    for epsilon in (0.3, 0.01):
        plain = explore(function, 40, 3, seed=(3, 1), epsilon=epsilon)
        found = explore_within(function, np.ones(150), 40, 3, seed=(3, 1), epsilon=epsilon, power=power)
        for one, other in zip(found, plain, strict=True):
            # Where a sample has no positive gain, rows outside it are picked instead.
            last = np.flatnonzero(np.append(other.gains, 0.0) <= 0)[0]
            assert one.indices[:last].tolist() == other.indices[:last].tolist()
            assert one.gains[:last].tolist() == other.gains[:last].tolist()
            assert last == 40 or kind in ("duplicates", "lattice") or "cover" in name


@pytest.mark.parametrize("kind", oracles.KINDS)
@pytest.mark.parametrize("name", compiled("stochastic"))
@pytest.mark.parametrize("power", [0.0, 0.7, 1.0])
def test_the_compiled_loops_are_the_plain_one(name, kind, power):
    function = made(name, oracles.planted(kind, 150, 12, seed=6))
    costs = tokens(150, 1)
    for epsilon, share in itertools.product((0.9, 0.2, 1e-300), (0.05, 0.4, 1.1)):
        key = randomness.stream(randomness.key_of((1, 2), 1), 4)
        constraint = Constraint.of_costs(150, costs, share * costs.sum(), power)
        assert_same(
            SOLVERS[type(function), "stochastic"](function, constraint, key, epsilon),
            stochastic.stochastic(function, constraint, key, epsilon),
        )


def assert_same(one, other):
    assert one.picks.tolist() == other.picks.tolist()
    assert one.gains.tolist() == other.gains.tolist()
    assert one.state.value() == other.state.value()


@pytest.mark.parametrize("kind", oracles.KINDS)
@pytest.mark.parametrize("name", SUBMODULAR)
@pytest.mark.parametrize("power", [0.0, 0.7, 1.0])
def test_the_plain_solvers_are_naive_greedy_under_costs(name, kind, power):
    function, costs = made(name, oracles.planted(kind, 60, 8, seed=2)), tokens(60, 3)
    constraint = Constraint.of_costs(60, costs, 0.3 * costs.sum(), power, include=[7, 2], exclude=[4])
    expected = greedy.naive(function, constraint)
    assert_same(greedy.lazy(function, constraint), expected)
    everything = randomness.key_of((1,), 1), 1e-300
    assert_same(stochastic.stochastic(function, constraint, *everything), expected)
    assert_same(stochastic.lazier(function, constraint, *everything), expected)


@pytest.mark.parametrize("limit", range(4, 12))
def test_a_row_that_costs_all_that_is_left_is_taken(limit):
    function = made("graph_cut", oracles.planted("normal", 20, 4, seed=limit))
    constraint = Constraint.of_costs(20, np.random.default_rng(limit).integers(1, 6, 20).astype(float), limit)
    expected = greedy.naive(function, constraint)
    assert constraint.costs[expected.picks].sum() == limit
    assert_same(greedy.lazy(function, constraint), expected)


def complete(f, n, costs, limit, indices):
    """Whether nothing that is still affordable has a positive gain."""
    left, value = limit - costs[indices].sum(), f(indices.tolist())
    others = [e for e in range(n) if e not in indices and costs[e] <= left]
    return all(f([*indices.tolist(), e]) - value <= 1e-9 * max(1, abs(value)) for e in others)


@pytest.mark.parametrize("name", SUBMODULAR)
@given(
    kind=st.sampled_from(oracles.KINDS),
    n=st.integers(2, 40),
    seed=st.integers(0, 10**6),
    share=st.floats(0.01, 1.2),
    power=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
)
@settings(max_examples=15, deadline=None, derandomize=True)
def test_subsets_keep_the_limit_and_leave_nothing_worth_having(name, kind, n, seed, share, power):
    rows = oracles.planted(kind, n, 8, seed)
    function, f, costs = made(name, rows), brute(name, rows), tokens(n, seed)
    limit = share * costs.sum()
    for found in (
        *explore_within(function, costs, limit, 2, seed, epsilon=0.3, power=power),
        maximize_within(function, costs, limit, power=power),
    ):
        assert len(set(found.indices.tolist())) == len(found.indices)
        assert costs[found.indices].sum() <= limit
        values = [f(found.indices[:t].tolist()) for t in range(len(found.indices) + 1)]
        np.testing.assert_allclose(found.gains, np.diff(values), rtol=1e-9, atol=1e-9)
        assert found.objective == pytest.approx(values[-1], rel=1e-9, abs=1e-9)
        assert complete(f, n, costs, limit, found.indices)
        assert (found.gains > 0).all()


@given(
    kind=st.sampled_from(oracles.KINDS),
    n=st.integers(2, 8),
    seed=st.integers(0, 10**6),
    share=st.floats(0.1, 1),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_no_bound_is_below_the_best_set_within_the_limit(kind, n, seed, share):
    rows = oracles.planted(kind, n, 4, seed)
    costs = np.random.default_rng(seed).uniform(0.1, 2, n)
    limit = share * costs.sum()
    sets = [s for size in range(n + 1) for s in itertools.combinations(range(n), size)]
    for name in OFFERED:
        f, function = brute(name, rows), made(name, rows)
        best = max(f(list(s)) for s in sets if costs[list(s)].sum() <= limit)
        for found in explore_within(function, costs, limit, 2, seed, epsilon=0.5):
            assert found.objective <= best + 1e-9 <= found.upper_bound + 2e-9


@pytest.mark.parametrize("name", OFFERED)
def test_a_sample_of_everything_is_greedy(name):
    """Each pick has the largest gain per weight of all that is affordable, the first of equals."""
    for kind, power in itertools.product(oracles.KINDS, (0.0, 0.5, 1.0)):
        rows = oracles.planted(kind, 60, 8, seed=2)
        function, costs = made(name, rows), tokens(60, 3)
        limit = 0.3 * costs.sum()
        found = explore_within(function, costs, limit, 1, 0, epsilon=1e-300, power=power)[0]
        state, left, chosen = function.state(), limit, []
        while True:
            rest = np.array([e for e in range(60) if e not in chosen and costs[e] <= left], np.int64)
            if not len(rest) or not (state.gains(state.scores(rest)) > 0).any():
                break
            scores = state.scores(rest)
            place = int((state.gains(scores) / costs[rest] ** power).argmax())
            chosen.append(int(rest[place]))
            left -= costs[rest[place]]
            state.add(chosen[-1], float(scores[place]))
        assert found.indices.tolist() == chosen, (kind, power)


@pytest.mark.parametrize("name", OFFERED)
def test_subsets_differ_and_subset_j_does_not_depend_on_how_many_are_drawn(name):
    function, costs = made(name, oracles.planted("clusters", 200, 16, seed=1)), tokens(200, 2)
    limit = 0.1 * costs.sum()
    many = explore_within(function, costs, limit, 6, seed=(3, 4), power=0)
    few = explore_within(function, costs, limit, 2, seed=(3, 4), power=0)
    assert [s.indices.tolist() for s in few] == [s.indices.tolist() for s in many[:2]]
    assert len({tuple(sorted(s.indices.tolist())) for s in many}) == 6
    other = explore_within(function, costs, limit, 2, seed=(3, 5), power=0)
    assert [s.indices.tolist() for s in few] != [s.indices.tolist() for s in other]
    assert len({s.upper_bound for s in many}) == 1


def test_without_room_for_the_kernel_the_picks_are_the_same():
    rows, costs = oracles.planted("clusters", 200, 12, seed=7), tokens(200, 7)
    one, other = (
        explore_within(FacilityLocation(rows, memory_budget=budget), costs, 900, 3, seed=1)
        for budget in (2**30, 8 * 200 * 80)
    )
    assert [s.indices.tolist() for s in one] == [s.indices.tolist() for s in other]
    assert [s.gains.tolist() for s in one] == [s.gains.tolist() for s in other]


def test_the_value_is_near_greedys_where_random_is_not():
    rows, costs = oracles.planted("clusters", 600, 24, seed=4), tokens(600, 4)
    limit = 0.1 * costs.sum()
    for name, share in (("graph_cut", 0.95), ("facility_location", 0.85)):
        function = made(name, rows)
        best = maximize_within(function, costs, limit).objective
        floor = random_value_within(function, costs, limit, 20, seed=0)
        found = explore_within(function, costs, limit, 5, seed=0)
        value = np.mean([selection.objective for selection in found])
        assert (value - floor) / (best - floor) >= share


def test_refusals():
    function = made("graph_cut", oracles.planted("normal", 5, 3, seed=0))
    for costs, limit, more, words in (
        (np.ones(4), 1.0, {}, r"explore_within: costs have shape \(4,\).*expected \(5,\) numbers"),
        (np.array([1, 1, 0, 1, 1]), 1.0, {}, "explore_within: cost 2 is 0"),
        (np.full(5, 5e-324), 1.0, {}, r"cost 0 is 4.9\d*e-324; .*within \[1e-300, 1e300\]"),
        (np.ones(5), 0, {}, r"limit=0 is outside \(0, inf\)"),
        (np.ones(5), 1.0, {"power": -1}, r"power=-1 is outside \[0, inf\)"),
        (np.full(5, 1e200), 1.0, {"power": 2}, r"power=2 takes a cost out of \[1e-300, 1e300\]"),
        (np.ones(5), 1.0, {"epsilon": 1.0}, r"epsilon=1.0 is outside \(0, 1\)"),
        (np.ones(5), 1.0, {"seed": None}, "seed is missing"),
        (np.ones(5), 1.0, {"subsets": 0}, "subsets=0 is outside"),
    ):
        with pytest.raises(SelectionError, match=words):
            explore_within(function, costs, limit, **{"subsets": 1, "seed": 0, **more})
    with pytest.raises(SelectionError, match="explore_within: disparity_min is not submodular"):
        explore_within(made("disparity_min", oracles.planted("normal", 5, 3, seed=0)), np.ones(5), 1.0, 1, 0)
    with pytest.raises(SelectionError, match=r"random_value_within: limit=-1 is outside"):
        random_value_within(function, np.ones(5), -1, 1, 0)


@pytest.mark.parametrize("name", compiled("lazy"))
@given(
    kind=st.sampled_from(oracles.KINDS),
    n=st.integers(2, 120),
    seed=st.integers(0, 10**6),
    share=st.floats(0.01, 1.1),
    power=st.sampled_from([0.0, 0.5, 1.0]),
    set_aside=st.floats(0, 0.2),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_the_compiled_lazy_runs_are_the_plain_one(name, kind, n, seed, share, power, set_aside):
    function, costs = made(name, oracles.planted(kind, n, 12, seed)), tokens(n, seed)
    order = np.random.default_rng(seed).permutation(n)
    few = int(set_aside * n)
    first, banned = order[:few], order[few : 2 * few]
    limit = costs[first].sum() + share * costs.sum()
    constraint = Constraint.of_costs(n, costs, limit, power, first, banned)
    found = SOLVERS[type(function), "lazy"](function, constraint)
    assert_same(found, greedy.lazy(function, constraint))
    assert found.bound is None or found.bound >= found.state.value()
