"""Facility location: every row should have someone close to it in the set.

f(S) = Σ_{i∈V} max(0, max_{j∈S} s_ij), s a similarity (`similarity.py`). Monotone and submodular,
whatever its signs (Cornuéjols, Fisher, Nemhauser, "Location of bank accounts to optimize float", 1977).
"""

import math
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.constraint import Constraint
from syllabus.selectors.functions.base import State
from syllabus.selectors.functions.similarity import SimilarityName, SimilarityParameters, similar
from syllabus.selectors.functions.similarity_function import GIBIBYTE, KernelFunction
from syllabus.selectors.numerics.compiled import compiled, compiled_inside, compiled_reassociating
from syllabus.selectors.numerics.fixed_order_sums import UNIT32
from syllabus.selectors.validation import Vectors

PARTIAL = 256
"""Terms of a bound that are summed in float32; such sums are added up in float64."""
ROUNDED_UP = 1 + (PARTIAL + 2) * UNIT32
"""Times a sum of so many positive float32 terms, in any order, is at least what they sum to."""


class Coverage(NamedTuple):
    """The arrays of a `FacilityLocationState`, (n,) float64 and float32, for compiled loops."""

    best_similarity: NDArray[np.float64]
    thresholds: NDArray[np.float32]


class FacilityLocation(KernelFunction):
    """Facility location over all rows.

    Args:
      vectors: (n, d) numbers; float32 is not copied.
      memory_budget: bytes for similarities; see `KernelFunction`.
      similarity: "cosine", "dot", "rbf" or `Rbf(width)`.

    A gain costs O(n) given its kernel row, and the row O(n d). Gains are sums of exact similarities: a
    kernel entry only says which terms are zero.
    """

    name: ClassVar[str] = "facility_location"
    # Its gains have a heavy tail: the best of 46 rows (a tenth at ε = 0.01) is far from the best. Normalised
    # gains are .88-.9 at 1 and .91-.92 at 1.5, where subsets overlap by a fifth more (docs/milo.md).
    sampling: ClassVar[float] = 1.5
    submodular = True
    monotone = True

    def __init__(
        self, vectors: Vectors, memory_budget: int = 2 * GIBIBYTE, similarity: SimilarityName = "cosine"
    ) -> None:
        super().__init__(vectors, memory_budget, similarity)
        self.baseline = np.zeros(self.n)  # how close the empty set is to each row
        self.alone = np.full(self.n, np.nan)  # gains of the empty set, once they are known

    def state(self) -> "FacilityLocationState":
        """Return the empty set."""
        return FacilityLocationState(self)

    def _value(self, indices: NDArray[np.int64]) -> float:
        state = self.state()
        for part, entries in self.blocks(indices):
            for index, row in zip(indices[part], entries, strict=True):
                state.raise_best_similarity(int(index), row)
        return state.value()

    def upper_bound(
        self, indices: NDArray[np.int64], objective: float, constraint: Constraint
    ) -> float | None:
        """Return f(S) + what the gains given S, the selection, sum to at most within the constraint.

        f(OPT) <= f(S) + Σ_{v∈OPT} gain(v | S). Needs the dense kernel (O(n²)); without it None, since it
        would cost as much as the kernel. (The lazy optimiser has bounds on all gains at hand, so its
        selections always carry a number.)
        """
        kernel = self.kernel()
        if kernel is None:
            return None
        state = self.state()
        for index in indices:
            state.raise_best_similarity(int(index), kernel[index])
        gains = np.empty(self.n)
        _upper_gains(kernel, state.thresholds, self.similarity.slope, gains)
        gains[indices] = 0.0
        return objective + constraint.largest_sum(gains)


class FacilityLocationState(State):
    """The `best_similarity` of every row, that to the closest of the set, and its float32 `thresholds`.

    A threshold is (best - offset)/slope - ε: an entry not above it belongs to a term of exactly zero.
    """

    def __init__(self, function: FacilityLocation) -> None:
        self.function, self.parameters = function, function.parameters
        self.best_similarity = function.baseline.copy()
        # Its rounding to float32 is part of ε.
        thresholds = (self.best_similarity - self.parameters.offset) / self.parameters.slope
        self.thresholds = (thresholds - self.parameters.error).astype(np.float32)
        self.coverage = Coverage(self.best_similarity, self.thresholds)

    def scores(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the gain of each candidate."""
        out = np.empty(len(candidates))
        for part, entries in self.function.blocks(candidates):
            _exact_gains(
                self.parameters, self.function.rows, candidates[part], entries, self.coverage, out[part]
            )
        return out

    def best(
        self, candidates: NDArray[np.int64], divisors: NDArray[np.float64] | None = None
    ) -> tuple[int, float]:
        """As in `State`; exact gains are computed only where a bound reaches the best so far."""
        own = np.ones(len(candidates)) if divisors is None else divisors[candidates]
        pick, score, ratio = -1, -1.0, -1.0
        for part, entries in self.function.blocks(candidates):
            bounds = np.empty(len(entries))
            _upper_gains(entries, self.thresholds, self.parameters.slope, bounds)
            bounds /= own[part]
            order = np.argsort(-bounds)
            pick, score, ratio = _best_gain(
                self.parameters, self.function.rows, candidates[part], entries, self.coverage, bounds,
                order, own[part], pick, score, ratio,
            )  # fmt: skip
        return pick, score

    def add(self, index: int, score: float) -> float:
        """Put a row into the set and return its gain."""
        kernel = self.function.kernel()
        row = self.function.entries(np.array([index]))[0] if kernel is None else kernel[index]
        self.raise_best_similarity(index, row)
        return score

    def raise_best_similarity(self, index: int, entries: NDArray[np.float32]) -> None:
        """Raise the best similarities to those of row `index`, whose kernel row is given."""
        raise_best_similarity(self.parameters, self.function.rows, index, entries, self.coverage)

    def value(self) -> float:
        """Return f of the set."""
        return math.fsum(self.best_similarity - self.function.baseline)


@compiled_inside
def add_term(
    similarity: SimilarityParameters,
    rows: np.ndarray,
    index: int,
    i: int,
    coverage: Coverage,
    places: np.ndarray,
    raised: np.ndarray,
    total: float,
    terms: int,
) -> tuple[float, int]:
    """Add max(0, s_iv - best_i), v = `index`, to the total and the terms of `exact_gain`."""
    closer = similar(similarity.kind, similarity.rate, rows[i], rows[index])
    term = closer - coverage.best_similarity[i]
    if term > 0.0:
        total += term
        places[terms] = i
        raised[terms] = closer
        terms += 1
    return total, terms


@compiled
def exact_gain(
    similarity: SimilarityParameters,
    rows: np.ndarray,
    index: int,
    entries: np.ndarray,
    coverage: Coverage,
    places: np.ndarray,
    raised: np.ndarray,
) -> tuple[float, int]:
    """Return Σ_i max(0, s_iv - best_i), in the order of i; terms below the threshold are zeros left out.

    A float64 sum of the same terms in the same order, so it does not depend on the float32 entries; and
    since rounding is monotone, it never grows when best similarities do: an old gain bounds a new one.

    Returns too how many terms are not zero, and writes their i and s_iv to `places` and `raised`, (n,) each.
    """
    thresholds = coverage.thresholds
    total = 0.0
    terms = 0
    for i in range(rows.shape[0]):
        if entries[i] > thresholds[i]:
            total, terms = add_term(similarity, rows, index, i, coverage, places, raised, total, terms)
    return total, terms


@compiled
def raise_kept(
    similarity: SimilarityParameters, places: np.ndarray, raised: np.ndarray, terms: int, coverage: Coverage
) -> None:
    """Raise both to what `exact_gain` wrote: `raise_best_similarity` without its similarities."""
    _, _, slope, offset, error = similarity
    best_similarity, thresholds = coverage
    for term in range(terms):
        i = places[term]
        best_similarity[i] = raised[term]
        thresholds[i] = np.float32((raised[term] - offset) / slope - error)


@compiled
def upper_gain(entries: np.ndarray, thresholds: np.ndarray, slope: float) -> tuple[float, int]:
    """Return a number not below `exact_gain`, each term at most slope (entry - threshold), and how many."""
    total = 0.0
    terms = 0
    for start in range(0, thresholds.shape[0], PARTIAL):
        part, above = _excess(entries[start : start + PARTIAL], thresholds[start : start + PARTIAL])
        total += part
        terms += above
    return total * slope * ROUNDED_UP, terms


@compiled_reassociating
def _excess(entries: np.ndarray, thresholds: np.ndarray) -> tuple[float, int]:
    """Return the sum of what entries are above thresholds by, in float32 in any order, and their number."""
    total = np.float32(0)
    terms = np.int32(0)
    for i in range(thresholds.shape[0]):
        over = entries[i] - thresholds[i]
        total += max(over, np.float32(0))
        terms += np.int32(over > np.float32(0))
    return total, terms  # type: ignore[return-value]  # a float where compiled


@compiled
def raise_best_similarity(
    similarity: SimilarityParameters, rows: np.ndarray, index: int, entries: np.ndarray, coverage: Coverage
) -> None:
    """Raise best similarities and thresholds to the similarities of row `index`."""
    kind, rate, slope, offset, error = similarity
    best_similarity, thresholds = coverage
    for i in range(rows.shape[0]):
        if entries[i] > thresholds[i]:
            closer = similar(kind, rate, rows[i], rows[index])
            if closer > best_similarity[i]:
                best_similarity[i] = closer
                thresholds[i] = np.float32((closer - offset) / slope - error)


@compiled
def _exact_gains(
    similarity: SimilarityParameters,
    rows: np.ndarray,
    candidates: np.ndarray,
    entries: np.ndarray,
    coverage: Coverage,
    out: np.ndarray,
) -> None:
    places = np.empty(rows.shape[0], np.int64)
    raised = np.empty(rows.shape[0])
    for position in range(candidates.shape[0]):
        out[position], _ = exact_gain(
            similarity, rows, candidates[position], entries[position], coverage, places, raised
        )


@compiled
def _best_gain(
    similarity: SimilarityParameters,
    rows: np.ndarray,
    candidates: np.ndarray,
    entries: np.ndarray,
    coverage: Coverage,
    bounds: np.ndarray,
    order: np.ndarray,
    divisors: np.ndarray,
    pick: int,
    score: float,
    ratio: float,
) -> tuple[int, float, float]:
    """Raise (pick, score, ratio) to the best of the candidates, exact gains taken in the order of bounds."""
    places = np.empty(rows.shape[0], np.int64)
    raised = np.empty(rows.shape[0])
    for position in order:
        if bounds[position] < ratio:
            break
        gain, _ = exact_gain(
            similarity, rows, candidates[position], entries[position], coverage, places, raised
        )
        quotient = gain / divisors[position]
        if quotient > ratio or (quotient == ratio and candidates[position] < pick):
            score = gain
            ratio = quotient
            pick = candidates[position]
    return pick, score, ratio


@compiled
def _upper_gains(kernel: np.ndarray, thresholds: np.ndarray, slope: float, out: np.ndarray) -> None:
    for index in range(kernel.shape[0]):
        out[index], _ = upper_gain(kernel[index], thresholds, slope)
