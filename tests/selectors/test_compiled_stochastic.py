"""Stochastic greedy compiled for one kind of function is the one for all, to the last bit."""

import numpy as np
import oracles
import pytest
from set_functions import made

from syllabus.selectors import FacilityLocation, GraphCut, SelectionError, explore, maximize
from syllabus.selectors.numerics import counter_rng as randomness
from syllabus.selectors.optimizers import greedy
from syllabus.selectors.optimizers.maximize import _SOLVERS
from syllabus.selectors.task import Task

COMPILED = sorted(
    {kind.name for (kind, _), solver in _SOLVERS.items() if solver.__module__.endswith("_stochastic")}
)


def test_these_are_compiled():
    assert {"graph_cut", "disparity_sum", "facility_location"} <= set(COMPILED)


@pytest.mark.parametrize("kind", oracles.KINDS)
@pytest.mark.parametrize("name", COMPILED)
@pytest.mark.parametrize("epsilon", [0.9, 0.2, 1e-300])
def test_the_picks_gains_and_state_are_those_of_the_plain_loop(name, kind, epsilon):
    function = made(name, oracles.planted(kind, 150, 12, seed=5))
    first = np.array([7, 3])
    for task in (
        Task.free(150, 40),
        Task(30, first, np.setdiff1d(np.arange(100), first)),
        Task.free(150, 150),
    ):
        key = randomness.stream(randomness.key_of((1, 2), 1), 4)
        picks, gains, state = _SOLVERS[type(function), "stochastic"](function, task, key, epsilon)
        expected = greedy.stochastic(function, task, key, epsilon)
        assert picks.tolist() == expected[0].tolist()
        assert gains.tolist() == expected[1].tolist()
        assert state.value() == expected[2].value()


def test_without_room_for_the_kernel_the_picks_are_the_same():
    rows = oracles.planted("clusters", 200, 12, seed=7)
    one = explore(FacilityLocation(rows), 30, 3, seed=1)
    other = explore(FacilityLocation(rows, memory_budget=8 * 200 * 80), 30, 3, seed=1)
    assert [s.indices.tolist() for s in one] == [s.indices.tolist() for s in other]
    assert [s.gains.tolist() for s in one] == [s.gains.tolist() for s in other]


def test_facility_location_looks_at_larger_samples():
    assert greedy.sample_size(3000, 300, 0.01, GraphCut.sampling) == 46
    assert greedy.sample_size(3000, 300, 0.01, FacilityLocation.sampling) == 69


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
