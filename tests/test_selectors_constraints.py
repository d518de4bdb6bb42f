"""Rows that must be in and rows that must stay out, and costs with a limit."""

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from set_functions import NAMES, brute, having, made

from syllabus.selectors import maximize


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
