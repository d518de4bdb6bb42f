"""Signed walks over outer products (left_i ⊗ right_i, left_i) of which only the factors are kept.

Each vector, or difference of two, is written out in float32, as other features are, and then walked over: one
at a time, so that it stays in the inner caches. That is less work than the Gram matrix of a block, and than
products with the factors where their rows are short.

Arrays are contiguous: left (m, p) float64, right (m, q) float32 or float64, the running sum float64: (p q,)
where vectors are left_i ⊗ right_i alone, else (p q + p,). Both walks return int8 signs, or None, nothing
changed, where a value is not finite, or an example's product too large for float32. O(m p q).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.balancing.walks import Halving, Thresholds, bound, thresholds_of
from syllabus.selectors.numerics.compiled import compiled, compiled_inside
from syllabus.selectors.numerics.fixed_order_sums import dot

NO_SUM = np.empty(0)
_LARGEST = 1e75  # of summed squares, so that no product of two numbers leaves float32


def factor_walk(
    left: NDArray[np.float64],
    right: NDArray[np.floating[Any]],
    running_sum: NDArray[np.float64],
    mean: NDArray[np.float64],
    total: NDArray[np.float64],
) -> NDArray[np.int8] | None:
    """Walk over the vectors less their mean; return (m,) signs.

    Args:
      left: (m, p).
      right: (m, q).
      running_sum: (p q,) or (p q + p,), where the walk stands; changed.
      mean: as many float64.
      total: as many float64, to which the vectors themselves are added, or `NO_SUM`; changed.
    """
    signs = np.empty(len(left), np.int8)
    return signs if _walk(left, right, running_sum, mean, total, signs) else None


def factor_pair_walk(
    left: NDArray[np.float64],
    right: NDArray[np.floating[Any]],
    running_sum: NDArray[np.float64],
    halving: Halving | None = None,
) -> NDArray[np.int8] | None:
    """Walk over the differences of consecutive vectors; return (m // 2,) signs.

    Args:
      left: (m, p), m even.
      right: (m, q).
      running_sum: (p q,) or (p q + p,), where the walk stands; changed.
      halving: thresholds of kernel halving; without, they are 0.
    """
    signs = np.empty(len(left) // 2, np.int8)
    thresholds = thresholds_of(halving, len(signs))
    if _pair_walk(left, right, running_sum, signs, thresholds):
        return signs
    if halving is not None:
        halving.done -= len(signs)
    return None


@compiled
def _walk(
    left: np.ndarray,
    right: np.ndarray,
    running_sum: np.ndarray,
    mean: np.ndarray,
    total: np.ndarray,
    signs: np.ndarray,
) -> bool:
    if not is_finite(left, right):
        return False
    # With S = s + c m, c the sum of the signs so far: <s, z - m> = <S, z> - <S, m> - c (<m, z> - <m, m>).
    # So only z is added at a step, and c m is taken off once, in the end.
    along, square, count = dot(running_sum, mean), dot(mean, mean), 0.0
    z = np.empty(running_sum.shape[0], np.float32)
    for i in range(signs.shape[0]):
        _write(left[i], right[i], z)
        of_mean = dot(mean, z)
        sign = 1.0 if dot(running_sum, z) - along - count * (of_mean - square) <= 0.0 else -1.0
        for j in range(z.shape[0]):
            running_sum[j] += sign * z[j]
        for j in range(total.shape[0]):
            total[j] += z[j]
        signs[i] = sign
        along += sign * of_mean
        count += sign
    for j in range(mean.shape[0]):
        running_sum[j] -= count * mean[j]
    return True


@compiled
def _pair_walk(
    left: np.ndarray, right: np.ndarray, running_sum: np.ndarray, signs: np.ndarray, thresholds: Thresholds
) -> bool:
    draws, penalties, spread = thresholds
    if not is_finite(left, right):
        return False
    z = np.empty(running_sum.shape[0], np.float32)
    for pair in range(signs.shape[0]):
        _write_difference(left[2 * pair], right[2 * pair], left[2 * pair + 1], right[2 * pair + 1], z)
        threshold = 0.0
        if draws.shape[0]:
            threshold = draws[pair] * bound(dot(z, z), penalties[pair], spread)
        sign = 1.0 if dot(running_sum, z) <= threshold else -1.0
        for j in range(z.shape[0]):
            running_sum[j] += sign * z[j]
        signs[pair] = sign
    return True


@compiled_inside
def _write(left: np.ndarray, right: np.ndarray, z: np.ndarray) -> None:
    """Write left ⊗ right into z, and left behind it where there is room."""
    inputs = right.shape[0]
    for k in range(left.shape[0]):
        here, weight = z[k * inputs : (k + 1) * inputs], np.float32(left[k])
        for j in range(inputs):
            here[j] = weight * right[j]
    for k in range(z.shape[0] - left.shape[0] * inputs):
        z[left.shape[0] * inputs + k] = left[k]


@compiled_inside
def _write_difference(
    left: np.ndarray, right: np.ndarray, left2: np.ndarray, right2: np.ndarray, z: np.ndarray
) -> None:
    """Write the first outer product less the second, as `_write` does."""
    inputs = right.shape[0]
    for k in range(left.shape[0]):
        here, a, b = z[k * inputs : (k + 1) * inputs], np.float32(left[k]), np.float32(left2[k])
        for j in range(inputs):
            here[j] = a * right[j] - b * right2[j]
    for k in range(z.shape[0] - left.shape[0] * inputs):
        z[left.shape[0] * inputs + k] = left[k] - left2[k]


@compiled
def is_finite(left: np.ndarray, right: np.ndarray) -> bool:
    """Return whether walks take all of these outer products."""
    total = 0.0
    for i in range(left.shape[0]):
        # NaN and infinity survive both sums, even times 0.
        total += dot(left[i], left[i]) * (dot(right[i], right[i]) + 1.0)
    return total < _LARGEST  # NaN is not
