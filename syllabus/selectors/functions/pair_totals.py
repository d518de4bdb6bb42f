"""A growing set of a function whose gains are sums over the pairs (candidate, member of the set).

gain(v | S) = first_v + step · Σ_{x∈S} t(v, x), t a similarity or the distance that belongs to it. It serves
where t is not linear in the vectors, so that there is no query to sum them into (`query_function.py`).
"""

import math

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.functions.base import State
from syllabus.selectors.functions.similarity import Similarity, distance_from, similar
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.fixed_order_sums import squared_distance_over_4


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
