"""Rows that must be in and rows that must stay out, and costs with a limit."""

import itertools

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from set_functions import NAMES, brute, having, made

from syllabus.selectors import SelectionError, maximize, maximize_within


@pytest.mark.parametrize("name", NAMES)
@given(
    kind=st.sampled_from(oracles.KINDS),
    n=st.integers(4, 40),
    seed=st.integers(0, 10**6),
    shares=st.tuples(st.floats(0, 0.4), st.floats(0, 0.4), st.floats(0, 1)),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_every_optimiser_keeps_to_the_constraints_and_the_exact_ones_agree(name, kind, n, seed, shares):
    rows = oracles.planted(kind, n, 8, seed)
    order = np.random.default_rng(seed).permutation(n)
    include = order[: int(shares[0] * n)]
    exclude = order[n - int(shares[1] * n) :]
    budget = max(1, len(include) + int(shares[2] * (n - len(include) - len(exclude))))
    function = made(name, rows)
    expected = maximize(function, budget, "naive", include=include, exclude=exclude)
    for optimizer in ("naive", "lazy", "lazier", "stochastic"):
        if name not in having(optimizer):
            continue
        seed_ = 5 if optimizer in ("lazier", "stochastic") else None
        found = maximize(
            function, budget, optimizer, seed=seed_, epsilon=1e-300, include=include, exclude=exclude
        )
        assert found.indices[: len(include)].tolist() == include.tolist()
        assert not set(found.indices.tolist()) & set(exclude.tolist())
        assert found.indices.tolist() == expected.indices.tolist(), optimizer
        assert found.gains.tolist() == expected.gains.tolist(), optimizer
    f = brute(name, rows)
    values = [f(expected.indices[:t].tolist()) for t in range(budget + 1)]
    np.testing.assert_allclose(
        expected.gains, np.diff(values), rtol=1e-9, atol=1e-9 * max(1, abs(values[-1]))
    )
    for t in range(len(include), budget):
        chosen = expected.indices[:t].tolist()
        open_ = [e for e in range(n) if e not in chosen and e not in exclude]
        best = max(f([*chosen, e]) - values[t] for e in open_)
        assert expected.gains[t] >= best - 1e-9 * max(1, abs(values[t + 1]))


@pytest.mark.parametrize("name", NAMES)
def test_no_bound_is_below_the_best_constrained_set(name):
    rows = oracles.planted("normal", 9, 4, seed=8)
    f = brute(name, rows)
    found = maximize(made(name, rows), 4, "naive", include=[7, 2], exclude=[0])
    others = [e for e in range(9) if e not in (7, 2, 0)]
    best = max(f([7, 2, a, b]) for a in others for b in others if a < b)
    assert found.upper_bound is None or found.upper_bound >= best - 1e-9


@given(
    kind=st.sampled_from(oracles.KINDS),
    n=st.integers(3, 9),
    seed=st.integers(0, 10**6),
    share=st.floats(0.1, 1),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_knapsack_keeps_the_limit_the_promise_and_the_bound(kind, n, seed, share):
    rows = oracles.planted(kind, n, 4, seed)
    costs = np.random.default_rng(seed).uniform(0.1, 2, n)
    limit = max(costs.min(), share * costs.sum())
    subsets = [s for size in range(n + 1) for s in itertools.combinations(range(n), size)]
    for name in ("facility_location", "graph_cut", "feature_based", "log_determinant"):
        f = brute(name, rows)
        found = maximize_within(made(name, rows), costs, float(limit))
        assert costs[found.indices].sum() <= limit
        assert found.objective == pytest.approx(f(found.indices.tolist()), rel=1e-9, abs=1e-9)
        assert found.gains.sum() == pytest.approx(found.objective, rel=1e-9, abs=1e-9)
        best = max(f(list(s)) for s in subsets if costs[list(s)].sum() <= limit)
        assert (1 - 1 / np.e) / 2 * best - 1e-9 <= found.objective <= best + 1e-9
        assert found.upper_bound >= best - 1e-9


def test_equal_costs_are_a_budget_and_lazy_is_naive():
    for kind in oracles.KINDS:
        rows = oracles.planted(kind, 120, 16, seed=3)
        for name in ("facility_location", "graph_cut", "feature_based", "log_determinant"):
            function = made(name, rows)
            found = maximize_within(function, np.full(120, 0.5), 10.0, include=[5], exclude=[1, 2])
            expected = maximize(function, 20, "naive", include=[5], exclude=[1, 2])
            # Where all gains are gone, the knapsack stops.
            assert found.indices.tolist() == expected.indices[: len(found.indices)].tolist()
            assert len(found.indices) == 20 or abs(expected.gains[len(found.indices)]) < 1e-9


def test_bad_costs():
    function = made("graph_cut", oracles.planted("normal", 5, 3, seed=0))
    for costs, limit, words in (
        (np.ones(4), 1.0, r"expected \(5,\) numbers"),
        (np.array([1, 1, 0, 1, 1]), 1.0, "cost 2 is 0"),
        (np.array([1, np.nan, 1, 1, 1]), 1.0, "cost 1 is nan"),
        (np.ones(5), 0.0, r"limit=0.0 is outside"),
        (np.ones(5), float("inf"), r"limit=inf is outside"),
    ):
        with pytest.raises(SelectionError, match=words):
            maximize_within(function, costs, limit)
    with pytest.raises(SelectionError, match=r"included rows cost 2, above limit=1\.5"):
        maximize_within(function, np.ones(5), 1.5, include=[0, 1])
    with pytest.raises(SelectionError, match="disparity_min is not submodular"):
        maximize_within(made("disparity_min", oracles.planted("normal", 5, 3, seed=0)), np.ones(5), 1.0)
