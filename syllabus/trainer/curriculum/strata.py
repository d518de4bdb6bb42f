"""Partitions as an epoch's draw sees them: who is in each, how many are due, which are taken."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

CHUNK = 1 << 18


@dataclass(frozen=True)
class Strata:
    """The examples that may be drawn, grouped by partition.

    Attributes:
        members: (n,) int64 example indices, by partition.
        starts: (C+1,) int64; partition c is ``members[starts[c]:starts[c + 1]]``.
        units: (n,) int64, what each member counts for; None where each counts for 1.
    """

    members: np.ndarray
    starts: np.ndarray
    units: np.ndarray | None = None

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

    @cached_property
    def sizes(self) -> np.ndarray:
        """(C,) int64 units in each partition: examples, or what they count for."""
        if self.units is None:
            return np.diff(self.starts)
        return np.diff(np.concatenate([[0], np.cumsum(self.units)])[self.starts])

    @cached_property
    def heaviest(self) -> np.ndarray:
        """(C,) int64, what the heaviest member of each partition counts for; 0 where there is none."""
        counts = np.diff(self.starts)
        if self.units is None:
            return (counts > 0).astype(np.int64)
        result = np.zeros(len(counts), np.int64)
        filled = np.flatnonzero(counts)
        result[filled] = np.maximum.reduceat(self.units, self.starts[filled])
        return result

    def part(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the members of a partition and what each counts for: views."""
        inside = slice(self.starts[number], self.starts[number + 1])
        members = self.members[inside]
        return members, np.ones_like(members) if self.units is None else self.units[inside]

    def smallest(self, keys: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Return the members of smallest key of each partition c that make ``shares[c]`` units, in no order.

        Where members count for several units, laid one after another they are those whose middle lies in the
        first ``shares[c]``: more or less than that by half of one at most.

        Args:
            keys: (n,) numbers, one a member, without ties. O(n), with `units` O(n + taken · log taken), or
                O(n log n) where those of small key weigh less than others.
            shares: (C,) int64, none above its partition's size.
        """
        taken = [np.empty(0, np.int64)]
        bounds = zip(self.starts[:-1], self.starts[1:], shares, self.sizes, strict=True)
        for first, last, share, size in bounds:
            if share == size:
                taken.append(np.arange(first, last))
            elif share and self.units is None:
                taken.append(first + np.argpartition(keys[first:last], share - 1)[:share])
            elif share:
                taken.append(first + self._in_front(keys[first:last], self.units[first:last], share, size))
        return self.members[np.concatenate(taken)]

    @staticmethod
    def _in_front(keys: np.ndarray, units: np.ndarray, share: int, size: int) -> np.ndarray:
        """Return the places, by key, of members whose middle lies in the first `share` of `size` units."""
        # So many are enough, or else all are sorted: where those of small key weigh little.
        # In floats: the product of two numbers of this size overflows.
        guess = int(len(keys) * (share / size) * 1.125) + 64
        places = np.arange(len(keys))
        if guess < len(keys):
            front = np.argpartition(keys, guess - 1)[:guess]
            if int(units[front].sum()) >= share:
                places = front
        places = places[np.argsort(keys[places])]
        return places[: np.searchsorted(middles_of(units[places]), 2 * share)]


def starts_of(sizes: np.ndarray) -> np.ndarray:
    """Return (C+1,) int64, where the parts of these sizes begin, and the end."""
    return np.concatenate([[0], np.cumsum(sizes)])


def middles_of(weights: np.ndarray) -> np.ndarray:
    """Return (m,) int64, twice the middle of each of (m,) int64 `weights` that lie one after another."""
    middles = np.cumsum(weights)
    middles *= 2
    middles -= weights
    return middles


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
