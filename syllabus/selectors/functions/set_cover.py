"""Set cover and probabilistic set cover: every concept by some row.

f(S) = Σ_u w_u (1 - Π_{x∈S} (1 - p_xu)), where row x has concept u with probability p_xu (used in Kothawade et
al., "PRISM", 2022), 0 or 1 in plain set cover: there f(S) = Σ_u w_u over the concepts u that some row of S
has. Monotone and submodular; greedy's 1 - 1/e is the best that can be had (Feige, "A threshold of ln n for
approximating set cover", 1998). The rows are sparse: tags, words, objects that a detector found and how sure
it was.
"""

import math
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.functions.base import SetFunction, State
from syllabus.selectors.functions.sparse_rows import SparseRows, sparse_rows
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.validation import weights_of


class ProbabilisticSetCover(SetFunction):
    """The expected weight of the concepts that some row of the set has.

    Args:
      features: p, (n, d) in [0, 1]: a scipy sparse matrix, not copied if CSR of float64, or (n, d) numbers.
      weights: (d,) finite numbers >= 0, of the concepts; all 1 if not given.

    A gain costs the number of concepts of the row. Memory O(d), and 20 bytes an entry for what is not CSR.
    """

    name: ClassVar[str] = "probabilistic_set_cover"
    submodular = True
    monotone = True

    def __init__(self, features: Any, weights: NDArray[np.float64] | None = None) -> None:
        self.features = self.degrees(features)
        self.n = len(self.features)
        self.weights = weights_of(weights, self.features.width, self.name)

    def degrees(self, features: Any) -> SparseRows:
        """Return the probability with which each row has each of its concepts."""
        return sparse_rows(features, 1.0, self.name)

    def state(self) -> "_State":
        """Return the empty set."""
        return _State(self)


class SetCover(ProbabilisticSetCover):
    """The weight of the concepts that some row of the set has.

    Args:
      features: (n, d) numbers >= 0, above 0 where the row has the concept: a scipy sparse matrix, not copied
        if CSR of float64 but for 8 bytes an entry, or (n, d) numbers.
      weights: (d,) finite numbers >= 0, of the concepts; all 1 if not given.

    Once all concepts are covered every gain is 0 and the smallest indices follow.
    """

    name: ClassVar[str] = "set_cover"

    def degrees(self, features: Any) -> SparseRows:
        """Return 1 for each concept of each row."""
        rows = sparse_rows(features, float(np.finfo(np.float64).max), self.name)
        return replace(rows, values=(rows.values > 0).astype(np.float64))


class _State(State):
    """The probability of each concept that no row of the set has it."""

    def __init__(self, function: ProbabilisticSetCover) -> None:
        self.function = function
        self.missing = np.ones(function.features.width)

    def scores(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        f = self.function.features
        out = np.empty(len(candidates))
        _gains(f.starts, f.columns, f.values, self.function.weights, self.missing, candidates, out)
        return out

    def add(self, index: int, score: float) -> float:
        f = self.function.features
        part = slice(f.starts[index], f.starts[index + 1])
        self.missing[f.columns[part]] *= 1.0 - f.values[part]
        return score

    def value(self) -> float:
        return math.fsum(self.function.weights * (1.0 - self.missing))


@compiled
def _gains(
    starts: np.ndarray,
    columns: np.ndarray,
    values: np.ndarray,
    weights: np.ndarray,
    missing: np.ndarray,
    candidates: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write Σ_u w_u p_u missing_u, added in the order of u.

    `missing` never grows and rounding is monotone: an old gain bounds a new one as it is.
    """
    for position in range(candidates.shape[0]):
        index = candidates[position]
        gain = 0.0
        for place in range(starts[index], starts[index + 1]):
            gain += weights[columns[place]] * (values[place] * missing[columns[place]])
        out[position] = gain
