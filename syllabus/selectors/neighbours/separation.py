"""Whether a cosine threshold tells copies from neighbours: figures from a search and from random pairs.

A threshold is absolute and vectors are not: in few dimensions the tenth neighbour of every row may lie above
.95. Copies are known by the gap that they leave. Where rows lie close without being copies, the number of
pairs within a distance grows as a power of it, so that many lie just beyond the threshold: `crowded` counts
those.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.neighbours.blocked_search import ROUNDING

NEAR, TYPICAL = 1 / 8, 0.75
"""A copy's distance in terms of that of the last neighbour looked for, at this quantile of the rows."""
LARGEST = 1 - 1e-4
"""Threshold above which rounding and copies cannot be told apart."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
CROWDED = 0.25
"""Share of crowded rows above which a threshold separates nothing."""
RANDOM = 0.01
"""Share of random pairs above which it separates nothing; 3,000 copies of 120 rows, of 6,000, make .004."""
MIXED = 0.5
"""Share of pairs with two labels, in terms of that of random pairs, above which they are no copies."""


@dataclass(frozen=True)
class Separation:
    """How a threshold t lies among the cosines of a data set.

    Attributes:
      threshold: t.
      random: quantiles, at `QUANTILES`, of the cosines of random pairs.
      nearest: the same of each row's cosine with its nearest other row.
      random_share: share of random pairs within the threshold.
      crowded: share of the rows kept by a cover whose nearest neighbour below the threshold is within twice
        its distance, at a cosine in [1 - 2(1 - t), t), or that only have neighbours within the threshold.
      mixed: share of neighbours within the threshold that have another label; None without labels.
      chance: share of random pairs that have another label; None without labels.
      largest: rows of the largest group.
    """

    threshold: float
    random: tuple[float, ...]
    nearest: tuple[float, ...]
    random_share: float
    crowded: float
    mixed: float | None
    chance: float | None
    largest: int

    @property
    def separates(self) -> bool:
        """Whether what is within the threshold lies apart from what is not, and goes with the labels."""
        alike = self.mixed is None or self.chance is None or self.mixed <= MIXED * self.chance
        apart = self.crowded <= CROWDED and self.random_share <= RANDOM
        return apart and alike and self.threshold <= LARGEST


def separation(
    random: NDArray[np.float64],
    ids: NDArray[np.int64],
    cosines: NDArray[np.float64],
    covers: NDArray[np.int64],
    groups: NDArray[np.int64],
    threshold: float,
    labels: NDArray[np.int64] | None = None,
) -> Separation:
    """Return how `threshold` lies among the cosines of a data set.

    Args:
      random: (m,) cosines of random pairs of rows, m >= 1.
      ids: (n, k) the nearest other rows of each row, nearest first; -1 where fewer were found.
      cosines: (n, k) theirs.
      covers: (n,) the row that stands for each row, as `greedy_cover` returns it.
      groups: (n,) the first row of each row's duplicate group.
      threshold: in (0, 1].
      labels: (n,) whole numbers; below 0 where a row has none.

    O(n k); no memory of n k beside a mask.

    >>> ids, cosines = np.array([[1], [0], [0]]), np.array([[1.0], [1.0], [0.2]])
    >>> found = separation(np.array([0.2]), ids, cosines, np.array([0, 0, 2]), np.array([0, 0, 2]), 0.95)
    >>> found.crowded, found.largest
    (0.5, 2)

    Raises:
      SelectionError: shapes differ, or `threshold` is out of its bounds.
    """
    n = len(groups)
    if ids.shape != cosines.shape or ids.ndim != 2 or len(ids) != n or n == 0 or len(random) == 0:
        raise SelectionError(
            f"separation: ids {ids.shape}, cosines {cosines.shape}, groups {groups.shape} and random"
            f" {random.shape}; expected (n, k), (n, k), (n,) and (m,), none of them empty"
        )
    if not 0 < threshold <= 1:
        raise SelectionError(f"separation: threshold={threshold} is outside (0, 1]")
    low, found = threshold - ROUNDING, ids >= 0
    within = found & (cosines >= low)
    kept = np.flatnonzero(covers == np.arange(n))
    # Neighbours are in order, so the first one below the threshold stands after those within it.
    count = within[kept].sum(axis=1)
    full = count == ids.shape[1]
    place = np.minimum(count, ids.shape[1] - 1)
    beyond = cosines[kept, place] >= 2 * low - 1
    crowded = full | (found[kept, place] & beyond)
    mixed = chance = None
    if labels is not None:
        rows, ranks = np.nonzero(within)
        own, other = labels[rows], labels[ids[rows, ranks]]
        unlike = (own != other)[(own >= 0) & (other >= 0)]
        mixed = float(unlike.mean()) if len(unlike) else 0.0
        sizes = np.bincount(labels[labels >= 0])
        chance = float(1 - ((sizes / max(sizes.sum(), 1)) ** 2).sum())
    nearest = cosines[found[:, 0], 0]
    return Separation(
        threshold,
        _quantiles(random),
        _quantiles(nearest) if len(nearest) else (),
        float((random >= low).mean()),
        float(crowded.mean()) if len(kept) else 1.0,
        mixed,
        chance,
        int(np.bincount(groups).max()),
    )


def relative_threshold(cosines: NDArray[np.float64], threshold: float) -> float:
    """Return `threshold`, or more where rows lie so close that neighbours would pass for copies.

    The distance 1 - cosine of a copy is at most an eighth of that of the k-th neighbour, at its third
    quartile: up to three quarters of the rows may have k copies. Above 0.9999 (`LARGEST`) a threshold
    tells nothing.

    Args:
      cosines: (n, k) the cosines of the k nearest other rows, descending; -inf where fewer were found.
      threshold: in (0, 1].

    >>> relative_threshold(np.array([[0.99, 0.92], [0.98, 0.92]]), 0.95)
    0.99
    """
    last = cosines[:, -1]
    last = last[np.isfinite(last)]
    if not len(last):
        return threshold
    return max(threshold, 1 - NEAR * (1 - float(np.quantile(last, 1 - TYPICAL))))


def _quantiles(values: NDArray[np.float64]) -> tuple[float, ...]:
    levels: Sequence[float] = QUANTILES
    return tuple(float(value) for value in np.quantile(values, levels))
