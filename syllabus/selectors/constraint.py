"""Rows that cost: what a set may cost together, what is left of it, and which rows that still buys."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.counter_rng import below
from syllabus.selectors.validation import real_number

_RANGE = (1e-300, 1e300)  # of costs: gains per cost beyond the range of float64 would all tie


@dataclass(frozen=True, eq=False)
class Purse:
    """A limit on costs and the rows it may be spent on; what `Task` is to a number of rows.

    Attributes:
      limit: what the rows of a set may cost together, those of `first` included.
      costs: (n,) float64, finite, > 0.
      weights: (n,) float64, costs ** power; candidates are compared by gain per weight.
      first: (f,) int64, rows that are in from the beginning.
      candidates: (c,) int64, ascending, the rows to pick from.
    """

    limit: float
    costs: NDArray[np.float64]
    weights: NDArray[np.float64]
    first: NDArray[np.int64]
    candidates: NDArray[np.int64]

    @property
    def average(self) -> float:
        """How many rows the limit holds on average, 1 to n."""
        n = len(self.costs)
        return max(1.0, min(float(n), self.limit / (math.fsum(self.costs) / n)))

    @property
    def rows(self) -> int:
        """The most rows that a set within the limit can have."""
        costs = np.sort(self.costs[self.candidates])
        return len(self.first) + int((np.cumsum(costs) <= self._free() * (1 + 1e-9)).sum())

    def most(self, gains: NDArray[np.float64]) -> float:
        """Return what the candidates can add at most if their (n,) gains, >= 0, simply summed.

        The fractional knapsack: the best gains per cost, the last of them in part.
        """
        free = self._free()
        rows = self.candidates[self.costs[self.candidates] <= free]
        gains, costs = gains[rows], self.costs[rows]
        order = np.argsort(-gains / costs)
        before = np.cumsum(costs[order]) - costs[order]
        # The sums of the costs are rounded. A limit may be more than the largest double times a cost.
        with np.errstate(over="ignore"):
            share = np.clip((free * (1 + 1e-9) - before) / costs[order], 0.0, 1.0)
        return math.fsum(gains[order] * share)

    def _free(self) -> float:
        return self.limit - math.fsum(self.costs[self.first])


def purse_of(
    costs: Any,
    limit: Any,
    power: Any,
    first: NDArray[np.int64],
    candidates: NDArray[np.int64],
    n: int,
    caller: str,
) -> Purse:
    """Return a checked purse.

    Raises:
      SelectionError: costs that are not n numbers within [1e-300, 1e300], a limit or a power out of range,
        costs to that power out of the same range, rows of `first` above the limit.
    """
    prices = _costs_of(costs, n, caller)
    accepted = isinstance(limit, (int, float, np.integer)) and bool(0 < limit < math.inf)
    limit = real_number(limit, "limit", accepted, "(0, inf)", caller)
    accepted = isinstance(power, (int, float)) and 0 <= power < math.inf
    power = real_number(power, "power", accepted, "[0, inf)", caller)
    with np.errstate(over="ignore", under="ignore"):
        weights = prices**power
    if not ((weights >= _RANGE[0]) & (weights <= _RANGE[1])).all():
        raise SelectionError(f"{caller}: power={power:g} takes a cost out of [1e-300, 1e300]")
    paid = math.fsum(prices[first])
    if paid > limit:
        raise SelectionError(f"{caller}: included rows cost {paid:g}, above limit={limit:g}")
    return Purse(limit, prices, weights, first, candidates)


def _costs_of(costs: Any, n: int, caller: str) -> NDArray[np.float64]:
    array = np.asarray(costs)
    if array.shape != (n,) or array.dtype.kind not in "iuf":
        raise SelectionError(
            f"{caller}: costs have shape {array.shape} and dtype {array.dtype}; expected ({n},) numbers"
        )
    array = array.astype(np.float64)
    bad = np.flatnonzero(~((array >= _RANGE[0]) & (array <= _RANGE[1])))
    if bad.size:
        raise SelectionError(
            f"{caller}: cost {bad[0]} is {array[bad[0]]:g}; every cost must be finite and > 0,"
            " within [1e-300, 1e300]"
        )
    return array


@compiled
def spend(left: float, rest: float, cost: float) -> tuple[float, float]:
    """Return left + rest - cost as (left, rest), rest at most half a unit of left.

    In twice the precision of float64 (Dekker, 1971), so that no sum of costs creeps over a limit.
    """
    difference = left - cost
    back = difference - left
    rest += (left - (difference - back)) - (cost + back)
    total = difference + rest
    return total, rest - (total - difference)


@compiled
def room(left: float, rest: float) -> float:
    """Return the largest cost that is still affordable."""
    return left if rest >= 0 else float(np.nextafter(left, -np.inf))


@compiled
def affordable_to_front(
    pool: np.ndarray, remaining: int, size: int, key: np.uint64, costs: np.ndarray, most: float
) -> tuple[int, int]:
    """Move a uniform sample of the rows of `pool` that cost at most `most` to its front.

    As `sample_to_front`, whose sample it is where all are affordable; a row drawn that is not leaves the
    first `remaining` entries for good, since what is left only shrinks. Returns how many were drawn, `size`
    or all there are, and how many remain.
    """
    counter = 0
    drawn = 0
    while drawn < size and drawn < remaining:
        drawn, remaining, counter = _draw(pool, drawn, remaining, key, counter, costs, most)
    return drawn, remaining


@compiled
def fill(pool: np.ndarray, key: np.uint64, costs: np.ndarray, limit: float) -> int:
    """Move rows to the front of `pool`, each drawn evenly from those still affordable; return how many."""
    counter = 0
    drawn = 0
    remaining = pool.shape[0]
    left, rest = limit, 0.0
    while drawn < remaining:
        before = drawn
        drawn, remaining, counter = _draw(pool, drawn, remaining, key, counter, costs, room(left, rest))
        if drawn > before:
            left, rest = spend(left, rest, costs[pool[before]])
    return drawn


@compiled
def _draw(
    pool: np.ndarray,
    drawn: int,
    remaining: int,
    key: np.uint64,
    counter: int,
    costs: np.ndarray,
    most: float,
) -> tuple[int, int, int]:
    """Draw one row; return how many are drawn, how many remain, and the next counter."""
    jump, counter = below(key, counter, remaining - drawn)
    place = drawn + jump
    index = pool[place]
    if costs[index] <= most:
        pool[place] = pool[drawn]
        pool[drawn] = index
        return drawn + 1, remaining, counter
    remaining -= 1
    pool[place] = pool[remaining]
    pool[remaining] = index
    return drawn, remaining, counter
