"""Facility location: every row should have someone close to it in the set.

f(S) = Σ_{i∈V} max(0, max_{j∈S} s_ij), s a similarity (`similarity.py`). Monotone and submodular,
whatever its signs (Cornuéjols, Fisher, Nemhauser, "Location of bank accounts to optimize float", 1977).
"""

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.constraint import Constraint
from syllabus.selectors.functions.base import State
from syllabus.selectors.functions.facility_location_gains import (
    Coverage,
    all_upper_gains,
    best_gain,
    exact_gains,
    raise_best_similarity,
)
from syllabus.selectors.functions.similarity import SimilarityName
from syllabus.selectors.functions.similarity_function import GIBIBYTE, KernelFunction
from syllabus.selectors.validation import Vectors


class FacilityLocation(KernelFunction):
    """Facility location over all rows.

    Args:
      vectors: (n, d) numbers; float32 is not copied.
      memory_budget: bytes for similarities; see `KernelFunction`.
      similarity: "cosine", "dot", "rbf" or `Rbf(width)`.

    A gain costs O(n) given its kernel row, and the row O(n d). Gains are sums of exact similarities: a
    kernel entry only says which terms are zero.
    """

    name: ClassVar[str] = "facility_location"
    # Its gains have a heavy tail: the best of 46 rows (a tenth at ε = 0.01) is far from the best. Normalised
    # gains are .88-.9 at 1 and .91-.92 at 1.5, where subsets overlap by a fifth more (docs/milo.md).
    sampling: ClassVar[float] = 1.5
    submodular = True
    monotone = True

    def __init__(
        self, vectors: Vectors, memory_budget: int = 2 * GIBIBYTE, similarity: SimilarityName = "cosine"
    ) -> None:
        super().__init__(vectors, memory_budget, similarity)
        self.baseline = np.zeros(self.n)  # how close the empty set is to each row
        self.alone = np.full(self.n, np.nan)  # gains of the empty set, once they are known

    def state(self) -> "FacilityLocationState":
        """Return the empty set."""
        return FacilityLocationState(self)

    def _value(self, indices: NDArray[np.int64]) -> float:
        state = self.state()
        for part, entries in self.blocks(indices):
            for index, row in zip(indices[part], entries, strict=True):
                state.raise_best_similarity(int(index), row)
        return state.value()

    def upper_bound(
        self, indices: NDArray[np.int64], objective: float, constraint: Constraint
    ) -> float | None:
        """Return f(S) + what the gains given S, the selection, sum to at most within the constraint.

        f(OPT) <= f(S) + Σ_{v∈OPT} gain(v | S). Needs the dense kernel (O(n²)); without it None, since it
        would cost as much as the kernel. (The lazy optimiser has bounds on all gains at hand, so its
        selections always carry a number.)
        """
        kernel = self.kernel()
        if kernel is None:
            return None
        state = self.state()
        for index in indices:
            state.raise_best_similarity(int(index), kernel[index])
        gains = np.empty(self.n)
        all_upper_gains(kernel, state.thresholds, self.similarity.slope, gains)
        gains[indices] = 0.0
        return objective + constraint.largest_sum(gains)


class FacilityLocationState(State):
    """The `best_similarity` of every row, that to the closest of the set, and its float32 `thresholds`.

    A threshold is (best - offset)/slope - ε: an entry not above it belongs to a term of exactly zero.
    """

    def __init__(self, function: FacilityLocation) -> None:
        self.function, self.parameters = function, function.parameters
        self.best_similarity = function.baseline.copy()
        # Its rounding to float32 is part of ε.
        thresholds = (self.best_similarity - self.parameters.offset) / self.parameters.slope
        self.thresholds = (thresholds - self.parameters.error).astype(np.float32)
        self.coverage = Coverage(self.best_similarity, self.thresholds)

    def scores(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the gain of each candidate."""
        out = np.empty(len(candidates))
        for part, entries in self.function.blocks(candidates):
            exact_gains(
                self.parameters, self.function.rows, candidates[part], entries, self.coverage, out[part]
            )
        return out

    def best(
        self, candidates: NDArray[np.int64], divisors: NDArray[np.float64] | None = None
    ) -> tuple[int, float]:
        """As in `State`; exact gains are computed only where a bound reaches the best so far."""
        own = np.ones(len(candidates)) if divisors is None else divisors[candidates]
        pick, score, ratio = -1, -1.0, -1.0
        for part, entries in self.function.blocks(candidates):
            bounds = np.empty(len(entries))
            all_upper_gains(entries, self.thresholds, self.parameters.slope, bounds)
            bounds /= own[part]
            order = np.argsort(-bounds)
            pick, score, ratio = best_gain(
                self.parameters, self.function.rows, candidates[part], entries, self.coverage, bounds,
                order, own[part], pick, score, ratio,
            )  # fmt: skip
        return pick, score

    def add(self, index: int, score: float) -> float:
        """Put a row into the set and return its gain."""
        kernel = self.function.kernel()
        row = self.function.entries(np.array([index]))[0] if kernel is None else kernel[index]
        self.raise_best_similarity(index, row)
        return score

    def raise_best_similarity(self, index: int, entries: NDArray[np.float32]) -> None:
        """Raise the best similarities to those of row `index`, whose kernel row is given."""
        raise_best_similarity(self.parameters, self.function.rows, index, entries, self.coverage)

    def value(self) -> float:
        """Return f of the set."""
        return math.fsum(self.best_similarity - self.function.baseline)
