"""What costs leave of a limit: exact sums, rows that are affordable, random sets that are filled up."""

import math

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import tokens
from set_functions import OFFERED, brute, made

from syllabus.selectors import explore_within, maximize, random_value, random_value_within
from syllabus.selectors.constraint import affordable, affordable_to_front, fill, subtract_cost
from syllabus.selectors.numerics import counter_rng as randomness
from syllabus.selectors.optimizers.baseline import random_rows


def test_rows_that_are_sampled_are_affordable_and_equally_likely():
    costs = np.array([1, 9, 2, 3, 9, 1, 2, 9, 3, 1.0])
    counts = np.zeros(10)
    for draw in range(20_000):
        pool = np.arange(10)
        key = randomness.stream(randomness.key_of((1, 2), 0), draw)
        drawn, remaining = affordable_to_front(pool, 10, 3, key, costs, 3.0)
        assert drawn == 3
        assert sorted(pool) == list(range(10))
        assert (costs[pool[remaining:]] > 3).all()
        counts[pool[:3]] += 1
    assert counts[costs > 3].sum() == 0
    # The standard deviation is about 70.
    assert np.abs(counts[costs <= 3] - 60_000 / 7).max() < 5 * 70
    assert affordable_to_front(np.arange(10), 10, 8, randomness.key_of((1,), 0), costs, 3.0) == (7, 7)
    assert affordable_to_front(np.arange(10), 10, 8, randomness.key_of((1,), 0), costs, 0.5) == (0, 0)


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=200))
@settings(deadline=None, derandomize=True)
def test_what_is_left_is_exact(costs):
    limit = math.fsum(costs)
    left, rest = limit, 0.0
    for at, cost in enumerate(costs):
        before = limit - math.fsum(costs[:at])
        assert left + rest == pytest.approx(before, rel=1e-15, abs=1e-12)
        left, rest = subtract_cost(left, rest, cost)
    exact = math.fsum([limit, *(-cost for cost in costs)])
    assert left == exact
    assert affordable(left, rest) <= exact


@pytest.mark.parametrize("name", ["graph_cut", "facility_location"])
def test_random_sets_are_filled_up_and_of_equal_costs_the_plain_ones(name):
    rows = oracles.planted("normal", 30, 6, seed=5)
    function, f = made(name, rows), brute(name, rows)
    assert random_value_within(function, np.ones(30), 7, 5, seed=2) == random_value(function, 7, 5, seed=2)
    costs, limit = tokens(30, 6), 200.0
    values = []
    for draw in range(20):
        key = randomness.stream(randomness.key_of((2, 3), 2), draw)
        pool = np.arange(30)
        chosen = pool[: fill(pool, key, costs, limit)]
        left = limit - costs[chosen].sum()
        assert 0 <= left < costs[np.setdiff1d(np.arange(30), chosen)].min()
        values.append(f(chosen.tolist()))
    assert random_value_within(function, costs, limit, 20, seed=(2, 3)) == pytest.approx(np.mean(values))
    assert random_rows(30, 30, key).tolist() == pool.tolist() or len(chosen) < 30


def test_a_limit_below_every_cost_and_one_above_all():
    rows = oracles.planted("normal", 20, 4, seed=1)
    for name in OFFERED:
        function = made(name, rows)
        for found in explore_within(function, np.full(20, 3), 2, 2, seed=0):
            assert found.indices.tolist() == found.gains.tolist() == []
            assert found.objective == 0 == found.upper_bound
        assert random_value_within(function, np.full(20, 3), 2, 2, seed=0) == 0
    function = made("graph_cut", rows)
    for found in explore_within(function, np.arange(1, 21), 10_000, 2, seed=0):
        assert sorted(found.indices.tolist()) == list(range(20))
    assert maximize(function, 20).objective == pytest.approx(found.objective)
