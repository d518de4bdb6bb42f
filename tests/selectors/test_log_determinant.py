"""Log-determinants of rows of any length: within their stated error of exact ones, or refused."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from syllabus.selectors import LogDeterminant, Mixture, SelectionError, maximize, maximize_within


def rows_of(norm, n=30, d=3, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, d))
    return (rows * (norm / np.linalg.norm(rows, axis=1))[:, None]).astype(np.float32)


def exact(rows, r, indices):
    """ln det(K + rI) by elimination of fractions."""
    chosen = [[Fraction(float(x)) for x in rows[i]] for i in indices]
    matrix = [[sum(a * b for a, b in zip(x, y, strict=True)) for y in chosen] for x in chosen]
    total = 0.0
    for i in range(len(matrix)):
        matrix[i][i] += Fraction(r)
    for t in range(len(matrix)):
        pivot = matrix[t][t]
        total += float(np.log(np.longdouble(pivot.numerator)) - np.log(np.longdouble(pivot.denominator)))
        for i in range(t + 1, len(matrix)):
            factor = matrix[i][t] / pivot
            matrix[i] = [a - factor * b for a, b in zip(matrix[i], matrix[t], strict=True)]
    return total


@pytest.mark.parametrize(("norm", "r"), [(1e4, 1e-6), (1e8, 0.99e6), (1e12, 1.0), (9e14, 1e6), (101.0, 1e-6)])
def test_a_regularisation_that_float64_would_lose_is_refused(norm, r):
    with pytest.raises(
        SelectionError, match=r"log_determinant: regularisation=.* is below .*1e-10 of the largest"
    ):
        LogDeterminant(rows_of(norm), r, similarity="dot")


@pytest.mark.parametrize(
    ("norm", "r"),
    [(1e4, 0.011), (99.9, 1e-6), (1e4, 1.0), (1e8, 1.1e6), (1.0, 1e-6), (9e14, 1.1e20), (1e5, 1.01)],
)
def test_values_are_within_their_stated_error(norm, r):
    for seed in range(3):
        rows = rows_of(norm, seed=seed)
        rows[10:20] = rows[:10]  # copies leave r alone of a pivot
        function = LogDeterminant(rows, r, similarity="dot")
        indices = [0, 10, 1, 2, 11, 20, 21, 22]
        error = sum(function.gain_error(t) for t in range(len(indices)))
        assert abs(function.value(indices) - exact(rows, r, indices)) <= error + 1e-9
        assert error < 1e-2
        found = maximize(function, 8)
        assert found.indices.tolist() == maximize(function, 8, "naive").indices.tolist()
        assert found.gains.min() >= np.log(r) - 1e-12


def test_the_error_of_unit_rows_is_in_the_last_digits():
    rows = rows_of(1.0, 50, 16)
    function = LogDeterminant(rows)
    assert function.gain_error(50) < 1e-12
    assert function.value_error(50) == 0.0


def test_a_bound_is_not_below_the_value_of_any_set():
    for seed in range(5):
        rows = rows_of(9e4, 7, 2, seed)
        function = LogDeterminant(rows, 1.0, similarity="dot")
        best = max(exact(rows, 1.0, each) for each in itertools.combinations(range(7), 4))
        for found in (
            maximize(function, 4),
            maximize(function, 4, "naive"),
            maximize_within(function, np.ones(7), 4),
        ):
            assert found.upper_bound >= best
        mixed = Mixture([function], [2.0])
        assert maximize(mixed, 4).upper_bound >= 2 * best
        assert mixed.value_error(4) == 2 * function.value_error(4) > 0


def test_no_pivot_falls_below_the_regularisation():
    rows = np.repeat(rows_of(1e8, 2, 3), 4, axis=0)
    function = LogDeterminant(rows, 1.1e6, similarity="dot")
    function.regularisation = 1e-3  # as rounding of very many rows would have it: what is left is negative
    for optimizer in ("naive", "lazy"):
        assert maximize(function, 8, optimizer).gains.min() >= np.log(1e-3)
