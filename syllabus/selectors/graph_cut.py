"""Graph cut: resemble everything, repeat nothing. The easy phase of MILO (arXiv 2301.13287).

f(S) = Σ_{i∈V, j∈S} s_ij - λ Σ_{i,j∈S} s_ij over ordered pairs, i = j included, s = (1 + <x, y>)/2.
Submodular for λ >= 0, monotone for λ <= 1/2.
"""

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .exact import column_sums, dot
from .set_function import SetFunction, State
from .validation import Vectors, real_number


class GraphCut(SetFunction):
    """Graph cut without the n x n kernel.

    Args:
      vectors: (n, d) float32, unit rows; not copied.
      trade_off: λ >= 0, how much similarity inside the set costs.

    Memory O(n + d) above the vectors. A gain costs O(d).
    """

    # With unit rows and X_S = Σ_S x, X_V = Σ_V x:
    #   gain(v) = Σ_V s_iv - 2λ Σ_S s_jv - λ s_vv
    #           = (n - λ(2|S| + 1))/2 + <x_v, X_V/2 - λ X_S> - λ <x_v, x_v>/2
    # so a gain is a constant plus the inner product with one query q, less a term that is the same for all
    # rows up to the rounding of their norms.

    name: ClassVar[str] = "graph_cut"

    def __init__(self, vectors: Vectors, trade_off: float = 0.4) -> None:
        super().__init__(vectors)
        accepted = isinstance(trade_off, (int, float)) and 0 <= trade_off < math.inf
        self.trade_off = real_number(trade_off, "trade_off", accepted, "[0, inf)", self.name)
        self.total = column_sums(self.rows)
        self.self_terms = _self_terms(self.rows, self.trade_off)

    def state(self) -> "GraphCutState":
        """Return the empty set."""
        return GraphCutState(self)

    def _value(self, indices: NDArray[np.int64]) -> float:
        return self.value_of_sum(_sum_of_rows(self.rows, indices), len(indices))

    def value_of_sum(self, picked: NDArray[np.float64], size: int) -> float:
        """Return f of a set of `size` rows whose sum is `picked`, (d,) float64."""
        similar_to_all = (size * self.n + dot(picked, self.total)) / 2
        similar_inside = (size * size + dot(picked, picked)) / 2
        return float(similar_to_all - self.trade_off * similar_inside)

    def constant(self, size: int) -> float:
        """Return what gain and score of a candidate differ by when `size` rows are in the set."""
        return (self.n - self.trade_off * (2 * size + 1)) / 2

    def upper_bound(self, indices: NDArray[np.int64], objective: float) -> float | None:
        """Return min over S in {∅, the selection of k rows} of f(S) + the k largest gains given S.

        f(OPT) <= f(S) + Σ_{v∈OPT} gain(v | S) holds for every S if f is monotone and submodular: λ <= 1/2.
        Two passes over the vectors. The empty set gives the tighter bound as a rule: the penalty is small
        beside the modular part. For λ > 1/2 there is no certificate: None.
        """
        if self.trade_off > 0.5:
            return None
        # Both properties need s >= 0. Rows longer than 1 can have s = -δ at the least; then pairs inside OPT
        # may add λ k² δ, and growing from OPT to OPT ∪ S may lose k n δ.
        budget = len(indices)
        longest = float(self.self_terms.max()) * 2 / self.trade_off if self.trade_off else 1.0 + 2.1e-4
        lowest = max(0.0, (longest - 1) / 2)
        allowance = budget * lowest * (self.trade_off * budget + self.n)
        bounds = []
        for chosen, value in ((indices[:0], 0.0), (indices, objective)):
            picked = _sum_of_rows(self.rows, chosen)
            outside = np.delete(np.arange(self.n), chosen)
            gains = np.empty(len(outside))
            _scores(self.rows, self.total / 2 - self.trade_off * picked, self.self_terms, outside, gains)
            gains = np.maximum(gains + self.constant(len(chosen)), 0.0)
            largest = np.sort(gains)[max(0, len(gains) - budget) :]
            bounds.append(value + math.fsum(largest))
        return min(bounds) + allowance


class GraphCutState(State):
    """The query of the set, in float64, updated pick by pick."""

    def __init__(self, function: GraphCut) -> None:
        self.function = function
        self.query = function.total / 2
        self.picked = np.zeros_like(function.total)
        self.size = 0

    def scores(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return <x, q> - λ<x, x>/2 of each candidate."""
        out = np.empty(len(candidates))
        _scores(self.function.rows, self.query, self.function.self_terms, candidates, out)
        return out

    def add(self, index: int, score: float) -> float:
        """Put a row into the set and return its gain."""
        gain = self.function.constant(self.size) + score
        move_query(self.function.rows[index], self.query, self.picked, self.function.trade_off)
        self.size += 1
        return gain

    def value(self) -> float:
        """Return f of the set."""
        return self.function.value_of_sum(self.picked, self.size)


@compiled
def move_query(row: np.ndarray, query: np.ndarray, picked: np.ndarray, trade_off: float) -> None:
    """Update q and Σ_S x for one more row: the one place where they are changed, so that all agree."""
    for j in range(row.shape[0]):
        query[j] -= trade_off * row[j]
        picked[j] += row[j]


@compiled
def _scores(
    rows: np.ndarray, query: np.ndarray, self_terms: np.ndarray, candidates: np.ndarray, out: np.ndarray
) -> None:
    for position in range(candidates.shape[0]):
        index = candidates[position]
        out[position] = dot(rows[index], query) - self_terms[index]


@compiled
def _self_terms(rows: np.ndarray, trade_off: float) -> np.ndarray:
    out = np.empty(rows.shape[0])
    for i in range(rows.shape[0]):
        out[i] = trade_off * dot(rows[i], rows[i]) / 2
    return out


@compiled
def _sum_of_rows(rows: np.ndarray, indices: np.ndarray) -> np.ndarray:
    total = np.zeros(rows.shape[1])
    for index in indices:
        for j in range(rows.shape[1]):
            total[j] += rows[index, j]
    return total
