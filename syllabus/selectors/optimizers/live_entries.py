"""Kernel entries of facility location that still count, kept apart from their rows.

Only entries above the thresholds matter, and these only rise. What is kept of a row gives its bounds and says
which similarities its exact gain takes.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.functions.facility_location_gains import (
    ROUNDED_UP,
    Coverage,
    add_term,
    exact_gain,
)
from syllabus.selectors.functions.similarity import SimilarityParameters
from syllabus.selectors.numerics.compiled import compiled_inside, compiled_reassociating
from syllabus.selectors.numerics.prefetch import prefetch


class LiveEntries(NamedTuple):
    """The entries of kernel rows that were above the thresholds when last looked at, for compiled loops.

    Attributes:
      columns: (n, room) uint16, ascending; the first `counts` of a row.
      entries: (n, room) float32, beside them.
      counts: (n,) int64; -1 where the row's entries are not kept.
    """

    columns: NDArray[np.uint16]
    entries: NDArray[np.float32]
    counts: NDArray[np.int64]


@compiled_inside
def fetch(live: LiveEntries, index: int) -> None:
    """Have the kept entries of a row on their way from memory."""
    columns = live.columns[index]
    held = live.entries[index]
    for place in range(0, live.counts[index], 32):
        prefetch(columns, place)
        prefetch(held, place)
        prefetch(held, place + 16)


@compiled_inside
def upper_of_live(
    similarity: SimilarityParameters, index: int, live: LiveEntries, thresholds: np.ndarray
) -> float:
    """Return a bound as `upper_gains` does, from the kept entries; drop those that add nothing."""
    columns = live.columns[index]
    held = live.entries[index]
    count = live.counts[index]
    total, terms = _excess_of(held[:count], columns[:count], thresholds)
    if 4 * terms < 3 * count:
        live.counts[index] = _drop(held[:count], columns[:count], thresholds)
    return total * similarity.slope * ROUNDED_UP


@compiled_reassociating
def _excess_of(held: np.ndarray, columns: np.ndarray, thresholds: np.ndarray) -> tuple[float, int]:
    """Return the sum of what the kept entries are above their thresholds by, and their number."""
    total = 0.0
    terms = 0
    for place in range(held.shape[0]):
        over = held[place] - thresholds[columns[place]]
        total += max(over, np.float32(0))
        terms += over > np.float32(0)
    return total, terms


@compiled_inside
def keep(entries: np.ndarray, index: int, live: LiveEntries, thresholds: np.ndarray) -> None:
    """Keep the entries of a row that are above the thresholds; there is room for one more."""
    columns = live.columns[index]
    held = live.entries[index]
    count = np.uint64(0)  # unsigned: no index to be counted from the end
    for i in range(thresholds.shape[0]):
        # Written in any case: a branch would be hard to predict.
        columns[count] = i
        held[count] = entries[i]
        count += np.uint64(entries[i] > thresholds[i])
    live.counts[index] = count


@compiled_inside
def _drop(held: np.ndarray, columns: np.ndarray, thresholds: np.ndarray) -> int:
    """Close the gaps of kept entries that are no longer above their thresholds; return how many are left."""
    count = np.uint64(0)
    for place in range(held.shape[0]):
        entry = held[place]
        column = columns[place]
        columns[count] = column
        held[count] = entry
        count += np.uint64(entry > thresholds[column])
    return count  # type: ignore[return-value]  # an int where compiled


@compiled_inside
def exact_of_live(
    similarity: SimilarityParameters,
    rows: np.ndarray,
    index: int,
    entries: np.ndarray,
    live: LiveEntries,
    coverage: Coverage,
    places: np.ndarray,
    raised: np.ndarray,
) -> tuple[float, int]:
    """Return `exact_gain` of a row from the entries that are kept, if they are: the others add zeros."""
    if live.counts[index] < 0:
        return exact_gain(similarity, rows, index, entries, coverage, places, raised)
    total = 0.0
    terms = 0
    for place in range(live.counts[index]):
        i = live.columns[index, place]
        if live.entries[index, place] > coverage.thresholds[i]:
            total, terms = add_term(similarity, rows, index, i, coverage, places, raised, total, terms)
    return total, terms
