"""Similarity of two rows: one definition for every set function that compares rows.

| name | s(x, y) | rows |
|---|---|---|
| `cosine` | (1 + <x, y>)/2 | of norm 1 |
| `dot` | <x, y> | any |
| `rbf` | exp(-‖x - y‖²/(2σ²)) | any; σ is their median distance, or the width of `Rbf(width)` |

All three are positive definite, so (s(x, x) + s(y, y))/2 - s(x, y) is half the square of a distance, which
the disparity functions use: ‖x - y‖²/4, ‖x - y‖²/2 and 1 - s. Only `dot` can be negative. What a function
loses there its class says; it is taken to be negative somewhere if any component of any row is.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.counter_rng import key_of, sample_to_front
from syllabus.selectors.numerics.fixed_order_sums import (
    UNIT32,
    column_sums,
    dot,
    dots,
    squared_distance_over_4,
)
from syllabus.selectors.validation import NORM_TOLERANCE, as_rows, real_number, unit_rows

COSINE, DOT, RBF = 0, 1, 2
_KINDS = {"cosine": COSINE, "dot": DOT, "rbf": RBF}
_SAMPLE = 1000  # rows whose distances give σ: half a million pairs
_LONGEST = 1e15  # squares of longer rows leave the range of float32
_TILE = 32  # rows compared with as many others while both are in the cache
_MEDIAN = 3  # purpose number of the key that draws them


@dataclass(frozen=True)
class Rbf:
    """RBF similarity of a given width.

    Attributes:
      width: σ in exp(-‖x - y‖²/(2σ²)), 1e-150 to 1e150: beyond, σ² leaves the range of float64.
    """

    width: float

    def __post_init__(self) -> None:
        width = real_number(
            self.width, "width", lambda value: 1e-150 <= value <= 1e150, "[1e-150, 1e150]", "Rbf"
        )
        object.__setattr__(self, "width", width)


SimilarityName: TypeAlias = str | Rbf


class SimilarityParameters(NamedTuple):
    """A `Similarity` and the error of an entry, for compiled loops."""

    kind: int
    rate: float
    slope: float
    offset: float
    error: float


@dataclass(frozen=True, eq=False)
class Similarity:
    """A similarity over rows that were checked for it; loops take `kind` and `rate`.

    Attributes:
      rate: of RBF, 2/σ²: s = exp(-rate · ‖x - y‖²/4).
      slope, offset: s = offset + slope · c, with c what float32 blocks hold (`similarity_function.py`).
      longest: no row is longer.
      nonnegative: s >= 0 for all pairs (cosine: up to the tolerance of norms).
      measured: the width of RBF is the median distance of these very rows.
    """

    name: str
    kind: int
    rate: float
    slope: float
    offset: float
    longest: float
    nonnegative: bool
    measured: bool = False

    @property
    def linear(self) -> bool:
        """Whether s is affine in <x, y>."""
        return self.kind != RBF

    def product_error(self, relative: float) -> float:
        """Return what a float32 product may be off by, from `Products.relative`."""
        # Products below the range of float32 are lost: 1e-34 is more than d of them for any d.
        return relative * self.longest**2 * 1.0001 + 1e-34

    def entry_error(self, product_error: float) -> float:
        """Return what an entry c may be off by."""
        if self.linear:
            return product_error
        # ‖x - y‖² = ‖x‖² + ‖y‖² - 2<x, y> has three such errors at most; no slope of exp(-t) is above 1; and
        # exp itself is rounded.
        return min(1.0, 0.75 * self.rate * product_error + 16 * UNIT32)

    def own(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return s(x, x) of each row."""
        out = np.empty(len(rows))
        _own(self.kind, self.rate, rows, out)
        return out

    def distances(self, squared_distances_over_4: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (s(x, x) + s(y, y))/2 - s(x, y) for pairs with these ‖x - y‖²/4."""
        if self.kind != RBF:  # linear, without a loop to be compiled
            return squared_distances_over_4 * (1.0 if self.kind == COSINE else 2.0)
        out = np.empty(len(squared_distances_over_4))
        _distances(self.kind, self.rate, squared_distances_over_4, out)
        return out

    def sums(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return Σ_i s(x_i, x) of each row: O(n d), of RBF O(n² d / 2)."""
        out = np.zeros(len(rows))
        if not self.linear:
            _pair_sums(self.kind, self.rate, rows, out)
            return out
        dots(rows, column_sums(rows), out)
        return np.asarray(len(rows) * self.offset + self.slope * out)

    def between(self, rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return s of all pairs, (n, m) float64."""
        out = np.empty((len(rows), len(others)))
        _between(self.kind, self.rate, rows, others, out)
        return out


def similarity_of(
    similarity: Any, vectors: Any, caller: str, valid: tuple[str, ...] = tuple(_KINDS)
) -> tuple[NDArray[np.float32], Similarity]:
    """Return the vectors as an (n, d) array that this similarity accepts, and the similarity over them.

    Raises:
      SelectionError: an unknown similarity, rows not of norm 1 under cosine, or longer than 1e15.
    """
    name = "rbf" if isinstance(similarity, Rbf) else similarity
    if not isinstance(name, str) or name not in valid:
        raise SelectionError(f"{caller}: similarity {similarity!r} is unknown; valid: {', '.join(valid)}")
    kind = _KINDS[name]
    if kind == COSINE:
        return unit_rows(vectors, caller), Similarity(name, kind, 0.0, 0.5, 0.5, 1.0 + NORM_TOLERANCE, True)
    rows = as_rows(vectors, caller)
    longest = math.sqrt(_largest_square(rows)) * (1 + 1e-9)
    if longest > _LONGEST:
        raise SelectionError(f"{caller}: a row has norm {longest:.10g}; at most {_LONGEST:g}")
    if kind == DOT:
        return rows, Similarity(name, kind, 0.0, 1.0, 0.0, longest, bool(rows.min() >= 0))
    measured = not isinstance(similarity, Rbf)
    rate = 2 / (median_distance(rows) if measured else similarity.width) ** 2
    return rows, Similarity(name, kind, rate, 1.0, 0.0, longest, True, measured)


def reference_rows(vectors: Any, width: int, similarity: Similarity, caller: str) -> NDArray[np.float32]:
    """Return rows that are not selected from but compared with, (m, width), m at least 1."""
    rows = unit_rows(vectors, caller) if similarity.kind == COSINE else as_rows(vectors, caller)
    if rows.shape[1] != width:
        raise SelectionError(f"{caller}: vectors have {rows.shape[1]} columns; the data have {width}")
    return rows


def median_distance(rows: NDArray[np.float32]) -> float:
    """Return the median of ‖x - y‖ over the pairs of rows that differ; 1 if none do.

    Of more than 1,000 rows over the pairs of 1,000 of them, always the same ones for the same n.
    """
    if len(rows) > _SAMPLE:
        pool = np.arange(len(rows))
        sample_to_front(pool, len(rows), _SAMPLE, key_of((len(rows),), _MEDIAN))
        rows = rows[np.sort(pool[:_SAMPLE])]
    found = np.empty(len(rows) * (len(rows) - 1) // 2)
    _pair_distances(rows, found)
    # The median of an even number is a mean of two: of distances, not of their squares.
    distances = np.sqrt(found[found > 0])
    return 2 * float(np.median(distances)) if len(distances) else 1.0


@compiled
def similar(kind: int, rate: float, a: np.ndarray, b: np.ndarray) -> float:
    """Return s(a, b)."""
    if kind == 0:
        return (1.0 + dot(a, b)) / 2.0
    if kind == 1:
        return dot(a, b)
    return float(np.exp(-rate * squared_distance_over_4(a, b)))


@compiled
def distance_from(kind: int, rate: float, squared_distance_over_4: float) -> float:
    """Return (s(a, a) + s(b, b))/2 - s(a, b) of rows with this ‖a - b‖²/4, an increasing function of it."""
    if kind == 0:
        return squared_distance_over_4
    if kind == 1:
        return 2.0 * squared_distance_over_4
    return float(-np.expm1(-rate * squared_distance_over_4))


@compiled
def _distances(kind: int, rate: float, squared_distances_over_4: np.ndarray, out: np.ndarray) -> None:
    for i in range(squared_distances_over_4.shape[0]):
        out[i] = distance_from(kind, rate, squared_distances_over_4[i])


@compiled
def _own(kind: int, rate: float, rows: np.ndarray, out: np.ndarray) -> None:
    for i in range(rows.shape[0]):
        out[i] = similar(kind, rate, rows[i], rows[i])


@compiled
def _between(kind: int, rate: float, rows: np.ndarray, others: np.ndarray, out: np.ndarray) -> None:
    for i in range(rows.shape[0]):
        for j in range(others.shape[0]):
            out[i, j] = similar(kind, rate, rows[i], others[j])


@compiled
def _pair_sums(kind: int, rate: float, rows: np.ndarray, out: np.ndarray) -> None:
    # s is symmetric to the last bit, and each sum is taken in the order of the rows: those before v are added
    # when it is their turn. So equal rows have equal sums. Tiles stay in the cache.
    n = rows.shape[0]
    for tile in range(0, n, _TILE):
        for other in range(tile, n, _TILE):
            for i in range(tile, min(tile + _TILE, n)):
                start = other
                if tile == other:
                    out[i] += similar(kind, rate, rows[i], rows[i])
                    start = i + 1
                for j in range(start, min(other + _TILE, n)):
                    s = similar(kind, rate, rows[i], rows[j])
                    out[i] += s
                    out[j] += s


@compiled
def _largest_square(rows: np.ndarray) -> float:
    largest = 0.0
    for i in range(rows.shape[0]):
        largest = max(largest, dot(rows[i], rows[i]))
    return largest


@compiled
def _pair_distances(rows: np.ndarray, out: np.ndarray) -> None:
    place = 0
    for i in range(rows.shape[0]):
        for j in range(i + 1, rows.shape[0]):
            out[place] = squared_distance_over_4(rows[i], rows[j])
            place += 1
