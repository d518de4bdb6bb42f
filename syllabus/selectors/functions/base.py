"""Set functions and their states, as optimisers see them.

A set function holds the vectors and the definition; its state holds one set that grows. Optimisers ask a
state for *scores*: numbers that order the candidates as their gains do, but are compared before a large
common term is added, which would round near-ties into ties. Scores come from the routines of
`fixed_order_sums.py`, so that equal rows have equal scores in every optimiser; equal scores go to the
smallest index.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.constraint import Constraint
from syllabus.selectors.validation import indices_of


class State(ABC):
    """A growing set S of one function; not shared between selections."""

    def reserve(self, size: int) -> None:  # noqa: B027 (most states need no room)
        """Make room for a set of `size` rows, or raise before work is done."""

    @abstractmethod
    def scores(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return one score for each candidate, all outside S."""

    def best(
        self, candidates: NDArray[np.int64], divisors: NDArray[np.float64] | None = None
    ) -> tuple[int, float]:
        """Return the candidate of the largest score, the smallest index among equals, and the score.

        With divisors, (n,) > 0, that of the largest gain per divisor.
        """
        scores = self.scores(candidates)
        gains = scores if divisors is None else self.gains(scores)
        place = best_place(candidates, scores, gains, divisors)
        return int(candidates[place]), float(scores[place])

    def gains(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the gains of candidates with these scores; the scores themselves unless a class differs."""
        return scores

    @abstractmethod
    def add(self, index: int, score: float) -> float:
        """Put `index`, whose current score is `score`, into S and return its gain."""

    def add_all(self, indices: NDArray[np.int64]) -> None:
        """Put rows into S whose scores are not known."""
        for index in indices:
            self.add(int(index), float(self.scores(np.array([index]))[0]))

    @abstractmethod
    def value(self) -> float:
        """Return f(S)."""


class SetFunction(ABC):
    """A function on sets of n rows.

    `name` is what tables and errors call it. `submodular`: an old gain bounds a new one, up to
    `increase_bound()`. `monotone`: no gain is negative. `bound_needs_greedy`: `upper_bound` holds only for
    greedy's sets. `sampling`: how many times the published sample stochastic greedy looks at.
    """

    name: ClassVar[str]
    bound_needs_greedy: ClassVar[bool] = False
    sampling: ClassVar[float] = 1.0
    submodular: bool = False
    monotone: bool = False
    n: int

    @abstractmethod
    def state(self) -> State:
        """Return the empty set."""

    def _value(self, indices: NDArray[np.int64]) -> float:
        """Return f of valid distinct indices; by default, that of a state which they are added to."""
        state = self.state()
        state.add_all(indices)
        return state.value()

    def value(self, indices: NDArray[np.int64]) -> float:
        """Return f(S) from its definition; 0 for the empty set.

        Args:
          indices: (k,) whole numbers in [0, n), without repeats, in any order.
        """
        return self._value(indices_of(indices, self.n, self.name))

    def rounding_bound(self) -> float:
        """Return what a gain may exceed an earlier one by through rounding, if submodular."""
        return 0.0

    def increase_bound(self) -> float:
        """Return what a gain may exceed an earlier one by at all, rounding included, if submodular."""
        return self.rounding_bound()

    def value_error(self, size: int) -> float:  # noqa: ARG002 (most values are exact to their last digits)
        """Return what `size` gains may be off by in total, where that is more than their last digits."""
        return 0.0

    def upper_bound(
        self, indices: NDArray[np.int64], objective: float, constraint: Constraint
    ) -> float | None:
        """Return a number that f of no allowed set exceeds, from a selection, or None.

        Allowed are sets that hold every included row and no excluded one, within the limit (`Constraint`).
        For monotone submodular functions f(OPT) <= f(S) + Σ_{v∈OPT} gain(v | S), at most what the gains given
        S sum to within the constraint. One gain of every row.

        Args:
          indices: (k,) int64, a finished selection; greedy's where `bound_needs_greedy`.
          objective: its f.
          constraint: which sets are allowed.
        """
        if not (self.submodular and self.monotone):
            return None
        state = self.state()
        state.reserve(len(indices))
        state.add_all(indices)
        bound = objective + constraint.largest_sum(self.gain_bounds(state, indices))
        return bound + self.value_error(len(indices) + constraint.most_rows)

    def gain_bounds(self, state: State, indices: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return numbers >= 0 that no gain given `state`, the set of `indices`, exceeds; (n,) float64."""
        outside = np.delete(np.arange(self.n), indices)
        gains = np.zeros(self.n)
        gains[outside] = np.maximum(state.gains(state.scores(outside)), 0.0) + self.rounding_bound()
        return gains


def best_place(
    candidates: NDArray[np.int64],
    scores: NDArray[np.float64],
    gains: NDArray[np.float64],
    divisors: NDArray[np.float64] | None = None,
) -> int:
    """Return the place of the largest score, or gain per divisor; the smallest candidate of equals."""
    if divisors is None:
        top = np.flatnonzero(scores == scores.max())
        return int(top[candidates[top].argmin()])
    ratios = gains / divisors[candidates]
    top = np.flatnonzero(ratios == ratios.max())
    if not np.array_equal(gains[top], scores[top]):
        # The gains were rounded when a common term was added to the scores: these say more.
        top = top[scores[top] == scores[top].max()]
    return int(top[candidates[top].argmin()])
