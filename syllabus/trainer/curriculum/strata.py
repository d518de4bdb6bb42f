"""Strata: the examples that may be drawn, by partition, and the two ways in which epochs take some of each.

A draw takes the members of smallest key; ``fresh`` takes slices of a cycle, a keyed permutation of each
partition. Where every example is one step of the budget they are counted, else their weights are summed.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np

from syllabus.trainer import counter_rng

CHUNK = 1 << 18
THREADS, THREADED = 4, 1 << 20  # threads, and from how many examples on

Key = tuple[int, int]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class _Strata:
    members: np.ndarray
    starts: np.ndarray

    def smallest(self, keys: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Return the members of smallest key of each partition c that make ``shares[c]`` steps, in no order.

        Weighted members, laid one after another, are those whose midpoint lies in the first ``shares[c]``:
        more or less than that by half of one at most.

        Args:
            keys: (n,) numbers, one a member, without ties. O(n); weighted O(n + taken · log taken), or
                O(n log n) where those of small key weigh less than others.
            shares: (C,) int64, none above its partition's size.
        """
        taken = [np.empty(0, np.int64)]
        for part in np.flatnonzero(shares).tolist():
            first, last = self.starts[part], self.starts[part + 1]
            if shares[part] == self.sizes[part]:
                taken.append(np.arange(first, last))
            else:
                taken.append(first + self._in_front(keys, first, last, shares[part]))
        return self.members[np.concatenate(taken)]

    def _of_each(self, sizes: np.ndarray, function: Callable[[int], T]) -> list[T]:
        """Return what `function` gives of each partition whose size is not 0."""
        # Sorting leaves Python's lock alone: at ten million examples threads halve what a new cycle takes.
        with ThreadPoolExecutor(THREADS if len(self.members) > THREADED else 1) as pool:
            return list(pool.map(function, np.flatnonzero(sizes).tolist()))


@dataclass(frozen=True, eq=False)
class CountedStrata(_Strata):
    """Strata in which every example is one step of the budget.

    Attributes:
        members: (n,) int64 example indices, by partition.
        starts: (C+1,) int64; partition c is ``members[starts[c]:starts[c + 1]]``.
    """

    # The cycle that a partition's members are in the order of.
    _cycles: dict[int, Key] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def sizes(self) -> np.ndarray:
        """(C,) int64 members of each partition."""
        return np.diff(self.starts)

    @cached_property
    def heaviest(self) -> np.ndarray:
        """(C,) int64, 1 where a partition has members."""
        return (self.sizes > 0).astype(np.int64)

    def slice(self, key: Key, number: int, size: int) -> np.ndarray:
        """Return the `number`-th slice of `size` steps of a cycle, of each partition in proportion."""
        n, stop = int(self.sizes.sum()), (number + 1) * size
        starts = apportion(number * size, self.sizes)
        counts = apportion(min(stop, n), self.sizes) - starts + apportion(max(stop - n, 0), self.sizes)
        return self._stretches([key] * len(counts), starts, counts)

    def slices(self, keys: Sequence[Key], numbers: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Return of each partition c the ``numbers[c]``-th slice of ``shares[c]`` steps of its own cycle."""
        return self._stretches(keys, numbers * shares, shares)

    def _stretches(self, keys: Sequence[Key], starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
        def stretch(part: int) -> np.ndarray:
            places = np.arange(starts[part], starts[part] + counts[part])
            return self._permuted(part, keys[part]).take(places, mode="wrap")

        return np.concatenate(self._of_each(counts, stretch))

    def _permuted(self, part: int, key: Key) -> np.ndarray:
        members = self.members[self.starts[part] : self.starts[part + 1]]
        if self._cycles.get(part) != key:
            # In place, which saves the memory of a second array: the order by random numbers does not depend
            # on the order before, and no other draw on the order at all.
            members[:] = counter_rng.permuted(key, members)
            self._cycles[part] = key
        return members

    def _in_front(self, keys: np.ndarray, first: int, last: int, share: int) -> np.ndarray:
        return np.argpartition(keys[first:last], share - 1)[:share]


class WeightedCycle:
    """Examples one after another, (m,) int64 `members`, their (m,) int64 `weights` as lengths.

    A slice has the examples whose midpoint lies in it: slices that cover the cycle have each example once,
    and one of b units weighs b, give or take half an example at either end. For weights of 1 it is counting.
    """

    def __init__(self, members: np.ndarray, weights: np.ndarray) -> None:
        self._members, self._midpoints, self._length = members, midpoints(weights), int(weights.sum())

    @classmethod
    def merged(cls, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> "WeightedCycle":
        """Lay out the members of several (members, weights), each by its midpoint as a share of its own part.

        So a slice has of each part in proportion to what the part weighs. Equal shares come in the order
        of `parts`: for weights of 1 it is `apportion`. O(m log m).
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


@dataclass(frozen=True, eq=False)
class WeightedStrata(_Strata):
    """Strata in which members, as in `CountedStrata`, are (n,) int64 `weights` steps of the budget.

    The cycles that were asked for last are kept: 16 bytes an example; while that of all is made, 56.
    """

    weights: np.ndarray
    # By partition, that of all under None.
    _cycles: dict[int | None, tuple[Key, WeightedCycle]] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def sizes(self) -> np.ndarray:
        """(C,) int64, the sum of the weights in each partition."""
        return np.diff(np.concatenate([[0], np.cumsum(self.weights)])[self.starts])

    @cached_property
    def heaviest(self) -> np.ndarray:
        """(C,) int64, the largest weight in each partition, or 0."""
        result = np.zeros(len(self.starts) - 1, np.int64)
        filled = np.flatnonzero(np.diff(self.starts))
        result[filled] = np.maximum.reduceat(self.weights, self.starts[filled])
        return result

    def slice(self, key: Key, number: int, size: int) -> np.ndarray:
        """Return the `number`-th slice of `size` steps of a cycle, of each partition in proportion."""

        def merged() -> WeightedCycle:
            return WeightedCycle.merged(self._of_each(self.sizes, lambda part: self._permuted(part, key)))

        return self._cycle(None, key, merged).slice(number, size)

    def slices(self, keys: Sequence[Key], numbers: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Return of each partition c the ``numbers[c]``-th slice of ``shares[c]`` steps of its own cycle."""

        def of(part: int) -> np.ndarray:
            cycle = self._cycle(part, keys[part], lambda: WeightedCycle(*self._permuted(part, keys[part])))
            return cycle.slice(int(numbers[part]), int(shares[part]))

        return np.concatenate(self._of_each(shares, of))

    def _cycle(self, part: int | None, key: Key, make: Callable[[], WeightedCycle]) -> WeightedCycle:
        if part not in self._cycles or self._cycles[part][0] != key:
            self._cycles[part] = key, make()
        return self._cycles[part][1]

    def _permuted(self, part: int, key: Key) -> tuple[np.ndarray, np.ndarray]:
        inside = np.s_[self.starts[part] : self.starts[part + 1]]
        order = counter_rng.order(key, self.members[inside])
        return self.members[inside][order], self.weights[inside][order]

    def _in_front(self, keys: np.ndarray, first: int, last: int, share: int) -> np.ndarray:
        keys, weights = keys[first:last], self.weights[first:last]
        # So many are enough, or else all are sorted: where those of small key weigh little.
        # In floats: the product of two numbers of this size overflows.
        guess = int(len(keys) * (share / weights.sum()) * 1.125) + 64
        places = np.arange(len(keys))
        if guess < len(keys):
            front = np.argpartition(keys, guess - 1)[:guess]
            if int(weights[front].sum()) >= share:
                places = front
        places = places[np.argsort(keys[places])]
        return places[: np.searchsorted(midpoints(weights[places]), 2 * share)]


Strata = CountedStrata | WeightedStrata


def by_partition(examples: np.ndarray, partitions: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (n,) int64 ascending `examples` grouped by their (n,) `partitions` in 0…count-1, and the starts.

    They ascend in each partition. O(n + count·n/CHUNK) time; no memory of n beside the result.
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
    return members, starts


def starts_of(sizes: np.ndarray) -> np.ndarray:
    """Return (C+1,) int64, where the parts of these sizes begin, and the end."""
    return np.concatenate([[0], np.cumsum(sizes)])


def midpoints(weights: np.ndarray) -> np.ndarray:
    """Return (m,) int64, twice the midpoint of each of (m,) int64 `weights` that lie one after another."""
    result = np.cumsum(weights)
    result *= 2
    result -= weights
    return result


def apportion(steps: int, sizes: np.ndarray) -> np.ndarray:
    """Divide `steps` over parts in proportion to their `sizes` by Webster's method; (C,) int64, exact sum.

    Step r of part c goes at the moment (r + ½)/sizes[c]; the earliest `steps` are taken, ties to the
    smallest part. So more steps never take one away from a part, and ``sum(sizes)`` steps fill every
    part: cut at j = k, 2k, 3k…, the differences are budgets that sum to k and leave nobody out. (The
    largest remainder lacks the first property.) O(C log C).
    """
    n, parts = int(sizes.sum()), len(sizes)
    # At the moment t the parts hold Σ⌊t·size + ½⌋ steps, within C/2 of t·n. So only steps between the
    # moments (steps ± C)/n are in question; one more each way covers the rounding of the products.
    low = np.clip(np.floor((steps - parts) / n * sizes + 0.5).astype(np.int64) - 1, 0, sizes)
    high = np.clip(np.floor((steps + parts) / n * sizes + 0.5).astype(np.int64) + 1, 0, sizes)
    part = np.repeat(np.arange(parts), high - low)
    rank = np.arange(len(part)) - np.repeat(np.cumsum(high - low) - (high - low), high - low) + low[part]
    order = np.lexsort((part, (rank + 0.5) / sizes[part]))
    return low + np.bincount(part[order[: steps - int(low.sum())]], minlength=parts)
