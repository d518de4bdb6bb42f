"""Gains of facility location for compiled loops: exact ones, and bounds from float32 kernel entries."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.functions.similarity import SimilarityParameters, similar
from syllabus.selectors.numerics.compiled import compiled, compiled_inside, compiled_reassociating
from syllabus.selectors.numerics.fixed_order_sums import UNIT32

PARTIAL = 256
"""Terms of a bound that are summed in float32; such sums are added up in float64."""
ROUNDED_UP = 1 + (PARTIAL + 2) * UNIT32
"""Times a sum of so many positive float32 terms, in any order, is at least what they sum to."""


class Coverage(NamedTuple):
    """The arrays of a `FacilityLocationState`, (n,) float64 and float32, for compiled loops."""

    best_similarity: NDArray[np.float64]
    thresholds: NDArray[np.float32]


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
def upper_gains(
    kernel: np.ndarray,
    four: np.ndarray,
    thresholds: np.ndarray,
    slope: float,
    uppers: np.ndarray,
    terms: np.ndarray,
) -> None:
    """Write numbers not below `exact_gain` of four kernel rows, and how many terms each has; (4,) each.

    A term is at most slope (entry - threshold). Kernel rows are read from far away, four at once in less than
    twice the time of one: `four`, places in the kernel, repeats one where there are fewer.
    """
    a, b, c, d = kernel[four[0]], kernel[four[1]], kernel[four[2]], kernel[four[3]]
    uppers[:] = 0.0
    terms[:] = 0
    for start in range(0, thresholds.shape[0], PARTIAL):
        stop = start + PARTIAL
        sums, above = _excesses(
            a[start:stop], b[start:stop], c[start:stop], d[start:stop], thresholds[start:stop]
        )
        for member in range(4):
            uppers[member] += sums[member]
            terms[member] += above[member]
    uppers *= slope * ROUNDED_UP


@compiled_reassociating
def _excesses(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray, thresholds: np.ndarray
) -> tuple[tuple[float, float, float, float], tuple[int, int, int, int]]:
    """Return what entries are above thresholds by, in float32 summed in any order, and their numbers."""
    zero = np.float32(0)
    none = np.int32(0)
    sum_a, sum_b, sum_c, sum_d = zero, zero, zero, zero
    above_a, above_b, above_c, above_d = none, none, none, none
    for i in range(thresholds.shape[0]):
        threshold = thresholds[i]
        over_a, over_b, over_c, over_d = (
            a[i] - threshold,
            b[i] - threshold,
            c[i] - threshold,
            d[i] - threshold,
        )
        sum_a += max(over_a, zero)
        sum_b += max(over_b, zero)
        sum_c += max(over_c, zero)
        sum_d += max(over_d, zero)
        above_a += np.int32(over_a > zero)
        above_b += np.int32(over_b > zero)
        above_c += np.int32(over_c > zero)
        above_d += np.int32(over_d > zero)
    return (sum_a, sum_b, sum_c, sum_d), (above_a, above_b, above_c, above_d)  # type: ignore[return-value]


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
def exact_gains(
    similarity: SimilarityParameters,
    rows: np.ndarray,
    candidates: np.ndarray,
    entries: np.ndarray,
    coverage: Coverage,
    out: np.ndarray,
) -> None:
    """Write `exact_gain` of each candidate, whose kernel rows are given."""
    places = np.empty(rows.shape[0], np.int64)
    raised = np.empty(rows.shape[0])
    for position in range(candidates.shape[0]):
        out[position], _ = exact_gain(
            similarity, rows, candidates[position], entries[position], coverage, places, raised
        )


@compiled
def best_gain(
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
def all_upper_gains(kernel: np.ndarray, thresholds: np.ndarray, slope: float, out: np.ndarray) -> None:
    """Write `upper_gains` of all kernel rows."""
    four = np.empty(4, np.int64)
    uppers = np.empty(4)
    terms = np.empty(4, np.int64)
    last = kernel.shape[0] - 1
    for start in range(0, kernel.shape[0], 4):
        for member in range(4):
            four[member] = min(start + member, last)
        upper_gains(kernel, four, thresholds, slope, uppers, terms)
        for member in range(4):
            out[four[member]] = uppers[member]
