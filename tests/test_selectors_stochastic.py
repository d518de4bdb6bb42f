"""Stochastic greedy, SGE and random values: chance that is seeded, unbiased, and truly differs."""

import itertools

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syllabus.selectors import (
    FUNCTIONS,
    GraphCut,
    explore,
    greedy,
    maximize,
    random_value,
    randomness,
)

NAMES = sorted(FUNCTIONS)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_rows_and_another_others(name):
    function = FUNCTIONS[name](oracles.planted("clusters", 200, 16, seed=0))
    one = maximize(function, 40, "stochastic", seed=7)
    again = maximize(function, 40, "stochastic", seed=(7,))
    assert one.indices.tolist() == again.indices.tolist()
    assert one.gains.tolist() == again.gains.tolist()
    for seed in (8, (7, 0), (0, 7)):
        assert maximize(function, 40, "stochastic", seed=seed).indices.tolist() != one.indices.tolist()


@pytest.mark.parametrize("name", NAMES)
def test_subset_j_does_not_depend_on_how_many_are_drawn(name):
    function = FUNCTIONS[name](oracles.planted("near_ties", 150, 16, seed=1))
    many = explore(function, 30, subsets=6, seed=(3, 4))
    few = explore(function, 30, subsets=2, seed=(3, 4))
    for one, other in zip(many, few, strict=False):
        assert one.indices.tolist() == other.indices.tolist()
    assert many[0].indices.tolist() == maximize(function, 30, "stochastic", seed=(3, 4)).indices.tolist()
    distinct = {tuple(sorted(selection.indices.tolist())) for selection in many}
    assert len(distinct) == 6


@pytest.mark.parametrize("name", NAMES)
@given(
    kind=st.sampled_from(oracles.KINDS),
    n=st.integers(2, 60),
    share=st.floats(0.05, 1),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_no_row_twice_and_the_gains_are_those_of_the_definition(name, kind, n, share, seed):
    rows = oracles.planted(kind, n, 8, seed)
    selection = maximize(FUNCTIONS[name](rows), max(1, int(share * n)), "stochastic", seed=seed, epsilon=0.2)
    assert len(set(selection.indices.tolist())) == len(selection.indices)
    f = getattr(oracles, name)(rows)
    values = [f(selection.indices[:t].tolist()) for t in range(len(selection.indices) + 1)]
    np.testing.assert_allclose(selection.gains, np.diff(values), rtol=1e-9, atol=1e-9)
    assert selection.objective == pytest.approx(values[-1], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("kind", oracles.KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_a_sample_of_everything_is_naive_greedy(name, kind):
    function = FUNCTIONS[name](oracles.planted(kind, 120, 8, seed=2))
    picks, gains, _ = greedy.naive(function, 40)
    selection = maximize(function, 40, "stochastic", seed=0, epsilon=1e-300)
    assert selection.indices.tolist() == picks.tolist()
    assert selection.gains.tolist() == gains.tolist()


def test_each_pick_is_the_best_of_a_sample_of_the_stated_size():
    class Watched(GraphCut):
        def state(self):
            state = super().state()
            best = state.best

            def watch(candidates):
                seen.append(candidates.copy())
                return best(candidates)

            state.best = watch
            return state

    seen: list[np.ndarray] = []
    picks, _, _ = greedy.stochastic(
        Watched(oracles.planted("normal", 100, 8, seed=3)), 20, randomness.key_of((0,), 1), 0.1
    )
    size = int(100 / 20 * np.log(10))
    for t, sample in enumerate(seen):
        assert len(set(sample.tolist())) == len(sample) == min(size, 100 - t)
        assert not set(sample.tolist()) & set(picks[:t].tolist())
        assert picks[t] in sample
    assert greedy.sample_size(100, 100, 0.9) == 1


def test_samples_are_uniform():
    counts = np.zeros(10)
    pairs = np.zeros((10, 10))
    pool = np.arange(10)
    for draw in range(20_000):
        randomness.sample_to_front(pool, 10, 3, randomness.stream(randomness.key_of((1, 2), 0), draw))
        counts[pool[:3]] += 1
        pairs[pool[0], pool[1]] += 1
    # Standard deviations: about 65 of 6,000 and 15 of 222.
    assert np.abs(counts - 6000).max() < 5 * 65
    assert np.abs(pairs[~np.eye(10, dtype=bool)] - 20_000 / 90).max() < 5 * 15
    assert np.diag(pairs).sum() == 0


def test_it_is_close_to_greedy_where_random_is_not():
    rows = oracles.planted("clusters", 600, 24, seed=4)
    for name, share in (("graph_cut", 0.95), ("facility_location", 0.85)):
        function = FUNCTIONS[name](rows)
        best = maximize(function, 60, "lazy").objective
        floor = random_value(function, 60, 20, seed=0)
        found = np.mean([selection.objective for selection in explore(function, 60, 5, seed=0)])
        assert (found - floor) / (best - floor) >= share


@pytest.mark.parametrize("name", NAMES)
def test_random_value_is_the_mean_over_seeded_sets(name):
    rows = oracles.planted("normal", 12, 4, seed=5)
    function = FUNCTIONS[name](rows)
    f = getattr(oracles, name)(rows)
    expected = np.mean([f(list(chosen)) for chosen in itertools.combinations(range(12), 3)])
    spread = np.std([f(list(chosen)) for chosen in itertools.combinations(range(12), 3)])
    assert random_value(function, 3, 2000, seed=1) == pytest.approx(expected, abs=5 * spread / 2000**0.5)
    assert random_value(function, 3, 5, seed=1) == random_value(function, 3, 5, seed=(1,))
    assert random_value(function, 3, 5, seed=1) != random_value(function, 3, 5, seed=2)
    assert random_value(function, 12, 2, seed=1) == pytest.approx(f(list(range(12))))
