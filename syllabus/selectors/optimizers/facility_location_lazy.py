"""Exact lazy greedy facility location (Minoux, "Accelerated greedy algorithms", 1978).

A heap holds an upper bound on the gain of every row, or on its gain per weight where rows cost. The top is
refined until it is exact: first a bound from its kernel row (O(n), no vector touched), then the exact sum,
which needs a dot product only where the row comes closer than the set does. An exact top is the pick. (Bound
descending, index ascending) is the order of the heap, so a row that might tie with a smaller index is refined
before the pick is made. A top that is no longer affordable leaves the heap.

Kernel rows lie in slots: all of them if they fit the memory budget, else blocks of those with the largest
bounds, the oldest given up first.
"""

import math

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.constraint import Purse, room, spend
from syllabus.selectors.functions.facility_location import (
    FacilityLocation,
    FacilityLocationState,
    exact_gain,
    raise_best_similarity,
    raise_kept,
    upper_gain,
)
from syllabus.selectors.functions.kernel import BLOCK
from syllabus.selectors.functions.similarity import COSINE, Similarity
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.heap import sift_down
from syllabus.selectors.optimizers.greedy import begin
from syllabus.selectors.optimizers.lazy_within import begin_within
from syllabus.selectors.task import Task

_CHUNK = 4096  # rows widened to float64 at once


def lazy(
    function: FacilityLocation, task: Task
) -> tuple[NDArray[np.int64], NDArray[np.float64], FacilityLocationState, float]:
    """Return the picks of greedy, their gains, the state they end in, and an upper bound on f(OPT)."""
    budget, first = task.budget, len(task.first)
    picks, gains, state = begin(function, task)
    assert isinstance(state, FacilityLocationState)
    ones = np.ones(function.n)
    bounds, left = _greedy(
        function,
        state,
        task.candidates,
        ones,
        ones,
        (float(budget - first), 0.0),
        -math.inf,
        picks,
        gains,
        first,
    )[1:]
    # The bounds left in the heap are at least the gains given S_k: f(OPT) <= f(S_k) + the k largest.
    return picks, gains, state, state.value() + math.fsum(np.sort(bounds[left])[-budget:])


def lazy_within(
    function: FacilityLocation, purse: Purse
) -> tuple[NDArray[np.int64], NDArray[np.float64], FacilityLocationState, float]:
    """Return what `lazy_within.lazy_within` does, and an upper bound on f of all sets within the limit."""
    first = len(purse.first)
    picks, gains, state, paid = begin_within(function, purse)
    assert isinstance(state, FacilityLocationState)
    count, bounds, _ = _greedy(
        function, state, purse.candidates, purse.costs, purse.weights, paid, 0.0, picks, gains, first
    )
    picks, gains = picks[:count].copy(), gains[:count].copy()
    bounds[picks] = 0.0
    return picks, gains, state, state.value() + purse.most(bounds)


def _greedy(
    function: FacilityLocation,
    state: FacilityLocationState,
    candidates: NDArray[np.int64],
    costs: NDArray[np.float64],
    weights: NDArray[np.float64],
    paid: tuple[float, float],
    least: float,
    picks: NDArray[np.int64],
    gains: NDArray[np.float64],
    first: int,
) -> tuple[int, NDArray[np.float64], NDArray[np.int64]]:
    """Return the number of picks, upper bounds on all gains, and the rows left in the heap."""
    n = function.n
    bounds = _first_bounds(function.rows, function.similarity)
    keys = bounds / weights
    s = function.similarity
    # -1: bound from earlier; 2t: upper bound at pick t; 2t + 1: exact at pick t.
    stamps = np.full(n, -1, np.int64)
    heap = candidates[np.argsort(-keys[candidates], kind="stable")]  # a sorted array is a heap
    kernel = function.kernel()
    if kernel is not None:
        cache, slots = kernel, np.arange(n)
    else:
        cache, slots = np.empty((function.capacity, n), np.float32), np.full(n, -1, np.int64)
    owners = np.full(len(cache), -1, np.int64)
    count, size, next_slot = first, len(heap), 0
    left, rest = paid
    while True:
        count, size, left, rest, done = _run(
            s.kind, s.rate, s.slope, s.offset, function.error, function.rows, cache, slots, bounds, keys,
            stamps, heap, size, costs, weights, left, rest, least, state.best_similarity,
            state.thresholds, picks, gains, count,
        )  # fmt: skip
        if done:
            return count, bounds, heap[:size]
        wanted = _without_slot(heap[:size], keys, slots)
        places = (next_slot + np.arange(len(wanted))) % len(cache)
        slots[owners[places][owners[places] >= 0]] = -1
        cache[places] = function.entries(wanted)
        owners[places] = wanted
        slots[wanted] = places
        next_slot = int(places[-1] + 1) % len(cache)


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
    kind: int,
    rate: float,
    slope: float,
    offset: float,
    error: float,
    rows: np.ndarray,
    cache: np.ndarray,
    slots: np.ndarray,
    bounds: np.ndarray,
    keys: np.ndarray,
    stamps: np.ndarray,
    heap: np.ndarray,
    size: int,
    costs: np.ndarray,
    weights: np.ndarray,
    left: float,
    rest: float,
    least: float,
    best_similarity: np.ndarray,
    thresholds: np.ndarray,
    picks: np.ndarray,
    gains: np.ndarray,
    count: int,
) -> tuple[int, int, float, float, bool]:
    """Pick until done or until the top of the heap has no kernel row.

    Done: no room for a pick, no row left, or no gain above `least`. Returns the number of picks, the size of
    the heap, what is left of the limit, and whether it is done.
    """
    places = np.empty(rows.shape[0], np.int64)
    raised = np.empty(rows.shape[0])
    kept = -1  # the row whose terms are in `places` and `raised`
    terms = 0
    while count < picks.shape[0] and size > 0:
        top = heap[0]
        if costs[top] > room(left, rest):
            size -= 1
            heap[0] = heap[size]
            heap[size] = top
        elif slots[top] < 0:
            return count, size, left, rest, False
        elif stamps[top] == 2 * count + 1:
            if not bounds[top] > least:
                break
            picks[count] = top
            gains[count] = bounds[top]
            left, rest = spend(left, rest, costs[top])
            if kept == top:
                raise_kept(slope, offset, error, places, raised, terms, best_similarity, thresholds)
            else:
                raise_best_similarity(
                    kind,
                    rate,
                    slope,
                    offset,
                    error,
                    rows,
                    top,
                    cache[slots[top]],
                    best_similarity,
                    thresholds,
                )
            count += 1
            size -= 1
            heap[0] = heap[size]
            heap[size] = top
        elif stamps[top] == 2 * count:
            bounds[top], terms = exact_gain(
                kind, rate, rows, top, cache[slots[top]], best_similarity, thresholds, places, raised
            )
            kept = top
            keys[top] = bounds[top] / weights[top]
            stamps[top] = 2 * count + 1
        else:
            bounds[top] = min(bounds[top], upper_gain(cache[slots[top]], thresholds, slope))
            keys[top] = bounds[top] / weights[top]
            stamps[top] = 2 * count
        sift_down(heap, size, keys)
    return count, size, left, rest, True
