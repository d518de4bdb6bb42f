"""Pair balance of rows that lie in pieces, one array for each parameter of a model, say.

Rows of millions of numbers are larger than the caches, so what a walk costs is how often they are fetched.
The step of one pair is made together with the inner product of the next, in tiles of columns that stay in
the innermost cache.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.balancing.walks import Halving, bound
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.fixed_order_sums import centred_dot, squared_distance_over_4

_TILE = 1024  # columns


def pieces_pair_walk(
    pieces: Sequence[NDArray[np.float32]], running_sum: NDArray[np.float64], halving: Halving | None = None
) -> NDArray[np.int8] | None:
    """Walk over the differences of consecutive rows; return (m // 2,) signs.

    Args:
      pieces: (m, d_i) each, contiguous, m even; side by side they are the rows.
      running_sum: (Σ d_i,), where the walk stands; changed.
      halving: thresholds of kernel halving; without, they are 0.

    Returns None, nothing changed, where a value is not finite. O(m d), and a copy of the running sum.
    """
    ends = np.cumsum([piece.shape[1] for piece in pieces])
    parts = list(zip(pieces, np.split(running_sum, ends[:-1]), strict=True))
    signs = np.zeros(len(pieces[0]) // 2, np.int8)
    before = running_sum.copy()
    if halving is not None:
        grown, done = float(halving.spread[0]), halving.done
        draws, penalties = halving.draw(len(signs))
    for pair in range(len(signs) + 1):
        sign = float(signs[pair - 1]) if pair else 0.0
        product = square = 0.0
        for rows, here in parts:
            found = _step(rows, here, pair, sign, halving is not None)
            product, square = product + found[0], square + found[1]
        # NaN and infinity survive each product and sum, even times 0.
        if not np.isfinite(product):
            running_sum[:] = before
            if halving is not None:
                halving.spread[0], halving.done = grown, done
            return None
        if pair < len(signs):
            threshold = 0.0
            if halving is not None:
                threshold = draws[pair] * bound(square, penalties[pair], halving.spread)
            signs[pair] = 1 if product <= threshold else -1
    return signs


@compiled
def _step(
    rows: np.ndarray, running_sum: np.ndarray, pair: int, sign: float, squared: bool
) -> tuple[float, float]:
    """Move by `sign` times the difference before `pair`; return <s, z> and, if asked, ‖z‖² of `pair`."""
    product = square = 0.0
    for start in range(0, running_sum.shape[0], _TILE):
        stop = min(start + _TILE, running_sum.shape[0])
        here = running_sum[start:stop]
        if sign != 0.0:
            a, b = rows[2 * pair - 2, start:stop], rows[2 * pair - 1, start:stop]
            for j in range(here.shape[0]):
                here[j] += sign * (np.float64(a[j]) - np.float64(b[j]))
        if 2 * pair < rows.shape[0]:
            a, b = rows[2 * pair, start:stop], rows[2 * pair + 1, start:stop]
            product += centred_dot(here, a, b)
            if squared:
                square += 4.0 * squared_distance_over_4(a, b)
    return product, square
