"""Cardinality and knapsack constraints: which sets of rows are allowed, and exact sums of what they cost."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.numerics.compiled import compiled, compiled_inside
from syllabus.selectors.numerics.counter_rng import below
from syllabus.selectors.validation import indices_of, numbers_of, real_number

_RANGE = (1e-300, 1e300)  # of costs: gains per cost beyond the range of float64 would all tie


class Purchase(NamedTuple):
    """The costs and divisors of a `Constraint`, (n,) float64 each, for compiled loops."""

    costs: NDArray[np.float64]
    divisors: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Constraint:
    """Costs within a limit, some rows in from the beginning, some ruled out.

    A budget of k rows is costs of 1 and a limit of k. Allowed are the sets within the limit that hold every
    included row and no excluded one: upper bounds are over these sets, whatever the optimiser.

    Attributes:
      limit: what the rows of a set may cost together, those of `included` too.
      costs: (n,) float64, finite, > 0; all 1 for a budget of rows.
      divisors: (n,) float64, costs ** power; candidates are compared by gain / divisor.
      included: (f,) int64, rows that are in from the beginning, in the order in which they are added.
      candidates: (c,) int64, ascending, the rows to pick from.
      least_gain: a pick must gain more: -inf for a budget of rows, which is spent in full, 0 with costs.
    """

    limit: float
    costs: NDArray[np.float64]
    divisors: NDArray[np.float64]
    included: NDArray[np.int64]
    candidates: NDArray[np.int64]
    least_gain: float

    @classmethod
    def of_rows(
        cls, n: int, budget: int, include: Any = (), exclude: Any = (), caller: str = "maximize"
    ) -> "Constraint":
        """Return the constraint to exactly `budget` of n rows, 1 <= budget <= n.

        Raises:
          SelectionError: a row outside [0, n), twice, or in both lists; a budget that they rule out.
        """
        included, candidates = _open_rows(include, exclude, n, caller)
        first, most = len(included), len(included) + len(candidates)
        if not first <= budget <= most:
            raise SelectionError(
                f"{caller}: budget={budget} is outside [{first}, {most}], what "
                f"{first} included and {n - most} excluded rows leave"
            )
        ones = np.ones(n)
        return cls(float(budget), ones, ones, included, candidates, -math.inf)

    @classmethod
    def of_costs(
        cls,
        n: int,
        costs: Any,
        limit: Any,
        power: Any = 0,
        include: Any = (),
        exclude: Any = (),
        caller: str = "maximize_within",
    ) -> "Constraint":
        """Return the constraint to rows whose costs sum to at most `limit`.

        Raises:
          SelectionError: costs that are not n numbers within [1e-300, 1e300], a limit or a power out of
            range, costs to that power out of the same range, included rows above the limit, rows as above.
        """
        included, candidates = _open_rows(include, exclude, n, caller)
        prices = _costs_of(costs, n, caller)
        limit = real_number(limit, "limit", lambda value: 0 < value < math.inf, "(0, inf)", caller)
        power = real_number(power, "power", lambda value: 0 <= value < math.inf, "[0, inf)", caller)
        with np.errstate(over="ignore", under="ignore"):
            divisors = prices**power
        if not ((divisors >= _RANGE[0]) & (divisors <= _RANGE[1])).all():
            raise SelectionError(f"{caller}: power={power:g} takes a cost out of [1e-300, 1e300]")
        paid = math.fsum(prices[included])
        if paid > limit:
            raise SelectionError(f"{caller}: included rows cost {paid:g}, above limit={limit:g}")
        return cls(limit, prices, divisors, included, candidates, 0.0)

    def by_gain(self) -> "Constraint":
        """Return the same constraint under which candidates are compared by their gains alone."""
        return replace(self, divisors=np.ones(len(self.costs)))

    @property
    def counts_rows(self) -> bool:
        """Whether this is a budget of rows."""
        return self.least_gain == -math.inf

    @property
    def purchase(self) -> Purchase:
        """The costs and divisors, for compiled loops."""
        return Purchase(self.costs, self.divisors)

    @cached_property
    def unequal_divisors(self) -> NDArray[np.float64] | None:
        """The divisors, or None where all are 1: then scores, which round less than gains, compare."""
        return None if (self.divisors == 1).all() else self.divisors

    @cached_property
    def average_rows(self) -> float:
        """How many rows the limit holds on average, 1 to n."""
        n = len(self.costs)
        return max(1.0, min(float(n), self.limit / (math.fsum(self.costs) / n)))

    @cached_property
    def most_rows(self) -> int:
        """The most rows that a set within the limit can have."""
        costs = np.sort(self.costs[self.candidates])
        return len(self.included) + int((np.cumsum(costs) <= self._free() * (1 + 1e-9)).sum())

    def largest_sum(self, gains: NDArray[np.float64]) -> float:
        """Return what an allowed set can add at most to the included rows if (n,) gains, >= 0, simply summed.

        Only candidates count. Of a budget of k rows, f of them included, the k - f largest; of costs the
        fractional knapsack: the best gains per cost, the last of them in part.
        """
        if self.counts_rows:
            own, room = np.sort(gains[self.candidates]), int(self.limit) - len(self.included)
            return math.fsum(own[len(own) - room :])
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
        return self.limit - math.fsum(self.costs[self.included])


def _open_rows(
    include: Any, exclude: Any, n: int, caller: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows that are set, in their order, and those to pick from, ascending."""
    included = indices_of(include, n, f"{caller}: include")
    excluded = indices_of(exclude, n, f"{caller}: exclude")
    both = np.intersect1d(included, excluded)
    if both.size:
        raise SelectionError(f"{caller}: index {both[0]} is in include and in exclude")
    candidates = np.ones(n, np.bool_)
    candidates[included] = False
    candidates[excluded] = False
    return included, np.flatnonzero(candidates)


def _costs_of(costs: Any, n: int, caller: str) -> NDArray[np.float64]:
    array = numbers_of(costs, "costs", caller)
    if array.shape != (n,):
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
def subtract_cost(remaining: float, correction: float, cost: float) -> tuple[float, float]:
    """Return remaining + correction - cost as such a pair, its correction at most half a unit.

    In twice the precision of float64 (Dekker, 1971), so that no sum of costs creeps over a limit.
    """
    difference = remaining - cost
    back = difference - remaining
    correction += (remaining - (difference - back)) - (cost + back)
    total = difference + correction
    return total, correction - (total - difference)


@compiled
def affordable(remaining: float, correction: float) -> float:
    """Return the largest cost that is still affordable."""
    return remaining if correction >= 0 else float(np.nextafter(remaining, -np.inf))


@compiled
def affordable_to_front(
    pool: np.ndarray, pool_size: int, size: int, key: np.uint64, costs: np.ndarray, most: float
) -> tuple[int, int]:
    """Move a uniform sample of the rows of `pool` that cost at most `most` to its front.

    As `sample_to_front`, whose sample it is where all are affordable; a row drawn that is not leaves the
    first `pool_size` entries for good, since what remains only shrinks. Returns how many were drawn, `size`
    or all there are, and the size of the pool.
    """
    # Not literals: numba would compile `_draw` for them too.
    counter = int(np.int64(0))
    drawn = int(np.int64(0))
    while drawn < size and drawn < pool_size:
        drawn, pool_size, counter = _draw(pool, drawn, pool_size, key, counter, costs, most)
    return drawn, pool_size


@compiled
def fill(pool: np.ndarray, key: np.uint64, costs: np.ndarray, limit: float) -> int:
    """Move rows to the front of `pool`, each drawn evenly from those still affordable; return how many."""
    counter = int(np.int64(0))
    drawn = int(np.int64(0))
    pool_size = pool.shape[0]
    remaining, correction = limit, 0.0
    while drawn < pool_size:
        before = drawn
        most = affordable(remaining, correction)
        drawn, pool_size, counter = _draw(pool, drawn, pool_size, key, counter, costs, most)
        if drawn > before:
            remaining, correction = subtract_cost(remaining, correction, costs[pool[before]])
    return drawn


@compiled_inside
def _draw(
    pool: np.ndarray, drawn: int, pool_size: int, key: np.uint64, counter: int, costs: np.ndarray, most: float
) -> tuple[int, int, int]:
    """Draw one row; return how many are drawn, the size of the pool, and the next counter."""
    jump, counter = below(key, counter, pool_size - drawn)
    place = drawn + jump
    index = pool[place]
    if costs[index] <= most:
        pool[place] = pool[drawn]
        pool[drawn] = index
        return drawn + 1, pool_size, counter
    pool_size -= 1
    pool[place] = pool[pool_size]
    pool[pool_size] = index
    return drawn, pool_size, counter
