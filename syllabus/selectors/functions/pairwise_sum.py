"""Set functions whose gains are inner products with one query that each pick moves.

gain(v | S) = constant(|S|) + <x_v, q_S> - term_v, with q_S = q_∅ - step · Σ_S x. Graph cut is one,
disparity-sum another, where the similarity is linear in the vectors; neither needs a kernel. Elsewhere
their states are `PairTotals`.
"""

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.functions.base import State
from syllabus.selectors.functions.pair_totals import PairTotals
from syllabus.selectors.functions.similarity_function import SimilarityFunction
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.fixed_order_sums import dot


class PairwiseSum(SimilarityFunction):
    """A set function of this form; memory O(n + d) above the vectors, a gain costs O(d)."""

    linear: bool  # whether there is a query; the rest is only there if so
    first_query: NDArray[np.float64]  # (d,), q of the empty set
    terms: NDArray[np.float64]  # (n,)
    step: float

    def state(self) -> State:
        """Return the empty set."""
        return PairwiseSumState(self) if self.linear else self.totals()

    @abstractmethod
    def totals(self) -> PairTotals:
        """Return the empty set where there is no query."""

    @abstractmethod
    def constant(self, size: int) -> float:
        """Return what gain and score of a candidate differ by when `size` rows are in the set."""


class PairwiseSumState(State):
    """The query of the set, in float64, updated pick by pick."""

    def __init__(self, function: PairwiseSum) -> None:
        self.function = function
        self.query = function.first_query.copy()
        self.indices: list[int] = []

    def scores(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return <x, q> - term of each candidate."""
        out = np.empty(len(candidates))
        query_scores(self.function.rows, self.query, self.function.terms, candidates, out)
        return out

    def gains(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the gains of candidates with these scores."""
        return scores + self.function.constant(len(self.indices))

    def add(self, index: int, score: float) -> float:
        """Put a row into the set and return its gain."""
        gain = self.function.constant(len(self.indices)) + score
        move_query(self.function.rows[index], self.query, self.function.step)
        self.indices.append(index)
        return gain

    def value(self) -> float:
        """Return f of the set."""
        return self.function._value(np.array(self.indices, np.int64))


def constants(function: PairwiseSum, picks: int) -> NDArray[np.float64]:
    """Return what gains and scores differ by at each of `picks` picks."""
    return np.array([function.constant(size) for size in range(picks)])


@compiled
def move_query(row: np.ndarray, query: np.ndarray, step: float) -> None:
    """Update q for one more row: the one place where it is changed, so that all agree."""
    for j in range(row.shape[0]):
        query[j] -= step * row[j]


@compiled
def query_scores(
    rows: np.ndarray, query: np.ndarray, terms: np.ndarray, candidates: np.ndarray, out: np.ndarray
) -> None:
    """Write <x, q> - term of each candidate into `out`."""
    for position in range(candidates.shape[0]):
        index = candidates[position]
        out[position] = dot(rows[index], query) - terms[index]


@compiled
def sum_of_rows(rows: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Return Σ x over `indices`, (d,) float64, added in their order."""
    total = np.zeros(rows.shape[1])
    for index in indices:
        for j in range(rows.shape[1]):
            total[j] += rows[index, j]
    return total
