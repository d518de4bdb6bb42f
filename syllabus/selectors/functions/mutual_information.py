"""Facility-location mutual information: rows that resemble a query set, and serve all of it.

f(S; Q) = Σ_{q∈Q} max(0, max_{j∈S} s_qj) + η Σ_{j∈S} max(0, max_{q∈Q} s_qj), s a similarity. Monotone and
submodular, whatever its signs ("FLQMI" of Kothawade et al., "PRISM", 2022, which has no clamps). With them a
row unlike every query counts 0 in both sums; without the second it would lower f.
"""

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.functions.base import State
from syllabus.selectors.functions.similarity import SimilarityName, reference_rows
from syllabus.selectors.functions.similarity_function import GIBIBYTE, SimilarityFunction
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.validation import Vectors, bytes_of, real_number


class FacilityLocationMutualInformation(SimilarityFunction):
    """Resemblance to a query set.

    Args:
      vectors: (n, d) numbers; float32 is not copied.
      query: (m, d) numbers, for example a few examples of what a model fails on.
      relevance: η >= 0: 0 asks only that each query is served, larger values for rows near any of them.
      memory_budget: bytes for the similarities, 8 n m.
      similarity: "cosine", "dot", "rbf" or `Rbf(width)`; see `similarity.py`.

    A gain costs O(m).
    """

    name: ClassVar[str] = "facility_location_mutual_information"
    submodular = True
    monotone = True

    def __init__(
        self,
        vectors: Vectors,
        query: Vectors,
        relevance: float = 1.0,
        memory_budget: int = 2 * GIBIBYTE,
        similarity: SimilarityName = "cosine",
    ) -> None:
        super().__init__(vectors, similarity)
        others = reference_rows(query, self.rows.shape[1], self.similarity, f"{self.name}: query")
        bytes_of(memory_budget, 8 * self.n * len(others), f"{len(others)} similarities a row", self.name)
        self.relevance = real_number(
            relevance, "relevance", lambda value: 0 <= value < math.inf, "[0, inf)", self.name
        )
        self.similarities = self.similarity.between(self.rows, others)
        np.maximum(self.similarities, 0.0, out=self.similarities)
        self.nearest = self.relevance * self.similarities.max(axis=1)

    def state(self) -> "_State":
        """Return the empty set."""
        return _State(self)

    def _value(self, indices: NDArray[np.int64]) -> float:
        if not len(indices):
            return 0.0
        served = self.similarities[indices].max(axis=0)
        return math.fsum(served) + math.fsum(self.nearest[indices])


class _State(State):
    """How close the set is to each query row."""

    def __init__(self, function: FacilityLocationMutualInformation) -> None:
        self.function = function
        self.best_similarity = np.zeros(function.similarities.shape[1])
        self.indices: list[int] = []

    def scores(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        out = np.empty(len(candidates))
        _gains(self.function.similarities, self.function.nearest, self.best_similarity, candidates, out)
        return out

    def add(self, index: int, score: float) -> float:
        self.best_similarity = np.maximum(self.best_similarity, self.function.similarities[index])
        self.indices.append(index)
        return score

    def value(self) -> float:
        return self.function._value(np.array(self.indices, np.int64))


@compiled
def _gains(
    similarities: np.ndarray,
    nearest: np.ndarray,
    best_similarity: np.ndarray,
    candidates: np.ndarray,
    out: np.ndarray,
) -> None:
    for position in range(candidates.shape[0]):
        index = candidates[position]
        gain = nearest[index]
        for q in range(best_similarity.shape[0]):
            gain += max(0.0, similarities[index, q] - best_similarity[q])
        out[position] = gain
