"""Stochastic greedy compiled for one kind of function is the one for all, to the last bit."""

import numpy as np
import oracles
import pytest
from set_functions import made

from syllabus.selectors import FacilityLocation, GraphCut, SelectionError, explore, maximize
from syllabus.selectors.constraint import Constraint
from syllabus.selectors.numerics import counter_rng as randomness
from syllabus.selectors.optimizers import stochastic
from syllabus.selectors.optimizers.dispatch import SOLVERS

COMPILED = sorted(
    {kind.name for (kind, _), solver in SOLVERS.items() if solver.__module__.endswith("_stochastic")}
)


def test_these_are_compiled():
    assert {"graph_cut", "disparity_sum", "facility_location"} <= set(COMPILED)


@pytest.mark.parametrize("kind", oracles.KINDS)
@pytest.mark.parametrize("name", COMPILED)
@pytest.mark.parametrize("epsilon", [0.9, 0.2, 1e-300])
def test_the_picks_gains_and_state_are_those_of_the_plain_loop(name, kind, epsilon):
    function = made(name, oracles.planted(kind, 150, 12, seed=5))
    for constraint in (
        Constraint.of_rows(150, 40),
        Constraint.of_rows(150, 30, [7, 3], np.arange(100, 150)),
        Constraint.of_rows(150, 150),
    ):
        key = randomness.stream(randomness.key_of((1, 2), 1), 4)
        found = SOLVERS[type(function), "stochastic"](function, constraint, key, epsilon)
        expected = stochastic.stochastic(function, constraint, key, epsilon)
        assert found.picks.tolist() == expected.picks.tolist()
        assert found.gains.tolist() == expected.gains.tolist()
        assert found.state.value() == expected.state.value()


def test_a_bound_holds_where_every_addition_rounds_down():
    """Sums in float32 of thousands of equal terms are off by more than the errors of the terms.

    Most rows are e1 and e2. The terms of (a, a) round down; of (b, c), which is worse by a hair, one term
    rounds up and one down. Of the steps that sums round to, one is that of this processor's vectors.
    """
    steps = 2.0 ** -np.arange(12.0, 19.0)
    axes = np.tile(np.eye(2, dtype=np.float32), (8150, 1))

    def rows(error: float) -> np.ndarray:
        pairs = []
        for step in steps:
            a, b = ((np.floor(0.98 / step) + part) * step - error for part in (0.49, 0.76))
            pairs += [(a, a), (b, 2 * a - b - 4 * 2.0**-24)]
        return np.vstack([axes, pairs]).astype(np.float32)

    # A term is taken to be larger by the error of an entry.
    function = FacilityLocation(rows(FacilityLocation(rows(0.0), similarity="dot").error), similarity="dot")
    first, n = len(axes), function.n
    # A gigabyte, of which only these rows are ever looked at.
    function._kernel = np.zeros((n, n), np.float32)
    function._kernel[first:] = function.entries(np.arange(first, n))
    key = randomness.stream(randomness.key_of((1, 2), 1), 4)
    for better in range(first, n, 2):
        others = np.setdiff1d(np.arange(n), [better, better + 1])
        constraint = Constraint.of_rows(n, 1, (), others)
        found = SOLVERS[FacilityLocation, "stochastic"](function, constraint, key, 1e-300)
        assert found.picks.tolist() == [better]


def test_without_room_for_the_kernel_the_picks_are_the_same():
    rows = oracles.planted("clusters", 200, 12, seed=7)
    one = explore(FacilityLocation(rows), 30, 3, seed=1)
    other = explore(FacilityLocation(rows, memory_budget=8 * 200 * 80), 30, 3, seed=1)
    assert [s.indices.tolist() for s in one] == [s.indices.tolist() for s in other]
    assert [s.gains.tolist() for s in one] == [s.gains.tolist() for s in other]


def test_facility_location_looks_at_larger_samples():
    assert stochastic.sample_size(3000, 300, 0.01, GraphCut.sampling) == 46
    assert stochastic.sample_size(3000, 300, 0.01, FacilityLocation.sampling) == 69


@pytest.mark.parametrize("name", ["graph_cut", "facility_location"])
def test_the_upper_bound_holds_for_every_subset_and_is_that_of_the_first(name):
    function = made(name, oracles.planted("clusters", 120, 8, seed=6))
    found = explore(function, 20, 5, seed=3, epsilon=0.3)
    best = maximize(function, 20, "lazy").objective
    alone = maximize(function, 20, "stochastic", seed=3, epsilon=0.3)
    assert {selection.upper_bound for selection in found} == {alone.upper_bound}
    assert alone.upper_bound is not None
    assert alone.upper_bound >= best >= max(selection.objective for selection in found)


@pytest.mark.parametrize("subsets", [0, -1, 1.5, True])
def test_refused_numbers_of_subsets(subsets):
    function = made("graph_cut", oracles.planted("normal", 10, 4, seed=0))
    with pytest.raises(SelectionError, match="subsets="):
        explore(function, 3, subsets, seed=0)
