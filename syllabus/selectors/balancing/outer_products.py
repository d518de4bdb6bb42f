"""Signed walks over outer products (left_i ⊗ right_i, left_i) of which only the factors are kept.

A step moves the walk by two outer products and then takes inner products with it. Both are done row by row
of the (p, q) running sum, the step of one vector together with the product of the next, so that the sum
is fetched from the outer cache once a vector: for the few outputs of a last layer that is less work than
the Gram matrix of a block.

Arrays are contiguous: left (m, p) float64, right (m, q) float32 or float64, the running sum (p, q) float64,
and its part beside left, `rest`, (p,) float64, or (0,) where vectors are left_i ⊗ right_i alone. Both walks
return int8 signs, or None, nothing changed, where a value is not finite. O(m p q).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.balancing.walks import Halving, Thresholds, bound, thresholds_of
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.fixed_order_sums import dot


def factor_walk(
    left: NDArray[np.float64],
    right: NDArray[np.floating[Any]],
    running_sum: NDArray[np.float64],
    rest: NDArray[np.float64],
    mean: NDArray[np.float64],
    mean_rest: NDArray[np.float64],
) -> NDArray[np.int8] | None:
    """Walk over the vectors less their mean; return (m,) signs.

    Args:
      left: (m, p).
      right: (m, q).
      running_sum: (p, q), where the walk stands; changed.
      rest: (p,) or (0,), likewise.
      mean: (p, q) float64.
      mean_rest: (p,) or (0,) float64.
    """
    signs = np.empty(len(left), np.int8)
    return signs if _walk(left, right, running_sum, rest, mean, mean_rest, signs) else None


def factor_pair_walk(
    left: NDArray[np.float64],
    right: NDArray[np.floating[Any]],
    running_sum: NDArray[np.float64],
    rest: NDArray[np.float64],
    halving: Halving | None = None,
) -> NDArray[np.int8] | None:
    """Walk over the differences of consecutive vectors; return (m // 2,) signs.

    Args:
      left: (m, p), m even.
      right: (m, q).
      running_sum: (p, q), where the walk stands; changed.
      rest: (p,) or (0,), likewise.
      halving: thresholds of kernel halving; without, they are 0.
    """
    signs = np.empty(len(left) // 2, np.int8)
    thresholds = thresholds_of(halving, len(signs))
    if _pair_walk(left, right, running_sum, rest, signs, thresholds):
        return signs
    if halving is not None:
        halving.done -= len(signs)
    return None


@compiled
def _walk(
    left: np.ndarray,
    right: np.ndarray,
    running_sum: np.ndarray,
    rest: np.ndarray,
    mean: np.ndarray,
    mean_rest: np.ndarray,
    signs: np.ndarray,
) -> bool:
    if not _finite(left, right):
        return False
    # With S = s + c m, c the sum of the signs so far: <s, z - m> = <S, z> - <S, m> - c (<m, z> - <m, m>).
    # So only z is added at a step, and c m is taken off once, in the end.
    along, square, count = dot(rest, mean_rest), dot(mean_rest, mean_rest), 0.0
    for k in range(mean.shape[0]):
        along += dot(running_sum[k], mean[k])
        square += dot(mean[k], mean[k])
    for i in range(left.shape[0] + 1):
        inside = i < left.shape[0]
        if i and rest.shape[0]:
            _add(float(signs[i - 1]), left[i - 1], rest)
        product = dot(rest, left[i]) if inside and rest.shape[0] else 0.0
        of_mean = dot(mean_rest, left[i]) if inside and rest.shape[0] else 0.0
        for k in range(left.shape[1]):
            here = running_sum[k]
            if i:
                _add(signs[i - 1] * left[i - 1, k], right[i - 1], here)
            if inside:
                product += left[i, k] * dot(here, right[i])
                of_mean += left[i, k] * dot(mean[k], right[i])
        if inside:
            signs[i] = 1 if product - along - count * (of_mean - square) <= 0.0 else -1
            along += signs[i] * of_mean
            count += signs[i]
    _add(-count, mean_rest, rest)
    for k in range(left.shape[1]):
        _add(-count, mean[k], running_sum[k])
    return True


@compiled
def _pair_walk(
    left: np.ndarray,
    right: np.ndarray,
    running_sum: np.ndarray,
    rest: np.ndarray,
    signs: np.ndarray,
    thresholds: Thresholds,
) -> bool:
    draws, penalties, spread = thresholds
    if not _finite(left, right):
        return False
    bias = 1.0 if rest.shape[0] else 0.0
    for pair in range(signs.shape[0] + 1):
        a, b, inside = 2 * pair, 2 * pair + 1, pair < signs.shape[0]
        product = 0.0
        for k in range(left.shape[1]):
            here = running_sum[k]
            if pair:
                first, second = signs[pair - 1] * left[a - 2, k], signs[pair - 1] * left[b - 2, k]
                _add_two(first, right[a - 2], second, right[b - 2], here)
                if rest.shape[0]:
                    rest[k] += first - second
            if inside:
                product += left[a, k] * dot(here, right[a]) - left[b, k] * dot(here, right[b])
                if rest.shape[0]:
                    product += rest[k] * (left[a, k] - left[b, k])
        if inside:
            threshold = 0.0
            if draws.shape[0]:
                square = dot(left[a], left[a]) * (dot(right[a], right[a]) + bias)
                square += dot(left[b], left[b]) * (dot(right[b], right[b]) + bias)
                square -= 2.0 * dot(left[a], left[b]) * (dot(right[a], right[b]) + bias)
                threshold = draws[pair] * bound(max(square, 0.0), penalties[pair], spread)
            signs[pair] = 1 if product <= threshold else -1
    return True


@compiled
def _finite(left: np.ndarray, right: np.ndarray) -> bool:
    total = 0.0
    for i in range(left.shape[0]):
        # NaN and infinity survive both sums, even times 0.
        total += dot(left[i], left[i]) * dot(right[i], right[i])
    return bool(np.isfinite(total))


@compiled
def _add(weight: float, row: np.ndarray, out: np.ndarray) -> None:
    for j in range(row.shape[0]):
        out[j] += weight * row[j]


@compiled
def _add_two(first: float, a: np.ndarray, second: float, b: np.ndarray, out: np.ndarray) -> None:
    for j in range(a.shape[0]):
        out[j] += first * a[j] - second * b[j]
