"""Log-determinant: the volume that the rows span, and so no two alike (a determinantal process).

f(S) = log det(K_S + r I), K_ij = s(x_i, x_j), f(∅) = 0. Submodular; monotone for r >= 1, the default.
Gains by an incremental Cholesky factor: Chen, Zhang, Zhou, "Fast greedy MAP inference for determinantal
point process", 2018 (arXiv 1709.05135), here brought up to date on demand.
"""

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.functions.base import State
from syllabus.selectors.functions.similarity import SimilarityName, similar
from syllabus.selectors.functions.similarity_function import GIBIBYTE, SimilarityFunction
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.fixed_order_sums import UNIT, dot
from syllabus.selectors.validation import Vectors, bytes_of, real_number

_LEAST_SHARE = 1e-10  # of r in the largest similarity: 2^-53 of their sum is then a millionth of r
_EXACT_RATIO = 1e4  # (s + r)/r up to which what is lost are the last digits of a gain


class LogDeterminant(SimilarityFunction):
    """Log-determinant of the regularised similarity matrix.

    Args:
      vectors: (n, d) numbers; float32 is not copied.
      regularisation: r >= 1e-6, added to the diagonal. Small values punish near copies more. At least 1e-10
        of the largest s(x, x), which only "dot" of rows longer than 100 can exceed.
      memory_budget: bytes for the factors, 8 n t with t rows in the set.
      similarity: "cosine", "dot", "rbf" or `Rbf(width)`; see `similarity.py`.

    A gain costs O(t (d + t)) the first time and O(d + t) for each pick since, with t rows in the set. It is
    off by at most `gain_error(t)`; where r is above 1e-4 of the largest s(x, x), by last digits only.

    Raises:
      SelectionError: r below its bounds: float64 would lose it in the sums with s(x, x).
    """

    name: ClassVar[str] = "log_determinant"
    submodular = True

    def __init__(
        self,
        vectors: Vectors,
        regularisation: float = 1.0,
        memory_budget: int = 2 * GIBIBYTE,
        similarity: SimilarityName = "cosine",
    ) -> None:
        super().__init__(vectors, similarity)
        self.memory_budget = bytes_of(memory_budget, 8 * self.n, "one factor a row", self.name)
        r = real_number(
            regularisation, "regularisation", lambda value: 1e-6 <= value < math.inf, "[1e-6, inf)", self.name
        )
        largest = float(self.similarity.own(self.rows).max())
        if r < _LEAST_SHARE * largest:
            raise SelectionError(
                f"{self.name}: regularisation={r!r} is below {_LEAST_SHARE * largest:.9g}, 1e-10 of"
                f" the largest similarity {largest:.9g}; raise it or scale the rows"
            )
        self.regularisation, self._ratio = r, (largest + r) / r
        self.monotone = self.regularisation >= 1

    def state(self) -> "LogDeterminantState":
        """Return the empty set."""
        return LogDeterminantState(self)

    def rounding_bound(self) -> float:
        """Return the rounding of a logarithm; the volumes themselves never grow."""
        return 1e-13

    def gain_error(self, size: int) -> float:
        """Return what the gain given a set of `size` rows, t, may be off by through rounding.

        Cholesky factors are exact of a matrix that is off by E. Sums of d products, and of t of factors, have
        (d + t)/16 + 8 roundings in a row, and t are subtracted from the diagonal, each of at most u (s + r),
        with u = 2^-53 and s the largest s(x, x). So ‖E‖ <= u (s + r) ((t + 1) ((d + t)/16 + 8) + t). A pivot
        is 1/(A⁻¹)_vv, and no eigenvalue of A is below r: it moves by at most ‖E‖/r of itself.
        """
        chain = (self.rows.shape[1] + size) / 16 + 8
        moved = UNIT * self._ratio * ((size + 1) * chain + size)
        # No pivot is below r or above s + r, so no gain is off by more than that says.
        return min(-math.log1p(-moved) if moved < 1 else math.inf, math.log(self._ratio))

    def value_error(self, size: int) -> float:
        """Return what the gains of `size` rows may be off by in total; 0 where these are last digits."""
        return size * self.gain_error(size) if self._ratio > _EXACT_RATIO else 0.0

    def _value(self, indices: NDArray[np.int64]) -> float:
        state = self.state()
        state.reserve(len(indices))
        for index in indices:
            state.add(int(index), float(state.scores(np.array([index]))[0]))
        return state.value()


class LogDeterminantState(State):
    """The Cholesky rows of the candidates scored so far, and what is left of their diagonal."""

    # K_{S+v} + rI has the Cholesky row (c_v, e_v): c_vt = (k_v,t - <c_v, c_t>)/e_t over the picks t in order,
    # and e_v² = k_vv + r - ‖c_v‖². det grows by e_v²: the score. Subtracting squares, it can only fall.

    def __init__(self, function: LogDeterminant) -> None:
        self.function = function
        self.left = function.similarity.own(function.rows) + function.regularisation
        self.factors = np.empty((function.n, 0))
        self.done = np.zeros(function.n, np.int64)
        self.picks: list[int] = []

    def reserve(self, size: int) -> None:
        """Make room for the factors of `size` picks, or raise."""
        function, held = self.function, self.factors.shape[1]
        if size <= held:
            return
        # The old factors are there until they are copied.
        what = f"{size} factors a row" + (f" beside the {held} before" if held else "")
        bytes_of(function.memory_budget, 8 * function.n * (size + held), what, function.name)
        wider = np.empty((function.n, size))
        wider[:, :held] = self.factors
        self.factors = wider

    def scores(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what the determinant would be multiplied by."""
        size = len(self.picks)
        held = self.factors.shape[1]
        if size > held:
            self.reserve(
                max(size, min(max(64, 2 * held), self.function.memory_budget // (8 * self.function.n) - held))
            )
        picks = np.array(self.picks, np.int64)
        s = self.function.similarity
        _bring_up_to_date(
            s.kind,
            s.rate,
            self.function.rows,
            picks,
            candidates,
            self.factors,
            self.left,
            self.done,
            self.function.regularisation,
        )
        return self.left[candidates]

    def gains(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the logarithms."""
        return np.log(scores)

    def add(self, index: int, score: float) -> float:
        """Put a row into the set and return its gain."""
        self.picks.append(index)
        return math.log(score)

    def value(self) -> float:
        """Return f of the set."""
        return math.fsum(np.log(self.left[self.picks]))


@compiled
def _bring_up_to_date(
    kind: int,
    rate: float,
    rows: np.ndarray,
    picks: np.ndarray,
    candidates: np.ndarray,
    factors: np.ndarray,
    left: np.ndarray,
    done: np.ndarray,
    least: float,
) -> None:
    for index in candidates:
        for t in range(done[index], picks.shape[0]):
            pick = picks[t]
            similarity = similar(kind, rate, rows[index], rows[pick])
            inner = dot(factors[index, :t], factors[pick, :t])
            factors[index, t] = (similarity - inner) / np.sqrt(left[pick])
            # No pivot of a positive semidefinite matrix + rI is below r; rounding alone takes it there.
            left[index] = max(left[index] - factors[index, t] ** 2, least)
        done[index] = picks.shape[0]
