"""Facility location over nearest neighbours, for n where n² similarities are too many.

f(S) = Σ_{i∈V} max(0, max_{j∈S∩N(i)} s_ij), N(i) = the most similar rows of i, i itself among them. Monotone
and submodular. It sees no similarity beyond the neighbourhoods. At 0 a row that has none of the set among its
neighbours is worth more than all that can be done for others, and the set is drawn to outliers: either use
some 8 n/k neighbours, or a `floor`. The rows served, V, may be others than those selected from.
"""

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.functions.base import State
from syllabus.selectors.functions.neighbour_function import NeighbourFunction
from syllabus.selectors.functions.similarity import SimilarityName, reference_rows, similar
from syllabus.selectors.functions.similarity_function import GIBIBYTE
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.validation import Vectors


class SparseFacilityLocation(NeighbourFunction):
    """Facility location over the `neighbours` nearest of each row.

    They are found by faiss, of vectors on another device by products there.

    Args:
      vectors: (n, d) numbers; float32 is not copied.
      neighbours: at least 1; all rows where n is smaller. Of those that tie for the last place any is taken.
      memory_budget: bytes for the neighbours, 48 each while they are found and put in order.
      similarity: "cosine", "dot", "rbf" or `Rbf(width)`; see `similarity.py`.
      served: (m, d) numbers, the rows of V; None for those of `vectors`. N(i) are rows of `vectors` always.
      floor: whether any set serves a row like the last of N(i) at least, where there are more rows. So f is
        less below facility location than without, if maybe above it, and few neighbours do.

    Building costs one (m x d)(d x n) product in blocks; memory 12 bytes for each neighbour of a row, 48 while
    it is built. A gain costs the number of rows that have the candidate for a neighbour.
    """

    name: ClassVar[str] = "sparse_facility_location"
    submodular = True
    monotone = True

    def __init__(
        self,
        vectors: Vectors,
        neighbours: int = 64,
        memory_budget: int = 2 * GIBIBYTE,
        similarity: SimilarityName = "cosine",
        served: Vectors | None = None,
        floor: bool = False,
    ) -> None:
        super().__init__(vectors, similarity)
        self.served = self.rows
        if served is not None:
            self.served = reference_rows(served, self.rows.shape[1], self.similarity, f"{self.name}: served")
        near = self.nearest(neighbours, memory_budget, None if served is None else self.served)
        owners = np.repeat(np.arange(len(self.served)), near.shape[1])
        order = np.lexsort((owners, near.ravel()))
        self.owners = owners[order].astype(np.int32)
        self.starts = np.searchsorted(near.ravel()[order], np.arange(self.n + 1))
        self.similarities = np.empty(len(self.owners))
        s = self.similarity
        _similarities(s.kind, s.rate, self.rows, self.served, self.starts, self.owners, self.similarities)
        self.floors = np.zeros(len(self.served))
        if floor and near.shape[1] < self.n:
            self.floors += np.inf
            np.minimum.at(self.floors, self.owners, self.similarities)
            self.floors = np.maximum(0.0, self.floors)
        self.first = math.fsum(self.floors)

    def state(self) -> "_State":
        """Return the empty set."""
        return _State(self)


class _State(State):
    """The similarity of every row to the closest of the set among its neighbours."""

    def __init__(self, function: SparseFacilityLocation) -> None:
        self.function = function
        self.best_similarity = function.floors.copy()
        self.empty = True

    def scores(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        f = self.function
        out = np.empty(len(candidates))
        _gains(f.starts, f.owners, f.similarities, self.best_similarity, candidates, out)
        return out

    def gains(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        # Whichever row is the first, it lifts all to their floors.
        return scores + self.function.first if self.empty else scores

    def add(self, index: int, score: float) -> float:
        f = self.function
        gain = score + f.first if self.empty else score
        self.empty = False
        part = slice(f.starts[index], f.starts[index + 1])
        owners = f.owners[part]  # each at most once
        self.best_similarity[owners] = np.maximum(self.best_similarity[owners], f.similarities[part])
        return gain

    def value(self) -> float:
        return 0.0 if self.empty else math.fsum(self.best_similarity)


@compiled
def _similarities(
    kind: int,
    rate: float,
    rows: np.ndarray,
    served: np.ndarray,
    starts: np.ndarray,
    owners: np.ndarray,
    out: np.ndarray,
) -> None:
    for index in range(rows.shape[0]):
        for place in range(starts[index], starts[index + 1]):
            out[place] = similar(kind, rate, served[owners[place]], rows[index])


@compiled
def _gains(
    starts: np.ndarray,
    owners: np.ndarray,
    similarities: np.ndarray,
    best_similarity: np.ndarray,
    candidates: np.ndarray,
    out: np.ndarray,
) -> None:
    for position in range(candidates.shape[0]):
        gain = 0.0
        for place in range(starts[candidates[position]], starts[candidates[position] + 1]):
            gain += max(0.0, similarities[place] - best_similarity[owners[place]])
        out[position] = gain
