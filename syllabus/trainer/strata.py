"""Partitions as an epoch's draw sees them: who is in each, how many are due, which are taken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CHUNK = 1 << 18


@dataclass(frozen=True)
class Strata:
    """The examples that may be drawn, grouped by partition.

    Attributes:
        members: (n,) int64 example indices, by partition.
        starts: (C+1,) int64; partition c is ``members[starts[c]:starts[c + 1]]``.
    """

    members: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, examples: np.ndarray, partitions: np.ndarray, count: int) -> Strata:
        """Group (n,) int64 ascending `examples` by their (n,) `partitions` in 0…count-1, ascending in each.

        O(n + count·n/CHUNK) time; no memory of n beside the result.
        """
        starts = starts_of(np.bincount(partitions, minlength=count))
        members, ends = np.empty(len(examples), np.int64), starts[:-1].copy()
        for first in range(0, len(members), CHUNK):
            part = partitions[first : first + CHUNK]
            # Of 16 bits NumPy's stable sort is a radix sort.
            order = np.argsort(part.astype(np.uint16) if count <= 1 << 16 else part, kind="stable")
            here = np.bincount(part, minlength=count)
            places = np.arange(len(part)) + np.repeat(ends - (np.cumsum(here) - here), here)
            members[places] = examples[first : first + CHUNK][order]
            ends += here
        return cls(members, starts)

    @property
    def sizes(self) -> np.ndarray:
        """(C,) int64 examples in each partition."""
        return np.diff(self.starts)

    def smallest(self, keys: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Return the ``counts[c]`` members of smallest key of each partition c, in no order.

        Args:
            keys: (n,) numbers, one a member, without ties. O(n).
            counts: (C,) int64, none above its partition's size.
        """
        taken = []
        for first, last, count in zip(self.starts[:-1], self.starts[1:], counts, strict=True):
            if 0 < count < last - first:
                taken.append(first + np.argpartition(keys[first:last], count - 1)[:count])
            elif count:
                taken.append(np.arange(first, last))
        return self.members[np.concatenate(taken)]


def starts_of(sizes: np.ndarray) -> np.ndarray:
    """Return (C+1,) int64, where the parts of these sizes begin, and the end."""
    return np.concatenate([[0], np.cumsum(sizes)])


def apportion(seats: int, sizes: np.ndarray) -> np.ndarray:
    """Divide `seats` over parts in proportion to their `sizes` by Webster's method; (C,) int64, exact sum.

    Seat r of part c goes at the moment (r + ½)/sizes[c]; the earliest `seats` are taken, ties to the
    smallest part. So more seats never take one away from a part, and ``sum(sizes)`` seats fill every
    part: cut at j = k, 2k, 3k…, the differences are budgets that sum to k and leave nobody out. (The
    largest remainder lacks the first property.) O(C log C).
    """
    n, parts = int(sizes.sum()), len(sizes)
    # At the moment t the parts hold Σ⌊t·size + ½⌋ seats, within C/2 of t·n. So only seats between the
    # moments (seats ± C)/n are in question; one more each way covers the rounding of the products.
    low = np.clip(np.floor((seats - parts) / n * sizes + 0.5).astype(np.int64) - 1, 0, sizes)
    high = np.clip(np.floor((seats + parts) / n * sizes + 0.5).astype(np.int64) + 1, 0, sizes)
    part = np.repeat(np.arange(parts), high - low)
    rank = np.arange(len(part)) - np.repeat(np.cumsum(high - low) - (high - low), high - low) + low[part]
    order = np.lexsort((part, (rank + 0.5) / sizes[part]))
    return low + np.bincount(part[order[: seats - int(low.sum())]], minlength=parts)
