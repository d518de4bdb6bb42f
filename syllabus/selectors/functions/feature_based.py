"""Feature-based functions: cover every feature, with diminishing returns in each.

f(S) = Σ_j w_j φ(Σ_{i∈S} x_ij) for x >= 0 and a concave φ with φ(0) = 0: the square root, log(1 + t), or t^p.
Monotone and submodular; no similarities, so n may be large (Kirchhoff, Bilmes, "Submodularity for data
selection in machine translation", 2014).
"""

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.functions.base import SetFunction, State
from syllabus.selectors.numerics.compiled import compiled, compiled_reassociating
from syllabus.selectors.numerics.fixed_order_sums import UNIT, column_sums, sum_of_rows
from syllabus.selectors.validation import Vectors, as_rows, real_number, shown, weights_of

CURVES = {"sqrt": 0, "log": 1, "power": 2}


class FeatureBased(SetFunction):
    """A concave function of each feature's total.

    Args:
      features: (n, d) numbers, none negative; float32 is not copied. Rows need no norm.
      curve: "sqrt", "log" or "power".
      power: p in (0, 1), of "power" only.
      weights: (d,) finite numbers >= 0, of the features; all 1 if not given.

    A gain costs O(d), with a root or a logarithm for each feature. Memory O(d).
    """

    name: ClassVar[str] = "feature_based"
    submodular = True
    monotone = True

    def __init__(
        self,
        features: Vectors,
        curve: str = "sqrt",
        power: float | None = None,
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        self.rows = _features(features, self.name)
        self.n = len(self.rows)
        if curve not in CURVES:
            raise SelectionError(
                f"{self.name}: curve {curve!r} is unknown; known: {', '.join(sorted(CURVES))}"
            )
        if (power is not None) != (curve == "power"):
            raise SelectionError(
                f"{self.name}: power={shown(power)} with curve {curve!r}; only 'power' has one"
            )
        self.curve = CURVES[curve]
        self.power = 0.0
        if power is not None:
            self.power = real_number(power, "power", lambda value: 0 < value < 1, "(0, 1)", self.name)
        self.weights = weights_of(weights, self.rows.shape[1], self.name)
        self._largest = self.value_of_totals(column_sums(self.rows))

    def state(self) -> "_State":
        """Return the empty set."""
        return _State(self)

    def rounding_bound(self) -> float:
        """Return a bound on the rounding of any gain: d terms, none larger than f of all rows."""
        return float(4.0 * (self.rows.shape[1] + 8) * UNIT * self._largest)

    def value_of_totals(self, totals: NDArray[np.float64]) -> float:
        """Return f of a set with these (d,) sums."""
        return math.fsum(self.weights * _curve(totals, self.curve, self.power))

    def _value(self, indices: NDArray[np.int64]) -> float:
        return self.value_of_totals(sum_of_rows(self.rows, indices))


class _State(State):
    """The total of each feature over the set, and φ of it."""

    def __init__(self, function: FeatureBased) -> None:
        self.function = function
        self.totals = np.zeros(function.rows.shape[1])
        self.heights = np.zeros_like(self.totals)

    def scores(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        f = self.function
        out = np.empty(len(candidates))
        if f.curve == CURVES["sqrt"]:
            _root_gains(f.rows, f.weights, self.totals, self.heights, candidates, out)
        else:
            _gains(f.rows, f.weights, self.totals, self.heights, f.curve, f.power, candidates, out)
        return out

    def add(self, index: int, score: float) -> float:
        self.totals += self.function.rows[index]
        self.heights = _curve(self.totals, self.function.curve, self.function.power)
        return score

    def value(self) -> float:
        return self.function.value_of_totals(self.totals)


def _features(features: Any, caller: str) -> NDArray[np.float32]:
    """Return the features as an array; none is negative."""
    rows = as_rows(features, caller)
    if rows.min() < 0:
        row, column = np.argwhere(rows < 0)[0]
        raise SelectionError(
            f"{caller}: row {row} has {rows[row, column]:g} in column {column}; features must be >= 0"
        )
    return rows


@compiled
def _height(total: float, curve: int, power: float) -> float:
    if curve == 0:
        return float(np.sqrt(total))
    return float(np.log1p(total)) if curve == 1 else float(total**power)


@compiled
def _curve(totals: np.ndarray, curve: int, power: float) -> np.ndarray:
    out = np.empty_like(totals)
    for j in range(totals.shape[0]):
        out[j] = _height(totals[j], curve, power)
    return out


@compiled
def _gains(
    rows: np.ndarray,
    weights: np.ndarray,
    totals: np.ndarray,
    heights: np.ndarray,
    curve: int,
    power: float,
    candidates: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write Σ_j w_j (φ(t_j + x_j) - φ(t_j)), added in the order of j."""
    for position in range(candidates.shape[0]):
        index = candidates[position]
        gain = 0.0
        for j in range(rows.shape[1]):
            # A feature that the row lacks adds exactly 0; sparse rows are quick.
            if rows[index, j] > 0.0:
                gain += weights[j] * (_height(totals[j] + rows[index, j], curve, power) - heights[j])
        out[position] = gain


# Not a bound, but the compiler may order these sums: the loop has one caller, so all gains are summed alike,
# and equal rows have equal ones. Roots then are vector instructions.
@compiled_reassociating
def _root_gains(
    rows: np.ndarray,
    weights: np.ndarray,
    totals: np.ndarray,
    heights: np.ndarray,
    candidates: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write Σ_j w_j (√(t_j + x_j) - √t_j)."""
    for position in range(candidates.shape[0]):
        index = candidates[position]
        gain = 0.0
        for j in range(rows.shape[1]):
            gain += weights[j] * (np.sqrt(totals[j] + rows[index, j]) - heights[j])
        out[position] = gain
