"""Disparity-sum: rows far from one another in total, which favours the rim of the data.

f(S) = Σ over unordered pairs of S of d(x, y) = (s(x, x) + s(y, y))/2 - s(x, y), s a similarity: half the
square of a distance, ‖x - y‖²/2 for dot, 1 - s for RBF. For cosine it is (1 - <x, y>)/2, which is ‖x - y‖²/4
of rows of norm 1; where norms are 1 within 1e-4 only, the two differ by up to 1e-4, and copies count as much.
Monotone (for cosine up to that) and supermodular: greedy keeps no share of the optimum in general. The 1/2 of
Ravi, Rosenkrantz, Tayi (1994) is for metrics; squares of distances are none. Without constraint on diversity
it may pick near copies at opposite ends; `DisparityMin` does not.
"""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.functions.pairwise_sum import PairTotals, PairwiseSum, pair_total
from syllabus.selectors.functions.similarity import COSINE, SimilarityName
from syllabus.selectors.numerics.distances import squared_norms
from syllabus.selectors.numerics.fixed_order_sums import dot, sum_of_rows
from syllabus.selectors.validation import Vectors


class DisparitySum(PairwiseSum):
    """Disparity-sum without the n x n kernel.

    Args:
      vectors: (n, d) numbers; float32 is not copied.
      similarity: "cosine", "dot", "rbf" or `Rbf(width)`; see `similarity.py`.

    The first gain is 0 for all: greedy starts from row 0. Memory O(n + d); a gain costs O(d), for dot and RBF
    O(d) for each pick since the candidate was last scored.
    """

    # Cosine: gain(v) = Σ_{x∈S} (1 - <v, x>)/2 = |S|/2 + <v, -X_S/2>.

    name: ClassVar[str] = "disparity_sum"
    monotone = True

    def __init__(self, vectors: Vectors, similarity: SimilarityName = "cosine") -> None:
        super().__init__(vectors, similarity)
        self.linear = self.similarity.kind == COSINE
        self.step = 0.5
        self.first_query = np.zeros(self.rows.shape[1])
        self.terms = np.zeros(self.n)

    def constant(self, size: Any) -> Any:
        """Return what gain and score differ by when `size` rows, or each of an array, are in the set."""
        return size / 2

    def totals(self) -> PairTotals:
        """Return the empty set where there is no query."""
        return PairTotals(self.rows, self.similarity, np.zeros(self.n), 1.0, distance=True)

    def _value(self, indices: NDArray[np.int64]) -> float:
        if not self.linear:
            return pair_total(self.rows, self.similarity, indices, distance=True)
        size, picked = len(indices), sum_of_rows(self.rows, indices)
        own = float(squared_norms(self.rows[indices]).sum())
        return float(size * (size - 1) - dot(picked, picked) + own) / 4
