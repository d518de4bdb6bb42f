"""Saturated coverage: every row should be represented up to a share, and no further.

f(S) = Σ_{i∈V} min(Σ_{j∈S} max(0, s_ij), α Σ_{j∈V} s_ij), s = (1 + <x, y>)/2. Monotone and submodular (Lin,
Bilmes, "A class of submodular functions for document summarization", 2011).
"""

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .exact import column_sums, dot, dots
from .kernel import GIBIBYTE, KernelFunction
from .set_function import State
from .validation import Vectors, real_number


class SaturatedCoverage(KernelFunction):
    """Saturated coverage of all rows.

    Args:
      vectors: (n, d) float32, unit rows; not copied.
      share: α in (0, 1], at which a row counts as covered. Above budget/n hardly a row is ever saturated, and
        f is the plain sum of similarities.
      memory_budget: bytes for products of the vectors; see `KernelFunction`.

    A gain costs O(n d) for the rows not yet covered: this is the dearest function here.
    """

    name: ClassVar[str] = "saturated_coverage"
    submodular = True
    monotone = True

    def __init__(self, vectors: Vectors, share: float = 0.1, memory_budget: int = 2 * GIBIBYTE) -> None:
        super().__init__(vectors, memory_budget)
        accepted = isinstance(share, (int, float)) and 0 < share <= 1
        self.share = real_number(share, "share", accepted, "(0, 1]", self.name)
        self.caps = np.empty(self.n)
        dots(self.rows, column_sums(self.rows), self.caps)
        self.caps = self.share * np.maximum(0.0, (self.n + self.caps) / 2)

    def state(self) -> "SaturatedCoverageState":
        """Return the empty set."""
        return SaturatedCoverageState(self)

    def _value(self, indices: NDArray[np.int64]) -> float:
        state = self.state()
        for index in indices:
            state.add(int(index), 0.0)
        return state.value()


class SaturatedCoverageState(State):
    """How much more similarity each row has room for."""

    def __init__(self, function: SaturatedCoverage) -> None:
        self.function = function
        self.rooms = function.caps.copy()

    def scores(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the gain of each candidate."""
        out = np.empty(len(candidates))
        for part, products in self.function.blocks(candidates):
            for place, index in enumerate(candidates[part]):
                out[part.start + place] = _gain(
                    self.function.rows, int(index), products[place], self.rooms, self.function.error
                )
        return out

    def add(self, index: int, score: float) -> float:
        """Put a row into the set and return its gain."""
        _fill(self.function.rows, index, self.rooms)
        return score

    def value(self) -> float:
        """Return f of the set."""
        return math.fsum(self.function.caps - self.rooms)


@compiled
def _gain(rows: np.ndarray, index: int, products: np.ndarray, rooms: np.ndarray, error: float) -> float:
    """Return Σ_i min(s_iv, room_i), added in the order of i.

    A product that already reaches the room says that the term is the room; the others take an exact
    similarity. Rounding is monotone, so an old gain bounds a new one as it is.
    """
    total = 0.0
    for i in range(rows.shape[0]):
        room = rooms[i]
        if room > 0.0:
            if (1.0 + products[i] - error) / 2.0 < room:
                room = min(room, max(0.0, (1.0 + dot(rows[i], rows[index])) / 2.0))
            total += room
    return total


@compiled
def _fill(rows: np.ndarray, index: int, rooms: np.ndarray) -> None:
    for i in range(rows.shape[0]):
        if rooms[i] > 0.0:
            rooms[i] = max(0.0, rooms[i] - max(0.0, (1.0 + dot(rows[i], rows[index])) / 2.0))
