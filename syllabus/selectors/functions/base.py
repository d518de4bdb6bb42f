"""What an optimiser needs to know of a set function.

A set function holds the vectors and the definition; its state holds one set that grows. Optimisers ask a
state for *scores*: numbers that order the candidates as their gains do, but are compared before a large
common term is added, which would round near-ties into ties. Scores come from the routines of
`exact.py`, so that equal rows have equal scores in every optimiser; equal scores go to the smallest index.
"""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.constraint import Purse
from syllabus.selectors.errors import SelectionError
from syllabus.selectors.validation import indices_of


class State(ABC):
    """A growing set S of one function; not shared between selections."""

    def reserve(self, size: int) -> None:  # noqa: B027 (most states need no room)
        """Make room for a set of `size` rows, or raise before work is done."""

    @abstractmethod
    def scores(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return one score for each candidate, all outside S."""

    def best(
        self, candidates: NDArray[np.int64], weights: NDArray[np.float64] | None = None
    ) -> tuple[int, float]:
        """Return the candidate of the largest score, the smallest index among equals, and the score.

        With weights, (n,) > 0, that of the largest gain per weight.
        """
        scores = self.scores(candidates)
        gains = scores if weights is None else self.gains(scores)
        place = best_place(candidates, scores, gains, None if weights is None else weights[candidates])
        return int(candidates[place]), float(scores[place])

    def gains(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the gains of candidates with these scores; the scores themselves unless a class differs."""
        return scores

    @abstractmethod
    def add(self, index: int, score: float) -> float:
        """Put `index`, whose current score is `score`, into S and return its gain."""

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

    @abstractmethod
    def _value(self, indices: NDArray[np.int64]) -> float:
        """Return f of valid distinct indices."""

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

    def upper_bound(
        self, indices: NDArray[np.int64], objective: float, purse: Purse | None = None
    ) -> float | None:
        """Return a number that f of no set of k rows exceeds, from a selection of k rows, or None.

        For monotone submodular functions f(OPT) <= f(S) + Σ_{v∈OPT} gain(v | S), at most the k largest gains
        given S. One gain of every row.

        Args:
          indices: (k,) int64, a finished selection; greedy's where `bound_needs_greedy`.
          objective: its f.
          purse: if given, OPT is the best set within its limit, whatever its number of rows.
        """
        if not (self.submodular and self.monotone):
            return None
        state = self.state()
        state.reserve(len(indices))
        for index in indices:
            state.add(int(index), float(state.scores(np.array([index]))[0]))
        outside = np.delete(np.arange(self.n), indices)
        gains = np.zeros(self.n)
        gains[outside] = np.maximum(state.gains(state.scores(outside)), 0.0) + self.rounding_bound()
        return objective + most(gains, len(indices), purse)


def most(gains: NDArray[np.float64], rows: int, purse: Purse | None = None) -> float:
    """Return what a set could add at most if (n,) gains, >= 0, simply summed: `rows` rows, or a purse's."""
    return math.fsum(np.sort(gains)[len(gains) - rows :]) if purse is None else purse.most(gains)


def best_place(
    candidates: NDArray[np.int64],
    scores: NDArray[np.float64],
    gains: NDArray[np.float64],
    weights: NDArray[np.float64] | None = None,
) -> int:
    """Return the place of the largest gain, or gain per weight; the smallest candidate of equals."""
    ratios = gains if weights is None else gains / weights
    top = np.flatnonzero(ratios == ratios.max())
    if not np.array_equal(gains[top], scores[top]):
        # The gains were rounded when a common term was added to the scores: these say more.
        top = top[scores[top] == scores[top].max()]
    return int(top[candidates[top].argmin()])


def check_submodular(function: Any, caller: str) -> None:
    """Refuse anything but a submodular set function."""
    if not isinstance(function, SetFunction) or not function.submodular:
        name = getattr(function, "name", type(function).__name__)
        raise SelectionError(
            f"{caller}: {name} is not submodular; costs need a function whose old gains bound"
        )
