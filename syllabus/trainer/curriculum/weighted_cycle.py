"""The weighted cycle: examples one after another, their weights as lengths, cut by the midpoint rule.

A slice has the examples whose midpoint lies in it: slices that cover the cycle have each example once, and
one of b units weighs b, give or take half an example at either end. With weights of 1 that is counting.
"""

from collections.abc import Sequence

import numpy as np


class WeightedCycle:
    """Examples one after another: (m,) int64 `members` of (m,) int64 `weights`."""

    def __init__(self, members: np.ndarray, weights: np.ndarray) -> None:
        self._members, self._midpoints, self._length = members, midpoints(weights), int(weights.sum())

    @classmethod
    def merged(cls, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> "WeightedCycle":
        """Lay out the members of several (members, weights), each by its midpoint as a share of its own part.

        So a slice has of each part in proportion to what the part weighs. Equal shares come in the order
        of `parts`: for weights of 1 it is `syllabus.trainer.curriculum.strata.apportion`. O(m log m).
        """
        shares = np.concatenate([midpoints(weights) / (2 * int(weights.sum())) for _, weights in parts])
        order = np.argsort(shares, kind="stable")
        return cls(*(np.concatenate(column)[order] for column in zip(*parts, strict=True)))

    def slice(self, number: int, size: int) -> np.ndarray:
        """Return the members of the `number`-th slice of `size` units; the last one goes on in front."""
        start, stop = number * size, (number + 1) * size
        again = max(stop - self._length, 0)
        first, last, wrapped = np.searchsorted(self._midpoints, [2 * start, 2 * stop, 2 * again])
        return np.concatenate([self._members[first:last], self._members[:wrapped]])


def midpoints(weights: np.ndarray) -> np.ndarray:
    """Return (m,) int64, twice the midpoint of each of (m,) int64 `weights` that lie one after another."""
    result = np.cumsum(weights)
    result *= 2
    result -= weights
    return result
