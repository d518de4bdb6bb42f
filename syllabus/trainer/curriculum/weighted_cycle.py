"""The slices of ``fresh`` where budgets count the units of a column, such as tokens.

Examples lie one after another, their weights as lengths. A stretch of this line has the examples whose
middle lies in it: stretches that cover the line have each example once, and one of b units weighs b, give or
take half an example at either end. With weights of 1 that is counting.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from syllabus.trainer import counter_rng
from syllabus.trainer.curriculum.strata import Strata, middles_of


@dataclass(frozen=True)
class Line:
    """Examples one after another.

    Attributes:
        members: (m,) int64 indices.
        middles: (m,) int64, twice the middle of each, so that it is whole.
        length: of all of them together.
    """

    members: np.ndarray
    middles: np.ndarray
    length: int

    @classmethod
    def of(cls, members: np.ndarray, weights: np.ndarray) -> Line:
        """Lay (m,) `members` of (m,) `weights` out in their order."""
        return cls(members, middles_of(weights), int(weights.sum()))

    @classmethod
    def merged(cls, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> Line:
        """Lay out the members of several (members, weights), each by its middle as a share of its own part.

        So a stretch has of each part in proportion to what the part weighs. Equal shares come in the order
        of `parts`: for weights of 1 it is `syllabus.trainer.curriculum.strata.apportion`. O(m log m).
        """
        shares = np.concatenate([middles_of(weights) / (2 * int(weights.sum())) for _, weights in parts])
        order = np.argsort(shares, kind="stable")
        members, weights = (np.concatenate(column)[order] for column in zip(*parts, strict=True))
        return cls.of(members, weights)

    def slot(self, number: int, size: int) -> np.ndarray:
        """Return the members of the `number`-th stretch of `size` units; the last one goes on in front."""
        start, stop = number * size, (number + 1) * size
        again = max(stop - self.length, 0)
        first, last, wrapped = np.searchsorted(self.middles, [2 * start, 2 * stop, 2 * again])
        return np.concatenate([self.members[first:last], self.members[:wrapped]])


class Lines:
    """The lines whose slots are the epochs of ``fresh``; those of the last cycle asked for are kept.

    Memory: 16 bytes an example; while the line of all is made, 56.
    """

    def __init__(self, strata: Strata, seed: int) -> None:
        self._strata, self._seed = strata, seed
        self._kept: dict[int, tuple[int, Line]] = {}

    def of(self, part: int, cycle: int) -> Line:
        """Return the members of one partition in a cycle's order."""
        cached, line = self._kept.get(part, (-1, None))
        if line is None or cached != cycle:
            line = Line.of(*self._permuted(part, cycle))
            self._kept[part] = cycle, line
        return line

    def all(self, cycle: int, threads: int) -> Line:
        """Return the members of all partitions, in each in the cycle's order, in proportion everywhere."""
        cached, line = self._kept.get(-1, (-1, None))
        if line is None or cached != cycle:
            full = np.flatnonzero(self._strata.sizes).tolist()
            with ThreadPoolExecutor(threads) as pool:
                line = Line.merged(list(pool.map(lambda part: self._permuted(part, cycle), full)))
            self._kept[-1] = cycle, line
        return line

    def _permuted(self, part: int, cycle: int) -> tuple[np.ndarray, np.ndarray]:
        members, units = self._strata.part(part)
        order = counter_rng.order(counter_rng.key(self._seed, "fresh", cycle), members)
        return members[order], units[order]
