"""Graph cut: resemble everything, repeat nothing. The easy phase of MILO (arXiv 2301.13287).

f(S) = Σ_{i∈V, j∈S} s_ij - λ Σ_{i,j∈S} s_ij over ordered pairs, i = j included, s = (1 + <x, y>)/2.
Submodular for λ >= 0, monotone for λ <= 1/2.
"""

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .exact import column_sums, dot
from .nearest import squared_norms
from .query_function import QueryFunction, query_scores, sum_of_rows
from .validation import Vectors, real_number


class GraphCut(QueryFunction):
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
    submodular = True

    def __init__(self, vectors: Vectors, trade_off: float = 0.4) -> None:
        super().__init__(vectors)
        accepted = isinstance(trade_off, (int, float)) and 0 <= trade_off < math.inf
        self.step = real_number(trade_off, "trade_off", accepted, "[0, inf)", self.name)
        self.monotone = self.step <= 0.5
        self.first_query = column_sums(self.rows) / 2
        self.terms = self.step * squared_norms(self.rows) / 2

    def slack(self) -> float:
        """Return a bound on the rounding of any gain: q is at most n long, and rounded at each of n picks."""
        return 1e-15 * float((self.rows.shape[1] + self.n) * (1 + 2 * self.step) * self.n)

    def _value(self, indices: NDArray[np.int64]) -> float:
        size, picked = len(indices), sum_of_rows(self.rows, indices)
        similar_to_all = size * self.n / 2 + dot(picked, self.first_query)
        similar_inside = (size * size + dot(picked, picked)) / 2
        return float(similar_to_all - self.step * similar_inside)

    def constant(self, size: int) -> float:
        """Return what gain and score of a candidate differ by when `size` rows are in the set."""
        return (self.n - self.step * (2 * size + 1)) / 2

    def upper_bound(self, indices: NDArray[np.int64], objective: float) -> float | None:
        """Return min over S in {∅, the selection of k rows} of f(S) + the k largest gains given S.

        f(OPT) <= f(S) + Σ_{v∈OPT} gain(v | S) holds for every S if f is monotone and submodular: λ <= 1/2.
        Two passes over the vectors. The empty set gives the tighter bound as a rule: the penalty is small
        beside the modular part. For λ > 1/2 there is no certificate: None.
        """
        if self.step > 0.5:
            return None
        # Both properties need s >= 0. Rows longer than 1 can have s = -δ at the least; then pairs inside OPT
        # may add λ k² δ, and growing from OPT to OPT ∪ S may lose k n δ.
        budget = len(indices)
        longest = float(self.terms.max()) * 2 / self.step if self.step else 1.0 + 2.1e-4
        lowest = max(0.0, (longest - 1) / 2)
        allowance = budget * lowest * (self.step * budget + self.n)
        bounds = []
        for chosen, value in ((indices[:0], 0.0), (indices, objective)):
            query = self.first_query - self.step * sum_of_rows(self.rows, chosen)
            outside = np.delete(np.arange(self.n), chosen)
            gains = np.empty(len(outside))
            query_scores(self.rows, query, self.terms, outside, gains)
            gains = np.maximum(gains + self.constant(len(chosen)), 0.0)
            largest = np.sort(gains)[max(0, len(gains) - budget) :]
            bounds.append(value + math.fsum(largest))
        return min(bounds) + allowance
