"""Inclusion probabilities of draws without replacement, against brute force, the integral, simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syllabus.selectors import SelectionError, importances, inclusion_probabilities
from syllabus.selectors.importances import inclusion


def brute(p, k):
    """Sum over what was drawn so far, as sets of rows."""
    chances = {0: 1.0}
    for _ in range(k):
        after: dict[int, float] = {}
        for drawn, chance in chances.items():
            left = sum(p[i] for i in range(len(p)) if not drawn >> i & 1)
            for i in range(len(p)):
                if not drawn >> i & 1:
                    key = drawn | 1 << i
                    after[key] = after.get(key, 0.0) + chance * p[i] / left
        chances = after
    return np.array([sum(c for drawn, c in chances.items() if drawn >> i & 1) for i in range(len(p))])


@given(st.lists(st.floats(-8, 8), min_size=1, max_size=8), st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_up_to_eight_rows_they_equal_brute_force(logs, data):
    weights = np.exp(logs)
    k = data.draw(st.integers(1, len(weights)))
    p = weights / weights.sum()
    np.testing.assert_allclose(inclusion_probabilities(p, k), brute(p, k), rtol=0, atol=1e-9)
    np.testing.assert_allclose(inclusion_probabilities(weights, k), brute(p, k), rtol=0, atol=1e-9)


def weights(kind, n):
    rng = np.random.default_rng(n)
    if kind == "halving":
        return 0.5 ** np.arange(n)
    if kind == "one heavy":
        return np.r_[n / 2, np.ones(n - 1)]
    if kind == "two kinds":
        return np.r_[np.full(n // 2, 100.0), np.ones(n - n // 2)]
    return rng.exponential(size=n) if kind == "exponential" else np.exp(3 * rng.standard_normal(n))


@pytest.mark.parametrize("kind", ["halving", "one heavy", "two kinds", "exponential", "wide"])
@pytest.mark.parametrize("k", [1, 6, 32, 54, 61])
def test_the_approximation_keeps_its_promise(kind, k):
    p = weights(kind, 64)
    p /= p.sum()
    approximate, exact = inclusion_probabilities(p, k), inclusion._exact(p, k)
    assert exact.sum() == pytest.approx(k, abs=1e-6)
    assert approximate.sum() == pytest.approx(k, abs=1e-9)
    worst = np.abs(approximate - exact).max()
    assert worst < 0.06
    assert worst < 0.005 or kind != "exponential" or k > 54
    assert (np.diff(approximate[np.argsort(p)]) >= -1e-12).all()
    assert 0 <= approximate.min() <= approximate.max() <= 1


# Found by climbing on the error: logarithms of weights, draws, and the error there.
WORST = (
    ("22.2 19.9 19.6 19.3 18.2 18.2 17.5 17.2 15.5 14.8 14.7 14.6 14.5 14.2 12.1 10.7 10.6 10.6 10.6 10.5"
     " 10.5 10.4 10.4 10 9.8 7.2 6.4 5.9 4.4 3.8 3.8 3.5 0", 19, 0.0484),
    ("22 19.5 18.7 16.9 16.6 15.9 14.8 13.8 12.5 12.5 11.7 11.5 10.8 10.4 10.1 9.6 9.2 8.7 8.7 8.3 6.3 4.9"
     " 4.8 4.8 4.8 4.7 4.7 4.6 4.5 3 1.6 0.6 0", 13, 0.0480),
)  # fmt: skip


@pytest.mark.parametrize(("logs", "k", "error"), WORST)
def test_the_stated_error_covers_the_worst_weights_found(logs, k, error):
    p = np.exp(-np.array(logs.split(), float))
    for scale in (1.0, 1e-280, 1e300):
        approximate, exact = inclusion_probabilities(p * scale, k), inclusion._exact(p / p.sum(), k)
        assert np.abs(approximate - exact).max() == pytest.approx(error, abs=5e-4)
    assert error < 0.06


def test_the_stated_error_covers_many_exponential_weights():
    rng = np.random.default_rng(5)
    for k in (2, 8, 32, 50, 52, 54):
        for _ in range(4):
            p = rng.exponential(size=64)
            p /= p.sum()
            assert np.abs(inclusion_probabilities(p, k) - inclusion._exact(p, k)).max() < 0.005


def test_frequencies_of_simulated_draws():
    rng = np.random.default_rng(1)
    p = importances.tempered_probabilities(rng.standard_normal(400), 0.3)
    k, draws = 120, 4000
    times = np.zeros(400)
    for _ in range(draws):
        times[np.argpartition(-(np.log(p) + rng.gumbel(size=400)), k)[:k]] += 1
    expected = inclusion_probabilities(p, k)
    deviations = (times / draws - expected) / np.sqrt(np.maximum(expected * (1 - expected), 1e-3) / draws)
    # The sum is fixed, so the mean square is a little under 1.
    assert 0.5 < np.mean(deviations**2) < 1.2
    assert np.abs(deviations).max() < 5
    assert importances.effective_sample_size(expected / k) > 0.4  # where p has 0.3


def test_ends():
    p = np.array([0.5, 0.3, 0.2])
    np.testing.assert_allclose(inclusion_probabilities(p, 1), p, atol=1e-10)
    assert inclusion_probabilities(p, 3).tolist() == [1, 1, 1]
    assert inclusion_probabilities(np.array([2.0, 0, 1, 0]), 3).tolist() == [1, 0.5, 1, 0.5]
    assert inclusion_probabilities(np.array([1.0, 0]), 1).tolist() == [1, 0]
    uniform = inclusion_probabilities(np.full(1000, 1e-3), 100)
    np.testing.assert_allclose(uniform, 0.1, rtol=1e-12)


@pytest.mark.parametrize("least", [1e-170, 1e-200, 1e-320])
def test_probabilities_near_the_smallest_of_float64(least):
    # 10 rows are certain, and what is left is drawn among the 30 that are equally unlikely.
    many = inclusion_probabilities(np.array([1.0] * 10 + [least] * 30), 20)
    np.testing.assert_allclose(many, [1.0] * 10 + [1 / 3] * 30, rtol=1e-9)
    few = inclusion_probabilities(np.array([1.0] * 2 + [least] * 3), 3)
    np.testing.assert_allclose(few, [1.0] * 2 + [1 / 3] * 3, rtol=1e-9)


def test_rates_far_below_1e_290_keep_their_order():
    # Of two unlikely rows one is drawn after the certain one: by their odds, however small both are.
    for rest in ([3e-295, 1e-295], [3e-308, 1e-308], [3e-200, 1e-200]):
        found = inclusion_probabilities(np.array([1.0, *rest]), 2)
        np.testing.assert_allclose(found, [1, 0.75, 0.25], atol=1e-9)
    np.testing.assert_allclose(
        inclusion_probabilities([1, 1e-295, 1e-300], 2), [1, 1 - 1e-5, 1e-5], atol=1e-9
    )
    np.testing.assert_allclose(inclusion_probabilities([1, 1e-150, 1e-310], 2), [1, 1, 0], atol=1e-9)
    np.testing.assert_allclose(
        inclusion_probabilities([1e308, 1e-310, 1e-305, 1e-300], 2), [1, 0, 1e-5, 1], atol=2e-5
    )
    many = np.array([1.0] * 40 + [1e-295] * 10 + [1e-315] * 30)
    np.testing.assert_allclose(inclusion_probabilities(many, 50), [1] * 50 + [0] * 30, atol=1e-9)
    np.testing.assert_allclose(inclusion_probabilities(many, 45), [1] * 40 + [0.5] * 10 + [0] * 30, atol=1e-9)


def test_sums_beyond_float64_are_weights_too():
    np.testing.assert_allclose(inclusion_probabilities([1.7e308] * 3, 2), [2 / 3] * 3, atol=1e-9)
    np.testing.assert_allclose(inclusion_probabilities([1.7e308] * 50, 20), [0.4] * 50, rtol=1e-9)


@pytest.mark.parametrize(
    ("p", "k", "words"),
    [
        ([[0.5, 0.5]], 1, r"shape \(1, 2\)"),
        ([], 1, r"shape \(0,\)"),
        ([0.5, np.nan], 1, "probability 1 is nan"),
        ([-0.5, 1], 1, "probability 0 is -0.5"),
        ([0.0, 0.0], 1, "every probability is 0"),
        ([0.5, 0.5], 3, r"draws=3 is outside \[1, n=2\]"),
        ([0.5, 0.5], 0, r"draws=0 is outside"),
    ],
)
def test_refusals(p, k, words):
    with pytest.raises(SelectionError, match=words):
        inclusion_probabilities(np.array(p), k)
