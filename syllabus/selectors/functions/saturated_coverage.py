"""Saturated coverage: every row should be represented up to a share, and no further.

f(S) = Σ_{i∈V} min(Σ_{j∈S} max(0, s_ij), α Σ_{j∈V} s_ij), s >= 0 a similarity. Monotone and submodular (Lin,
Bilmes, "A class of submodular functions for document summarization", 2011).
"""

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.functions.base import State
from syllabus.selectors.functions.similarity import SimilarityName, SimilarityParameters, similar
from syllabus.selectors.functions.similarity_function import GIBIBYTE, KernelFunction
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.validation import Vectors, real_number


class SaturatedCoverage(KernelFunction):
    """Saturated coverage of all rows.

    Args:
      vectors: (n, d) numbers; float32 is not copied.
      share: α in (0, 1], at which a row counts as covered. Above budget/n hardly a row is ever saturated, and
        f is the plain sum of similarities.
      memory_budget: bytes for similarities; see `KernelFunction`.
      similarity: "cosine", "rbf", `Rbf(width)`, or "dot" of rows without negative components.

    A gain costs O(n d) for the rows not yet covered: this is the dearest function here.
    """

    name: ClassVar[str] = "saturated_coverage"
    submodular = True
    monotone = True

    def __init__(
        self,
        vectors: Vectors,
        share: float = 0.1,
        memory_budget: int = 2 * GIBIBYTE,
        similarity: SimilarityName = "cosine",
    ) -> None:
        super().__init__(vectors, memory_budget, similarity)
        if not self.similarity.nonnegative:
            raise SelectionError(
                f"{self.name}: similarity 'dot' of rows with negative components may be negative; "
                "valid: cosine, rbf"
            )
        self.share = real_number(share, "share", lambda value: 0 < value <= 1, "(0, 1]", self.name)
        self.caps = self.share * np.maximum(0.0, self.similarity.sums(self.rows))

    def state(self) -> "_State":
        """Return the empty set."""
        return _State(self)

    def _value(self, indices: NDArray[np.int64]) -> float:
        state = self.state()
        for index in indices:
            state.add(int(index), 0.0)  # a gain would be as dear
        return state.value()


class _State(State):
    """How much more similarity each row has room for."""

    def __init__(self, function: SaturatedCoverage) -> None:
        self.function = function
        self.rooms = function.caps.copy()

    def scores(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        out = np.empty(len(candidates))
        f, parameters = self.function, self.function.parameters
        for part, entries in f.blocks(candidates):
            for place, index in enumerate(candidates[part]):
                out[part.start + place] = _gain(parameters, f.rows, int(index), entries[place], self.rooms)
        return out

    def add(self, index: int, score: float) -> float:
        s = self.function.similarity
        _fill(s.kind, s.rate, self.function.rows, index, self.rooms)
        return score

    def value(self) -> float:
        return math.fsum(self.function.caps - self.rooms)


@compiled
def _gain(
    similarity: SimilarityParameters, rows: np.ndarray, index: int, entries: np.ndarray, rooms: np.ndarray
) -> float:
    """Return Σ_i min(s_iv, room_i), added in the order of i.

    An entry that already reaches the room says that the term is the room; the others take an exact
    similarity. Rounding is monotone, so an old gain bounds a new one as it is.
    """
    kind, rate, slope, offset, error = similarity
    total = 0.0
    for i in range(rows.shape[0]):
        room = rooms[i]
        if room > 0.0:
            if offset + slope * (entries[i] - error) < room:
                room = min(room, max(0.0, similar(kind, rate, rows[i], rows[index])))
            total += room
    return total


@compiled
def _fill(kind: int, rate: float, rows: np.ndarray, index: int, rooms: np.ndarray) -> None:
    for i in range(rows.shape[0]):
        if rooms[i] > 0.0:
            rooms[i] = max(0.0, rooms[i] - max(0.0, similar(kind, rate, rows[i], rows[index])))
