"""Graph cut: resemble everything, repeat nothing. The easy phase of MILO (arXiv 2301.13287).

f(S) = Σ_{i∈V, j∈S} s_ij - λ Σ_{i,j∈S} s_ij over ordered pairs, i = j included, s a similarity. Where no s is
negative: submodular for λ >= 0, monotone for λ <= 1/2. Else neither, and greedy has no guarantee.
"""

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.constraint import Constraint
from syllabus.selectors.errors import SelectionError
from syllabus.selectors.functions.pairwise_sum import PairTotals, PairwiseSum, pair_total
from syllabus.selectors.functions.similarity import COSINE, SimilarityName
from syllabus.selectors.numerics.distances import squared_norms
from syllabus.selectors.numerics.fixed_order_sums import column_sums, dot, sum_of_rows
from syllabus.selectors.validation import Vectors, real_number


class GraphCut(PairwiseSum):
    """Graph cut without the n x n kernel.

    Args:
      vectors: (n, d) numbers; float32 is not copied.
      trade_off: λ >= 0, how much similarity inside the set costs.
      similarity: "cosine", "dot", "rbf" or `Rbf(width)`; see `similarity.py`. With "dot" and a negative
        component in any row the function counts as not submodular: no certificate, no "lazier".
      whole: the rows of V where they are others than `vectors`: their sum, (d,), and their number. A part of
        n rows that is to pick its share for all N has (n/N · sum, n). Of a linear similarity.

    Memory O(n + d) above the vectors; a gain costs O(d). RBF first takes all n² / 2 similarities, O(n² d),
    and then O(d) for each pick since a candidate was last scored.
    """

    # With s = a + b <x, y>, X_S = Σ_S x, X_V = Σ_V x:
    #   gain(v) = Σ_V s_iv - 2λ Σ_S s_jv - λ s_vv
    #           = a (n - λ(2|S| + 1)) + <x_v, b X_V - 2 b λ X_S> - b λ <x_v, x_v>
    # so a gain is a constant plus the inner product with one query q, less a term that for unit rows is the
    # same for all up to the rounding of their norms.

    name: ClassVar[str] = "graph_cut"

    def __init__(
        self,
        vectors: Vectors,
        trade_off: float = 0.4,
        similarity: SimilarityName = "cosine",
        whole: tuple[NDArray[np.float64], float] | None = None,
    ) -> None:
        super().__init__(vectors, similarity)
        self.trade_off = real_number(
            trade_off, "trade_off", lambda value: 0 <= value < math.inf, "[0, inf)", self.name
        )
        self.submodular = self.similarity.nonnegative
        self.linear = self.similarity.linear
        self.apart = whole is not None
        # Rows that resemble each other more than V may have gains below 0.
        self.monotone = self.submodular and self.trade_off <= 0.5 and not self.apart
        total, self.mass = self._whole(whole)
        if self.linear:
            slope = self.similarity.slope
            self.step = 2 * slope * self.trade_off
            self.first_query = slope * (column_sums(self.rows) if total is None else total)
            self.terms = self.step * squared_norms(self.rows) / 2
        else:
            self.sums = self.similarity.sums(self.rows)

    def _whole(
        self, whole: tuple[NDArray[np.float64], float] | None
    ) -> tuple[NDArray[np.float64] | None, float]:
        """The sum of V, None where it is that of the rows, and how many it has."""
        if whole is None:
            return None, float(self.n)
        caller = f"{self.name}: whole"
        if not self.linear:
            raise SelectionError(f"{caller} needs a linear similarity (cosine, dot)")
        mass = real_number(
            whole[1], "the number of rows", lambda value: 0 < value < math.inf, "(0, inf)", caller
        )
        total = np.asarray(whole[0], np.float64)
        if total.shape != (self.rows.shape[1],) or not np.isfinite(total).all():
            raise SelectionError(
                f"{caller}: the sum has shape {total.shape}; expected {self.rows.shape[1]} finite numbers"
            )
        return total, mass

    def totals(self) -> PairTotals:
        """Return the empty set where there is no query."""
        first = self.sums - self.trade_off * self.similarity.own(self.rows)
        return PairTotals(self.rows, self.similarity, first, -2 * self.trade_off, distance=False)

    def rounding_bound(self) -> float:
        """Return a bound on the rounding of any gain: q is at most n long, and rounded at each of n picks."""
        if not self.linear:
            return 0.0  # totals only grow, so gains only fall, rounding and all
        largest = max(1.0, self.similarity.longest**2)
        longest = max(self.n, self.mass) * largest
        if self.apart:
            # Of V that are longer than the rows selected from.
            longest = max(longest, math.sqrt(dot(self.first_query, self.first_query) * largest))
        return 1e-15 * float((self.rows.shape[1] + self.n) * (1 + 2 * self.trade_off) * longest)

    def increase_bound(self) -> float:
        """Return the same and what similarities below 0 may add: 2λ times the least of them at a pick."""
        return self.rounding_bound() + 2 * self.trade_off * self.n * self._below_zero()

    def _below_zero(self) -> float:
        # Cosines of rows that point opposite ways and are longer than 1, within the tolerance of norms.
        if self.similarity.kind != COSINE:
            return 0.0
        return max(0.0, (float(squared_norms(self.rows).max()) - 1) / 2)

    def _value(self, indices: NDArray[np.int64]) -> float:
        size, offset, slope = len(indices), self.similarity.offset, self.similarity.slope
        if not self.linear:
            own = math.fsum(self.similarity.own(self.rows[indices]))
            inside = own + 2 * pair_total(self.rows, self.similarity, indices, distance=False)
            return float(math.fsum(self.sums[indices]) - self.trade_off * inside)
        picked = sum_of_rows(self.rows, indices)
        similar_to_all = offset * size * self.mass + dot(picked, self.first_query)
        similar_inside = offset * size * size + slope * dot(picked, picked)
        return float(similar_to_all - self.trade_off * similar_inside)

    def constant(self, size: Any) -> Any:
        """Return what gain and score differ by when `size` rows, or each of an array, are in the set."""
        return self.similarity.offset * (self.mass - self.trade_off * (2 * size + 1))

    def upper_bound(
        self, indices: NDArray[np.int64], objective: float, constraint: Constraint
    ) -> float | None:
        """Return min over S in {included, selection} of f(S) + what the gains given S sum to at most.

        f(OPT) <= f(S) + Σ_{v∈OPT} gain(v | S) holds for every S if f is monotone and submodular: λ <= 1/2,
        no s negative. Two passes over the vectors. The first gives the tighter bound as a rule: the
        penalty is small beside the modular part. It asks for no monotone f, and is all there is where V are
        other rows. Elsewhere there is no certificate: None.
        """
        if not (self.submodular and self.trade_off <= 0.5):
            return None
        # Both properties need s >= 0. Where s = -δ at the least, pairs inside OPT may add λ k² δ, and growing
        # from OPT to OPT ∪ S may lose k n δ.
        budget = constraint.most_rows
        allowance = budget * self._below_zero() * (self.trade_off * budget + max(self.n, self.mass))
        bounds = []
        start = constraint.included  # which OPT holds too
        ends = (
            [(start, self._value(start))]
            if self.apart
            else [(start, self._value(start)), (indices, objective)]
        )
        for chosen, value in ends:
            state = self.state()
            for index in chosen:
                state.add(int(index), 0.0)
            bounds.append(value + constraint.largest_sum(self.gain_bounds(state, chosen)))
        return min(bounds) + allowance
