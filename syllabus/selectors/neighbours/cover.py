"""A greedy cover by cosine: which rows are left out because a kept row is as good as the same.

Single linkage joins a and c where both are near b, though they may be opposite. Here a row is left out only
if a *kept* row is within the threshold, so no row is further than that from what stands for it. As in
`blocked_search`, float32 products rule pairs out and exact sums decide: blocks and threads show in no result.
"""

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.neighbours.blocked_search import ROUNDING
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.fixed_order_sums import UNIT32, dot
from syllabus.selectors.validation import NORM_TOLERANCE, Vectors, unit_rows

BLOCK = 2000
"""Rows of a product: 16 MB."""


def greedy_cover(
    vectors: Vectors, keys: NDArray[np.int64], threshold: float, excluded: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Return the kept row that stands for each row, (n,) int64: itself if it is kept, -1 if it is excluded.

    In the order of the rows, a row is left out if a row kept before it has the same key and a cosine of at
    least `threshold` - 1e-6 with it; the first such row stands for it. Other rows are kept.

    Args:
      vectors: (n, d) float32, unit rows.
      keys: (n,) whole numbers; rows are compared where theirs are equal. A label, or a number for each label
        in each duplicate group: rows of two groups are never within the threshold.
      threshold: in (0, 1].
      excluded: (n,) bool, rows that stand for no other, and for which none stands; by default none.

    O(d Σ m·kept) for the m rows of each key, at most O(n² d / 2); memory beside the vectors is O(n), and
    one product of 2,000 × 2,000.

    >>> rows = np.array([[1, 0], [0.96, 0.28], [0.8432, 0.5376]], np.float32)
    >>> greedy_cover(rows, np.zeros(3, np.int64), 0.95).tolist()
    [0, 0, 2]

    Raises:
      SelectionError: an argument is out of its bounds.
    """
    rows = unit_rows(vectors, "greedy_cover")
    n = len(rows)
    keys, excluded = np.asarray(keys), np.zeros(n, np.bool_) if excluded is None else np.asarray(excluded)
    if keys.shape != (n,) or not np.issubdtype(keys.dtype, np.integer):
        raise SelectionError(
            f"greedy_cover: keys have shape {keys.shape} and dtype {keys.dtype};"
            f" expected ({n},) whole numbers"
        )
    if excluded.shape != (n,) or excluded.dtype != np.bool_:
        raise SelectionError(
            f"greedy_cover: excluded has shape {excluded.shape} and dtype {excluded.dtype};"
            f" expected ({n},) bool"
        )
    if not 0 < threshold <= 1:
        raise SelectionError(f"greedy_cover: threshold={threshold} is outside (0, 1]")
    covers = np.arange(n)
    covers[excluded] = -1
    candidates = np.flatnonzero(~excluded)
    candidates = candidates[np.argsort(keys[candidates], kind="stable")]
    ends = np.flatnonzero(np.diff(keys[candidates])) + 1
    for members in np.split(candidates, ends):
        if len(members) > 1:
            _cover(rows, members, threshold - ROUNDING, covers)
    return covers


def _cover(
    rows: NDArray[np.float32], members: NDArray[np.int64], low: float, covers: NDArray[np.int64]
) -> None:
    """Cover the rows `members` (ascending) by one another."""
    # Norms are within 1e-4 of 1; sixteen more units cover the rounding around the product.
    error = (rows.shape[1] + 16) * UNIT32 * (1 + 3 * NORM_TOLERANCE)
    kept, count = np.empty_like(members), 0
    for first in range(0, len(members), BLOCK):
        ids = members[first : first + BLOCK]
        block = rows[ids]
        for start in range(0, count, BLOCK):
            # Read anew for every block: a copy of all kept rows would be another (n, d).
            these = kept[start : min(start + BLOCK, count)]
            theirs = rows[these]
            _stand_for(block @ theirs.T, block, ids, theirs, these, error, low, covers)
            still = covers[ids] == ids
            ids, block = ids[still], block[still]
            if not len(ids):
                break
        _stand_for(block @ block.T, block, ids, block, ids, error, low, covers)
        alone = ids[covers[ids] == ids]
        kept[count : count + len(alone)] = alone
        count += len(alone)


@compiled
def _stand_for(
    products: np.ndarray,
    rows: np.ndarray,
    ids: np.ndarray,
    kept: np.ndarray,
    kept_ids: np.ndarray,
    error: float,
    low: float,
    covers: np.ndarray,
) -> None:
    """Let the first within reach stand for each row, of the rows before it that are kept by now."""
    for i in range(products.shape[0]):
        for j in range(products.shape[1]):
            if kept_ids[j] >= ids[i]:
                break
            value = products[i, j]
            if value < low - error or covers[kept_ids[j]] != kept_ids[j]:
                continue
            if value >= low + error or dot(rows[i], kept[j]) >= low:
                covers[ids[i]] = kept_ids[j]
                break
