"""Whether a cosine threshold tells copies from neighbours: figures from a search and from random pairs.

A threshold is absolute and vectors are not: in few dimensions the tenth neighbour of every row may lie above
.95. Copies are known by the gap that they leave. Where rows lie close without being copies, the number of
pairs within a distance grows as a power of it, so that many lie just beyond the threshold: `crowded` counts
those.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.neighbours.blocked_search import ROUNDING
from syllabus.selectors.neighbours.top_k import TopK
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.fixed_order_sums import UNIT32, dot

NEARER, TYPICAL = 8.0, 0.75
"""How often a copy is nearer than the last neighbour looked for, at this quantile of the rows' distances."""
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
      nearest: the same of each row's cosine with its nearest other row; empty where none has one.
      random_share: share of random pairs within the threshold.
      crowded: share of the rows kept by a cover whose nearest neighbour below the threshold is within twice
        its distance, at a cosine in [1 - 2(1 - t), t), or that only have neighbours within the threshold.
      mixed: share of neighbours within the threshold that have another label; None without labels.
      chance: share of random pairs that have another label; None without labels.
    """

    threshold: float
    random: tuple[float, ...]
    nearest: tuple[float, ...]
    random_share: float
    crowded: float
    mixed: float | None
    chance: float | None

    @property
    def against(self) -> tuple[str, ...]:
        """Names of the attributes that speak against what is within the threshold being copies."""
        unlike = self.mixed is not None and self.chance is not None and self.mixed > MIXED * self.chance
        found = {
            "random_share": self.random_share > RANDOM,
            "crowded": self.crowded > CROWDED,
            "mixed": unlike,
            "threshold": self.threshold > LARGEST,
        }
        return tuple(name for name, holds in found.items() if holds)

    @property
    def separates(self) -> bool:
        """Whether what is within the threshold lies apart from what is not, and goes with the labels."""
        return not self.against


def separation_of(
    random: NDArray[np.float64],
    found: Iterable[tuple[NDArray[np.int64], TopK]],
    covers: NDArray[np.integer[Any]],
    threshold: float,
    labels: NDArray[np.integer[Any]] | None = None,
    nearest: tuple[float, ...] = (),
) -> Separation:
    """Return how `threshold` lies among the cosines of a data set.

    Args:
      random: (m,) cosines of random pairs of rows, m >= 1.
      found: (rows, their nearest other rows), each of the n rows once, in any pieces.
      covers: (n,) the row that stands for each row, as `greedy_cover` returns it.
      threshold: in (0, 1].
      labels: (n,) whole numbers; below 0 where a row has none.
      nearest: what `nearest_quantiles` returns, if it is known: it is the same for all thresholds.

    O(n k); memory beside one piece is that of `nearest_quantiles` where it is not known, and with labels
    theirs twice.

    >>> nearest = TopK(np.array([[1], [0], [0]]), np.array([[1.0], [1.0], [0.2]]))
    >>> separation_of(np.array([0.2]), [(np.arange(3), nearest)], np.array([0, 0, 2]), 0.95).crowded
    0.5

    Raises:
      SelectionError: `random` is empty, or `threshold` is out of its bounds.
    """
    if len(random) == 0 or len(covers) == 0:
        raise SelectionError(
            f"separation_of: {len(random)} random pairs of {len(covers)} rows; expected some"
        )
    if not 0 < threshold <= 1:
        raise SelectionError(f"separation_of: threshold={threshold} is outside (0, 1]")
    low, firsts = threshold - ROUNDING, _Firsts(0 if nearest else len(covers))
    kept = crowded = unlike = known = 0
    for rows, each in found:
        there = each.ids >= 0
        within = there & (each.cosines >= low)
        if not nearest:
            firsts.add(each)
        alone = np.flatnonzero(covers[rows] == rows)
        # Neighbours are in order, so the first one below the threshold stands after those within it.
        count = within[alone].sum(axis=1)
        place = np.minimum(count, each.ids.shape[1] - 1)
        beyond = there[alone, place] & (each.cosines[alone, place] >= 2 * low - 1)
        kept += len(alone)
        crowded += int(((count == each.ids.shape[1]) | beyond).sum())
        if labels is not None:
            places, ranks = np.nonzero(within)
            own, other = labels[rows[places]], labels[each.ids[places, ranks]]
            both = (own >= 0) & (other >= 0)
            known += int(both.sum())
            unlike += int((own != other)[both].sum())
    chance = None
    if labels is not None:
        sizes = np.unique(labels[labels >= 0], return_counts=True)[1]
        chance = float(1 - ((sizes / max(sizes.sum(), 1)) ** 2).sum())
    return Separation(
        threshold,
        _quantiles(random),
        nearest or firsts.quantiles(),
        float((random >= low).mean()),
        crowded / kept if kept else 1.0,
        None if labels is None else unlike / max(known, 1),
        chance,
    )


def nearest_quantiles(found: Iterable[tuple[NDArray[np.int64], TopK]], rows: int) -> tuple[float, ...]:
    """Return the quantiles, at `QUANTILES`, of the cosines of rows with their nearest other row.

    Args:
      found: (rows, their nearest other rows), each of the rows once, in any pieces.
      rows: n, all of them.

    Memory: 8 bytes a row. None, (), where no row has another.

    >>> nearest_quantiles([(np.arange(2), TopK(np.array([[1], [0]]), np.array([[0.5], [0.5]])))], 2)
    (0.5, 0.5, 0.5, 0.5, 0.5)
    """
    firsts = _Firsts(rows)
    for _, each in found:
        firsts.add(each)
    return firsts.quantiles()


class _Firsts:
    """The cosines of rows with their nearest, of those that have one."""

    def __init__(self, rows: int) -> None:
        self._values, self._count = np.empty(rows), 0

    def add(self, nearest: TopK) -> None:
        own = nearest.cosines[nearest.ids[:, 0] >= 0, 0]
        self._values[self._count : self._count + len(own)] = own
        self._count += len(own)

    def quantiles(self) -> tuple[float, ...]:
        # In place: nobody reads them again.
        return _quantiles(self._values[: self._count], overwrite=True)


def relative_threshold(last: NDArray[np.float64], threshold: float, nearer: float = NEARER) -> float:
    """Return `threshold`, or more where rows lie so close that neighbours would pass for copies.

    A copy is `nearer` times as near, by 1 - cosine, as the k-th neighbour at its third quartile: up to three
    quarters of the rows may have k copies. Above 0.9999 (`LARGEST`) a threshold tells nothing.

    Args:
      last: (n,) the cosine of each row's k-th nearest other row; -inf where fewer were found.
      threshold: in (0, 1].
      nearer: at least 1; 0 leaves `threshold` as it is.

    Memory: a copy of `last`.

    >>> relative_threshold(np.array([0.92, 0.92]), 0.95)
    0.99
    >>> relative_threshold(np.array([1 + 1e-9, 1 + 1e-9]), 0.95)
    1.0
    """
    finite = np.isfinite(last)
    if not finite.any() or nearer == 0:
        return threshold
    if not finite.all():
        last = last[finite]
    del finite
    # Equal rows have a cosine that rounding puts above 1.
    return max(threshold, 1 - max(0.0, 1 - float(np.quantile(last, 1 - TYPICAL))) / nearer)


def pair_cosines(
    rows: NDArray[np.float32], first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the cosines of pairs of unit rows, by their places, (m,) float64; the same on every machine."""
    found = np.empty(len(first))
    _write_cosines(np.ascontiguousarray(rows), first, second, found)
    return found


def least_cosine(rows: NDArray[np.float32]) -> float:
    """Return the least cosine of two of (n, d) unit rows, 1 of a single one; the same on every machine.

    O(n² d); memory beside them 4 n² bytes.

    >>> least_cosine(np.array([[1, 0], [0.6, 0.8], [1, 0]], np.float32))  # float32: 0.6 is a little more
    0.6000000238418579
    """
    products = rows @ rows.T
    error = (rows.shape[1] + 16) * UNIT32 * 1.001
    first, second = np.nonzero(np.triu(products <= products.min() + 2 * error, 1))
    return float(pair_cosines(rows, first, second).min()) if len(first) else 1.0


@compiled
def _write_cosines(rows: np.ndarray, first: np.ndarray, second: np.ndarray, found: np.ndarray) -> None:
    for pair in range(len(first)):
        found[pair] = dot(rows[first[pair]], rows[second[pair]])


def _quantiles(values: NDArray[np.float64], overwrite: bool = False) -> tuple[float, ...]:
    if not len(values):
        return ()
    return tuple(float(value) for value in np.quantile(values, QUANTILES, overwrite_input=overwrite))
