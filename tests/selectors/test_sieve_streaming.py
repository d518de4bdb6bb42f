"""Sieve-streaming: one pass, whatever the blocks, and half of the optimum."""

import functools

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syllabus.selectors import FacilityLocation, FeatureBased, LogDeterminant, SelectionError, maximize, sieve

KINDS = {"feature_based": FeatureBased, "log_determinant": LogDeterminant}


def rows_of(name, kind, n, seed):
    rows = oracles.planted(kind, n, 6, seed)
    return np.abs(rows) if name == "feature_based" else rows


@pytest.mark.parametrize("name", KINDS)
@given(
    kind=st.sampled_from(oracles.KINDS), n=st.integers(2, 12), k=st.integers(1, 4), seed=st.integers(0, 10**6)
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_it_keeps_its_promise_and_says_what_it_picked(name, kind, n, k, seed):
    rows = rows_of(name, kind, n, seed)
    f = getattr(oracles, name)(rows)
    k = min(k, n)
    found = sieve([rows[:1], rows[1:2], rows[2:]] if n > 2 else [rows], KINDS[name], k, epsilon=0.1)
    assert len(found.indices) <= k
    assert found.indices.tolist() == sorted(set(found.indices.tolist()))
    assert found.objective == pytest.approx(f(found.indices.tolist()), rel=1e-9)
    values = [f(found.indices[:t].tolist()) for t in range(len(found.indices) + 1)]
    np.testing.assert_allclose(found.gains, np.diff(values), rtol=1e-9, atol=1e-9)
    assert found.objective >= (0.5 - 0.1) * oracles.best_value(f, n, k)


def test_it_finds_the_rows_that_matter_on_a_longer_stream():
    rows = rows_of("feature_based", "clusters", 600, 3)
    rows *= np.random.default_rng(0).lognormal(0, 1.5, (600, 1)).astype(np.float32)
    function = FeatureBased(rows)
    greedy = maximize(function, 30, "lazy").objective
    found = sieve(np.array_split(rows, 7), FeatureBased, 30)
    draws = [function.value(np.random.default_rng(j).choice(600, 30, replace=False)) for j in range(20)]
    assert (found.objective - np.mean(draws)) / (greedy - np.mean(draws)) > 0.5


def test_options_reach_the_function_and_unfit_ones_are_refused():
    rows = rows_of("log_determinant", "normal", 50, 1)
    one = sieve([rows], functools.partial(LogDeterminant, regularisation=2.0), 5)
    assert one.objective == pytest.approx(LogDeterminant(rows, 2.0).value(one.indices))
    for function in (FacilityLocation, functools.partial(LogDeterminant, regularisation=0.5)):
        with pytest.raises(SelectionError, match="cannot be streamed; valid: feature_based"):
            sieve([rows], function, 5)
    with pytest.raises(SelectionError, match="stream is empty"):
        sieve([], LogDeterminant, 5)
    with pytest.raises(SelectionError, match=r"epsilon=0 is outside \(0, 1/2\]"):
        sieve([rows], LogDeterminant, 5, epsilon=0)
    with pytest.raises(SelectionError, match="budget=0"):
        sieve([rows], LogDeterminant, 0)
