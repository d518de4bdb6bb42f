"""Exact distances of rows to the nearest of others, found by a float32 matrix product.

A product G = A Bᵀ in float32, summed in any order, errs by at most ε = γ_d max‖a‖ max‖b‖ (d + a few units of
2^-24). It rules out all pairs but those within 2ε of the best of their row; `squared_distance_over_4`
decides these. The result is that of computing every pair exactly, whatever the shapes and threads of the
product.
"""

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.fixed_order_sums import dot, largest_difference, squared_distance_over_4

_BLOCK = 1024


def nearest_distances(
    rows: NDArray[np.float32], indices: NDArray[np.int64], error: float
) -> NDArray[np.float64]:
    """Return, for each of k >= 2 rows, its ‖x - y‖²/4 to the nearest other one; (k,) float64.

    Cost: one (k x d)(d x k) product; memory 4 MB + k d floats.
    """
    chosen = np.ascontiguousarray(rows[indices])
    norms = squared_norms(chosen)
    nearest = np.full(len(chosen), np.inf)
    for start in range(0, len(chosen), _BLOCK):
        block = chosen[start : start + _BLOCK]
        for other in range(0, len(chosen), _BLOCK):
            picks = chosen[other : other + _BLOCK]
            product = block @ picks.T
            if start == other:
                np.fill_diagonal(product, -np.inf)
            lower_nearest(
                product, block, picks, norms[other : other + _BLOCK], nearest[start : start + _BLOCK], error
            )
    return nearest


def squared_norms(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return ‖x‖² of each row, (n,) float64."""
    out = np.empty(len(rows))
    _squared_norms(rows, out)
    return out


@compiled
def _squared_norms(rows: np.ndarray, out: np.ndarray) -> None:
    for i in range(rows.shape[0]):
        out[i] = dot(rows[i], rows[i])


def lower_nearest(
    product: NDArray[np.float32],
    rows: NDArray[np.float32],
    picks: NDArray[np.float32],
    pick_norms: NDArray[np.float64],
    nearest: NDArray[np.float64],
    error: float,
) -> None:
    """Lower `nearest` to the exact distance of each row to the nearest of `picks`, where that is less.

    product: (b, p) float32, rows @ picks.T within `error`; an entry of -inf leaves its pair out.
    """
    # 4 dist = ‖x‖² + ‖p‖² - 2<x, p>, so the nearest pick has the largest <x, p> - ‖p‖²/2, here g_p.
    _lower_nearest(product, rows, picks, pick_norms / 2, nearest, error)


@compiled
def _lower_nearest(
    product: np.ndarray,
    rows: np.ndarray,
    picks: np.ndarray,
    half: np.ndarray,
    nearest: np.ndarray,
    error: float,
) -> None:
    for i in range(product.shape[0]):
        best = largest_difference(product[i], half)
        own = dot(rows[i], rows[i]) / 2.0
        # dist = (own - g)/2: a pair can matter only if g reaches both the row's best and the known distance.
        reach = max(best - 2.0 * error, own - 2.0 * nearest[i] - error)
        if best < reach:
            continue
        for p in range(product.shape[1]):
            if product[i, p] - half[p] >= reach:
                nearest[i] = min(nearest[i], squared_distance_over_4(rows[i], picks[p]))
