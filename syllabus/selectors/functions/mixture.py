"""Weighted mixtures of set functions: f(S) = Σ_m w_m f_m(S) over the same rows, w_m > 0.

Submodular or monotone if all parts are. Values of different functions differ by orders of magnitude (graph
cut grows as n k, disparity-min stays below 1): weights of 1/f_m(its own selection) make parts comparable.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.functions.base import SetFunction, State
from syllabus.selectors.validation import real_number


class Mixture(SetFunction):
    """A weighted sum of set functions.

    Args:
      parts: at least one set function, all over the same number of rows.
      weights: as many numbers > 0.
    """

    name: ClassVar[str] = "mixture"

    def __init__(self, parts: Sequence[SetFunction], weights: Sequence[float]) -> None:
        if not parts or len(parts) != len(weights):
            raise SelectionError(
                f"mixture: {len(parts)} parts and {len(weights)} weights; expected as many, at least one"
            )
        sizes = sorted({part.n for part in parts})
        if len(sizes) > 1:
            raise SelectionError(
                f"mixture: parts have n={sizes[0]} and n={sizes[-1]} rows; expected the same"
            )
        self.parts = tuple(parts)
        self.weights = tuple(
            real_number(weight, "weight", lambda value: 0 < value < math.inf, "(0, inf)", self.name)
            for weight in weights
        )
        self.n = sizes[0]
        self.submodular = all(part.submodular for part in parts)
        self.monotone = all(part.monotone for part in parts)

    def state(self) -> "_State":
        """Return the empty set."""
        return _State(self)

    def rounding_bound(self) -> float:
        """Return the parts' slack, weighted."""
        return sum(
            weight * part.rounding_bound() for weight, part in zip(self.weights, self.parts, strict=True)
        )

    def increase_bound(self) -> float:
        """Return the same of the parts' gains."""
        return sum(w * part.increase_bound() for w, part in zip(self.weights, self.parts, strict=True))

    def value_error(self, size: int) -> float:
        """Return the parts' errors, weighted."""
        return sum(w * part.value_error(size) for w, part in zip(self.weights, self.parts, strict=True))

    def _value(self, indices: NDArray[np.int64]) -> float:
        return math.fsum(
            weight * part.value(indices) for weight, part in zip(self.weights, self.parts, strict=True)
        )


class _State(State):
    """One state for each part. Scores are gains: the parts' constants would not cancel."""

    def __init__(self, function: Mixture) -> None:
        self.weights = function.weights
        self.states = [part.state() for part in function.parts]

    def reserve(self, size: int) -> None:
        for state in self.states:
            state.reserve(size)

    def scores(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        out = np.zeros(len(candidates))
        for weight, state in zip(self.weights, self.states, strict=True):
            out += weight * state.gains(state.scores(candidates))
        return out

    def add(self, index: int, score: float) -> float:
        for state in self.states:
            state.add_all(np.array([index]))
        return score

    def value(self) -> float:
        return math.fsum(
            weight * state.value() for weight, state in zip(self.weights, self.states, strict=True)
        )
