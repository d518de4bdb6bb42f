"""Facility-location conditional gain: represent the rest, avoid what the private rows cover.

f(S | P) = Σ_{i∈V} max(0, max_{j∈S} s_ij - ν max(0, max_{p∈P} s_ip)), s a similarity. Monotone and
submodular, whatever its signs ("FLCG" of Kothawade et al., "PRISM", 2022, without the inner clamp). With it a
row unlike all private ones counts as if there were none; without, it would count for more.
"""

import math
from typing import ClassVar

import numpy as np

from syllabus.selectors.functions.facility_location import FacilityLocation
from syllabus.selectors.functions.similarity import SimilarityName, reference_rows
from syllabus.selectors.functions.similarity_function import GIBIBYTE
from syllabus.selectors.validation import Vectors, real_number


class FacilityLocationConditionalGain(FacilityLocation):
    """Facility location over what a private set leaves.

    Args:
      vectors: (n, d) numbers; float32 is not copied.
      private: (p, d) numbers, rows that the selection need not and should not repeat, for example data
        already labelled or not to be imitated.
      hardness: ν >= 0, how strictly: 0 is plain facility location, 1 the gain over P itself.
      memory_budget: bytes for similarities; see `KernelFunction`.
      similarity: "cosine", "dot", "rbf" or `Rbf(width)`; see `similarity.py`.
    """

    name: ClassVar[str] = "facility_location_conditional_gain"

    def __init__(
        self,
        vectors: Vectors,
        private: Vectors,
        hardness: float = 1.0,
        memory_budget: int = 2 * GIBIBYTE,
        similarity: SimilarityName = "cosine",
    ) -> None:
        super().__init__(vectors, memory_budget, similarity)
        others = reference_rows(private, self.rows.shape[1], self.similarity, f"{self.name}: private")
        self.hardness = real_number(
            hardness, "hardness", lambda value: 0 <= value < math.inf, "[0, inf)", self.name
        )
        nearest = np.zeros(self.n)
        for other in others:
            nearest = np.maximum(nearest, self.similarity.between(self.rows, other[None])[:, 0])
        self.baseline = self.hardness * nearest
