"""Exact lazy greedy facility location (Minoux, "Accelerated greedy algorithms", 1978).

A heap holds an upper bound on the gain per divisor of every row. The top is refined until it is exact: first
a bound from its kernel row (O(n), no vector touched), then the exact sum, which needs a dot product only
where the row comes closer than the set does. An exact top is the pick. (Bound descending, index ascending) is
the order of the heap, so a row that might tie with a smaller index is refined before the pick is made. A top
that is no longer affordable leaves the heap.

Kernel rows lie in slots: all of them if they fit the memory budget, else blocks of those with the largest
bounds, the oldest given up first. Whole rows are read four at once: the top and three right below it, whose
bounds will be asked for soon.

Only entries above the thresholds matter, and these only rise: after t picks about n/t of a kernel row are
left. Once they are few they are kept apart (`LiveEntries`), as far as the memory budget has room beside the
kernel: 6 bytes each, n² bytes at most. A bound then costs O(n/t), not a pass over a kernel row from main
memory.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.constraint import Constraint, Purchase, affordable, subtract_cost
from syllabus.selectors.functions.facility_location import FacilityLocation, FacilityLocationState
from syllabus.selectors.functions.facility_location_gains import (
    Coverage,
    raise_best_similarity,
    raise_kept,
    upper_gains,
)
from syllabus.selectors.functions.similarity import COSINE, Similarity, SimilarityParameters
from syllabus.selectors.functions.similarity_function import BLOCK
from syllabus.selectors.numerics.compiled import compiled, compiled_inside
from syllabus.selectors.numerics.heap import sift_down
from syllabus.selectors.optimizers.greedy import PartialSelection, Picks, Solution
from syllabus.selectors.optimizers.live_entries import LiveEntries, exact_of_live, fetch, keep, upper_of_live

_CHUNK = 4096  # rows widened to float64 at once
_NEAR_TOP = 16  # places of the heap, the top among them, where rows are looked for to be bounded with it
_MOST_COLUMNS = 2**16  # of a kernel whose live entries are kept; one of more rows takes 17 GB


class GainBounds(NamedTuple):
    """What is known of gains, (n,) each, for compiled loops.

    Attributes:
      gains: float64, bounds, or exact ones.
      keys: float64, bounds on gains per divisor.
      stamps: int64, of the keys: -1 from earlier, 2t a bound of pick t, 2t + 1 exact then.
    """

    gains: NDArray[np.float64]
    keys: NDArray[np.float64]
    stamps: NDArray[np.int64]


def lazy(function: FacilityLocation, constraint: Constraint, *_: object) -> Solution:
    """Return what `greedy.lazy` does, and an upper bound on f of all sets that the constraint allows."""
    run, n = PartialSelection(function, constraint), function.n
    state, candidates = run.state, constraint.candidates
    assert isinstance(state, FacilityLocationState)
    first = _first_bounds(function.rows, function.similarity)
    bounds = GainBounds(first, first / constraint.divisors, np.full(n, -1, np.int64))
    heap = candidates[np.argsort(-bounds.keys[candidates], kind="stable")]  # a sorted array is a heap
    kernel = function.kernel()
    if kernel is not None:
        cache, slots = kernel, np.arange(n)
    else:
        cache, slots = np.empty((function.capacity, n), np.float32), np.full(n, -1, np.int64)
    room = 0 if kernel is None or n > _MOST_COLUMNS else min(n // 6, function.spare // (6 * n))
    live = LiveEntries(
        np.empty((n, room), np.uint16), np.empty((n, room), np.float32), np.full(n, -1, np.int64)
    )
    owners = np.full(len(cache), -1, np.int64)
    size, next_slot, done = len(heap), 0, False
    while not done:
        run.count, size, run.remaining, run.correction, done = _run(
            function.parameters, function.rows, cache, slots, live, bounds, heap, size, constraint.purchase,
            run.remaining, run.correction, constraint.least_gain, state.coverage, run.room, run.count,
        )  # fmt: skip
        if not done:
            wanted = _without_slot(heap[:size], bounds.keys, slots)
            places = (next_slot + np.arange(len(wanted))) % len(cache)
            slots[owners[places][owners[places] >= 0]] = -1
            cache[places] = function.entries(wanted)
            owners[places] = wanted
            slots[wanted] = places
            next_slot = int(places[-1] + 1) % len(cache)
    # The bounds are at least the gains given S: f(OPT) <= f(S) + what they allow to add.
    left = np.zeros(n)
    left[candidates] = bounds.gains[candidates]
    left[run.picks[: run.count]] = 0.0
    return run.solution(state.value() + constraint.largest_sum(left))


def _first_bounds(rows: NDArray[np.float32], similarity: Similarity) -> NDArray[np.float64]:
    """Return upper bounds on the gains of the empty set, Σ_i max(0, s_iv), from one pass over the rows."""
    n, d = rows.shape
    if not similarity.linear:
        return np.full(n, float(n))  # s <= 1
    rounding = 1e-15 * (n + d) * n * max(1.0, similarity.longest**2)
    if similarity.nonnegative:
        # Norms above 1 (within 1e-4) could make cosines of opposite rows negative, which gains clip to 0.
        clipped = n * 1.1e-4 if similarity.kind == COSINE else 0.0
        return np.asarray(similarity.sums(rows) + clipped + rounding)
    # Σ max(0, p) = (Σ p + Σ |p|)/2, and Σ |p| <= sqrt(n Σ p²) = sqrt(n <x_v, (Σ x xᵀ) x_v>).
    squares = np.zeros((d, d))
    for start in range(0, n, _CHUNK):
        part = rows[start : start + _CHUNK].astype(np.float64)
        squares += part.T @ part
    out = similarity.sums(rows)
    for start in range(0, n, _CHUNK):
        part = rows[start : start + _CHUNK].astype(np.float64)
        out[start : start + _CHUNK] += np.sqrt(n * np.maximum(0.0, ((part @ squares) * part).sum(axis=1)))
    return np.asarray(out / 2 + 1e-7 * n * similarity.longest**2)


def _without_slot(
    heap: NDArray[np.int64], keys: NDArray[np.float64], slots: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the rows of the largest keys that have no kernel row, the top of the heap included."""
    missing = heap[slots[heap] < 0]
    size = min(BLOCK, len(missing))
    largest = missing[np.argpartition(-keys[missing], size - 1)[:size]]
    return largest if heap[0] in largest else np.append(largest[1:], heap[0])


@compiled
def _run(
    similarity: SimilarityParameters,
    rows: np.ndarray,
    cache: np.ndarray,
    slots: np.ndarray,
    live: LiveEntries,
    bounds: GainBounds,
    heap: np.ndarray,
    size: int,
    purchase: Purchase,
    remaining: float,
    correction: float,
    least: float,
    coverage: Coverage,
    room: Picks,
    count: int,
) -> tuple[int, int, float, float, bool]:
    """Pick until done or until the top of the heap has no kernel row.

    Done: no room for a pick, no row left, or no gain above `least`. Returns the number of picks, the size of
    the heap, what remains of the limit, and whether it is done.
    """
    gains, keys, stamps = bounds
    places = np.empty(rows.shape[0], np.int64)
    raised = np.empty(rows.shape[0])
    kept = -1  # the row whose terms are in `places` and `raised`
    terms = 0
    four = np.empty(4, np.int64)
    stale = np.empty(4, np.int64)
    stale_slots = np.empty(4, np.int64)
    uppers = np.empty(4)
    above = np.empty(4, np.int64)
    while count < room.picks.shape[0] and size > 0:
        top = heap[0]
        if purchase.costs[top] > affordable(remaining, correction):
            size -= 1
            heap[0] = heap[size]
            heap[size] = top
        elif slots[top] < 0:
            return count, size, remaining, correction, False
        elif stamps[top] == 2 * count + 1:
            if not gains[top] > least:
                break
            room.picks[count] = top
            room.gains[count] = gains[top]
            remaining, correction = subtract_cost(remaining, correction, purchase.costs[top])
            if kept == top:
                raise_kept(similarity, places, raised, terms, coverage)
            else:
                raise_best_similarity(similarity, rows, top, cache[slots[top]], coverage)
            count += 1
            size -= 1
            heap[0] = heap[size]
            heap[size] = top
        elif stamps[top] == 2 * count:
            gains[top], terms = exact_of_live(
                similarity, rows, top, cache[slots[top]], live, coverage, places, raised
            )
            kept = top
            keys[top] = gains[top] / purchase.divisors[top]
            stamps[top] = 2 * count + 1
        elif live.counts[top] >= 0:
            # One of the two below is next.
            for place in range(1, min(size, 3)):
                if stamps[heap[place]] < 2 * count:
                    fetch(live, heap[place])
            upper = upper_of_live(similarity, top, live, coverage.thresholds)
            gains[top] = min(gains[top], upper)
            keys[top] = gains[top] / purchase.divisors[top]
            stamps[top] = 2 * count
        else:
            # Those right below the top are most likely to be next.
            _four_stale(heap, size, slots, live, stamps, 2 * count, four)
            for member in range(4):
                stale[member] = heap[four[member]]
                stale_slots[member] = slots[stale[member]]
            upper_gains(cache, stale_slots, coverage.thresholds, similarity.slope, uppers, above)
            for member in range(3, -1, -1):  # upwards, so that what is below a place is a heap again
                row = stale[member]
                if stamps[row] < 2 * count:  # else it was repeated
                    gains[row] = min(gains[row], uppers[member])
                    keys[row] = gains[row] / purchase.divisors[row]
                    stamps[row] = 2 * count
                    if above[member] < live.columns.shape[1]:
                        keep(cache[slots[row]], row, live, coverage.thresholds)
                    sift_down(heap, size, keys, four[member])
            continue
        sift_down(heap, size, keys)
    return count, size, remaining, correction, True


@compiled_inside
def _four_stale(
    heap: np.ndarray,
    size: int,
    slots: np.ndarray,
    live: LiveEntries,
    stamps: np.ndarray,
    now: int,
    four: np.ndarray,
) -> None:
    """Write the places of the top and of up to three more rows whose bounds are older than `now`, ascending.

    All are rows whose entries are in a slot and not kept apart; where there are fewer the last is repeated.
    """
    four[:] = 0
    found = 1
    for place in range(1, min(size, _NEAR_TOP)):
        row = heap[place]
        if stamps[row] < now and live.counts[row] < 0 and slots[row] >= 0:
            four[found:] = place
            found += 1
            if found == 4:
                break
