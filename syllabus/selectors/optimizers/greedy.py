"""Naive and lazy greedy over any set function, within a budget of rows or a limit on costs.

A solver takes (function, constraint, key, epsilon) and returns a `Solution`; the key of random numbers and ε
have no part in those without chance. Each pick has the largest gain per divisor of what is affordable and
gains more than `constraint.least_gain`; ties go to the smallest index.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.constraint import Constraint, affordable, subtract_cost
from syllabus.selectors.functions.base import SetFunction, State, best_place

_NARROWEST = 8  # candidates of the largest old gains that are scored first
_RELATIVE = 1e-14  # of a gain: what the rounding of a sum of parts may add to it


class Solution(NamedTuple):
    """Picks in order, (k,) int64, their gains, (k,) float64, the state they end in, and a bound on f(OPT)."""

    picks: NDArray[np.int64]
    gains: NDArray[np.float64]
    state: State
    bound: float | None = None


class Picks(NamedTuple):
    """Room for all picks and their gains, (m,) int64 and float64, for compiled loops."""

    picks: NDArray[np.int64]
    gains: NDArray[np.float64]


class PartialSelection:
    """A selection in the making: its state, its picks, and what remains of the limit.

    Attributes:
      picks, gains: room for all picks; the first `count` are made.
      remaining, correction: what is left of the limit, a compensated sum (`subtract_cost`).
    """

    def __init__(self, function: SetFunction, constraint: Constraint) -> None:
        self.constraint, self.state = constraint, function.state()
        most = constraint.most_rows
        if constraint.counts_rows:
            self.state.reserve(most)
        self.picks, self.gains, self.count = np.empty(most, np.int64), np.empty(most), 0
        self.remaining, self.correction = constraint.limit, 0.0
        for place, index in enumerate(constraint.included):
            scores = self.state.scores(constraint.included[place : place + 1])
            self.add(int(index), float(scores[0]))

    @property
    def room(self) -> Picks:
        """The picks and gains, for compiled loops."""
        return Picks(self.picks, self.gains)

    @property
    def affordable(self) -> float:
        """The largest cost that is still affordable."""
        return affordable(self.remaining, self.correction)

    def among(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of the rows that are still affordable."""
        return rows[self.constraint.costs[rows] <= self.affordable]

    def add(self, index: int, score: float) -> None:
        """Put a row of this score into the set."""
        self.picks[self.count] = index
        self.gains[self.count] = self.state.add(index, score)
        cost = float(self.constraint.costs[index])
        self.remaining, self.correction = subtract_cost(self.remaining, self.correction, cost)
        self.count += 1

    def solution(self, bound: float | None = None) -> Solution:
        """Return what was picked."""
        return Solution(self.picks[: self.count].copy(), self.gains[: self.count].copy(), self.state, bound)


def naive(function: SetFunction, constraint: Constraint, *_: object) -> Solution:
    """Return the solution of greedy: every candidate scored at every pick. O(n picks) gains.

    The reference for the others.
    """
    run, divisors = PartialSelection(function, constraint), constraint.unequal_divisors
    candidates = constraint.candidates
    while len(candidates := run.among(candidates)):
        scores = run.state.scores(candidates)
        gains = run.state.gains(scores)
        place = best_place(candidates, scores, gains, divisors)
        if not gains[place] > constraint.least_gain:
            break
        run.add(int(candidates[place]), float(scores[place]))
        candidates = np.delete(candidates, place)
    return run.solution()


def lazy(function: SetFunction, constraint: Constraint, *_: object) -> Solution:
    """Return the same as `naive` for a submodular function (Minoux, "Accelerated greedy algorithms", 1978).

    An old gain bounds a new one, so a candidate is scored again only where its old ratio reaches the best
    found. One gain of every candidate, then as many as bounds leave open: first those of the largest bounds,
    then ever more at a time, so that where bounds rule out nothing a pick costs little more than `naive`'s.
    """
    run, divisors = PartialSelection(function, constraint), constraint.unequal_divisors
    state, increase = run.state, function.increase_bound()
    candidates = run.among(constraint.candidates)
    bounds = state.gains(state.scores(candidates)) if len(candidates) else np.empty(0)
    dearest = constraint.costs[candidates].max(initial=0.0)
    while len(candidates):
        own = None if divisors is None else divisors[candidates]
        best, width = constraint.least_gain, _NARROWEST
        stale = np.arange(len(candidates))
        fresh, scored = [], []
        while len(stale):
            if width < len(stale):
                order = np.argpartition(-ratios(bounds[stale], own, stale), width)
                block, stale = stale[order[:width]], stale[order[width:]]
            else:
                block, stale = stale, stale[:0]
            scores = state.scores(candidates[block])
            bounds[block] = state.gains(scores)
            fresh.append(block)
            scored.append(scores)
            best = max(best, float(ratios(bounds[block], own, block).max()))
            reach = best - _RELATIVE * abs(best)
            stale = stale[ratios(bounds[stale] + increase, own, stale) >= reach]
            width *= 4
        if not best > constraint.least_gain:
            break
        block, scores = np.concatenate(fresh), np.concatenate(scored)
        place = best_place(candidates[block], scores, bounds[block], divisors)
        run.add(int(candidates[block[place]]), float(scores[place]))
        candidates, bounds = np.delete(candidates, block[place]), np.delete(bounds, block[place])
        if dearest > (most := run.affordable):
            kept = constraint.costs[candidates] <= most
            candidates, bounds = candidates[kept], bounds[kept]
    return run.solution()


def ratios(
    gains: NDArray[np.float64], divisors: NDArray[np.float64] | None, places: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the gains per divisor, of `places` in the divisors; without divisors the gains themselves."""
    return gains if divisors is None else gains / divisors[places]
