"""What an optimiser needs to know of a set function.

A set function holds the vectors and the definition; its state holds one set that grows. Optimisers ask a
state for *scores*: numbers that order the candidates exactly as their gains do, but are compared before a
large common term is added, which would round near-ties into ties. Scores come from the routines of
`exact.py`, so that equal rows have equal scores in every optimiser; equal scores go to the smallest index.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .validation import Vectors, indices_of, unit_rows


class State(ABC):
    """A growing set S of one function; not shared between selections."""

    @abstractmethod
    def scores(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return one score for each candidate, all outside S."""

    def best(self, candidates: NDArray[np.int64]) -> tuple[int, float]:
        """Return the candidate of the largest score, the smallest index among equals, and the score."""
        scores = self.scores(candidates)
        largest = scores.max()
        return int(candidates[scores == largest].min()), float(largest)

    @abstractmethod
    def add(self, index: int, score: float) -> float:
        """Put `index`, whose current score is `score`, into S and return its gain."""

    @abstractmethod
    def value(self) -> float:
        """Return f(S)."""


class SetFunction(ABC):
    """A function on sets of rows of (n, d) float32 unit vectors.

    `name` is what tables and errors call it; `bound_needs_greedy` says that `upper_bound` holds for sets that
    greedy picked only, not for any set.
    """

    name: ClassVar[str]
    bound_needs_greedy: ClassVar[bool] = False

    def __init__(self, vectors: Vectors) -> None:
        self.rows = unit_rows(vectors, self.name)
        self.n = len(self.rows)

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

    @abstractmethod
    def upper_bound(self, indices: NDArray[np.int64], objective: float) -> float | None:
        """Return a number that f of no set of k rows exceeds, from a selection of k rows, or None.

        Args:
          indices: (k,) int64, a finished selection; greedy's where `bound_needs_greedy`.
          objective: its f.
        """
