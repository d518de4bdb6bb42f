"""Pairwise sums: set functions whose gains add up a candidate's pairs with members of the set.

gain(v | S) = first_v + step · Σ_{x∈S} t(v, x), t a similarity or the distance that belongs to it: graph cut
and disparity-sum. Where t is linear in the vectors, gains are inner products with one query that each pick
moves, gain(v | S) = constant(|S|) + <x_v, q_S> - term_v with q_S = q_∅ - step · Σ_S x, and no kernel is
needed. Elsewhere totals are kept pair by pair (`PairTotals`).
"""

import math
from abc import abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.functions.base import State
from syllabus.selectors.functions.similarity import Similarity, distance_from, similar
from syllabus.selectors.functions.similarity_function import SimilarityFunction
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.fixed_order_sums import dot, squared_distance_over_4


class LinearTerms(NamedTuple):
    """A linear pairwise sum, for compiled loops.

    Attributes:
      rows: (n, d) float32.
      offsets: (n,) float64, what <x, q> exceeds scores by.
      constants: (m,) float64, what gains exceed scores by at each of m picks.
      step: of the query at a pick.
    """

    rows: NDArray[np.float32]
    offsets: NDArray[np.float64]
    constants: NDArray[np.float64]
    step: float


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
    def totals(self) -> "PairTotals":
        """Return the empty set where there is no query."""

    @abstractmethod
    def constant(self, size: Any) -> Any:
        """Return what gain and score differ by when `size` rows, or each of an array, are in the set."""

    def linear_terms(self, picks: int) -> LinearTerms:
        """Return what compiled loops of so many picks need where there is a query."""
        return LinearTerms(self.rows, self.terms, self.constant(np.arange(picks, dtype=float)), self.step)


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
        return np.asarray(scores + self.function.constant(len(self.indices)))

    def add(self, index: int, score: float) -> float:
        """Put a row into the set and return its gain."""
        gain: float = self.function.constant(len(self.indices)) + score
        move_query(self.function.rows[index], self.query, self.function.step)
        self.indices.append(index)
        return gain

    def value(self) -> float:
        """Return f of the set."""
        return self.function._value(np.array(self.indices, np.int64))


class PairTotals(State):
    """The totals of the candidates scored so far, brought up to date on demand; O(d) for each pick since."""

    def __init__(
        self,
        rows: NDArray[np.float32],
        similarity: Similarity,
        first: NDArray[np.float64],
        step: float,
        distance: bool,
    ) -> None:
        self.rows, self.similarity, self.distance = rows, similarity, distance
        self.first, self.step = first, step
        self.totals = np.zeros(len(rows))
        self.seen = np.zeros(len(rows), np.int64)
        self.indices: list[int] = []
        self.gained: list[float] = []

    def scores(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the gain of each candidate."""
        picks = np.array(self.indices, np.int64)
        s = self.similarity
        _bring_up_to_date(s.kind, s.rate, self.distance, self.rows, picks, candidates, self.totals, self.seen)
        return np.asarray(self.first[candidates] + self.step * self.totals[candidates])

    def add(self, index: int, score: float) -> float:
        """Put a row into the set and return its gain."""
        self.indices.append(index)
        self.gained.append(score)
        return score

    def value(self) -> float:
        """Return f of the set: what its gains sum to."""
        return math.fsum(self.gained)


def pair_total(
    rows: NDArray[np.float32], similarity: Similarity, indices: NDArray[np.int64], distance: bool
) -> float:
    """Return Σ t(x, y) over the unordered pairs of `indices`. O(k² d)."""
    chosen = np.ascontiguousarray(rows[indices])
    return _all_pairs(similarity.kind, similarity.rate, distance, chosen)


@compiled
def _term(kind: int, rate: float, distance: bool, a: np.ndarray, b: np.ndarray) -> float:
    return distance_from(kind, rate, squared_distance_over_4(a, b)) if distance else similar(kind, rate, a, b)


@compiled
def _bring_up_to_date(
    kind: int,
    rate: float,
    distance: bool,
    rows: np.ndarray,
    picks: np.ndarray,
    candidates: np.ndarray,
    totals: np.ndarray,
    seen: np.ndarray,
) -> None:
    for index in candidates:
        total = totals[index]
        for t in range(seen[index], picks.shape[0]):
            total += _term(kind, rate, distance, rows[index], rows[picks[t]])
        totals[index] = total
        seen[index] = picks.shape[0]


@compiled
def _all_pairs(kind: int, rate: float, distance: bool, rows: np.ndarray) -> float:
    total = 0.0
    for i in range(rows.shape[0]):
        for j in range(i + 1, rows.shape[0]):
            total += _term(kind, rate, distance, rows[i], rows[j])
    return total


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
