"""Exact lazy greedy facility location (Minoux, "Accelerated greedy algorithms", 1978).

A heap holds an upper bound on the gain of every row. The top is refined until it is exact: first a bound
from its kernel row (O(n), no vector touched), then the exact sum, which needs a dot product only where the
row comes closer than the set does. An exact top is the pick. (Bound descending, index ascending) is the
order of the heap, so a row that might tie with a smaller index is refined before the pick is made.

Kernel rows lie in slots: all of them if they fit the memory budget, else blocks of those with the largest
bounds, the oldest given up first.
"""

import math

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .facility_location import (
    FacilityLocation,
    FacilityLocationState,
    exact_gain,
    raise_levels,
    upper_gain,
)
from .greedy import begin
from .kernel import BLOCK
from .similarity import COSINE, Similarity
from .task import Task

_CHUNK = 4096  # rows widened to float64 at once


def lazy(
    function: FacilityLocation, task: Task
) -> tuple[NDArray[np.int64], NDArray[np.float64], FacilityLocationState, float]:
    """Return the picks of greedy, their gains, the state they end in, and an upper bound on f(OPT)."""
    n, budget, first = function.n, task.budget, len(task.first)
    picks, gains, state = begin(function, task)
    assert isinstance(state, FacilityLocationState)
    bounds = _first_bounds(function.rows, function.similarity)
    s = function.similarity
    # -1: bound from earlier; 2t: upper bound at pick t; 2t + 1: exact at pick t.
    stamps = np.full(n, -1, np.int64)
    heap = task.candidates[np.argsort(-bounds[task.candidates], kind="stable")]  # a sorted array is a heap
    kernel = function.kernel()
    if kernel is not None:
        cache, slots = kernel, np.arange(n)
    else:
        cache, slots = np.empty((function.capacity, n), np.float32), np.full(n, -1, np.int64)
    owners = np.full(len(cache), -1, np.int64)
    count, next_slot = first, 0
    while True:
        count = _run(
            s.kind, s.rate, s.slope, s.offset, function.error, function.rows, cache, slots, bounds, stamps,
            heap, state.levels, state.floors, picks, gains, first, count,
        )  # fmt: skip
        if count == budget:
            break
        wanted = _without_slot(heap[: len(heap) - count + first], bounds, slots)
        places = (next_slot + np.arange(len(wanted))) % len(cache)
        slots[owners[places][owners[places] >= 0]] = -1
        cache[places] = function.entries(wanted)
        owners[places] = wanted
        slots[wanted] = places
        next_slot = int(places[-1] + 1) % len(cache)
    # The bounds left in the heap are at least the gains given S_k: f(OPT) <= f(S_k) + the k largest.
    left = np.sort(bounds[heap[: len(heap) - budget + first]])[-budget:]
    return picks, gains, state, state.value() + math.fsum(left)


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
    heap: NDArray[np.int64], bounds: NDArray[np.float64], slots: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the rows of the largest bounds that have no kernel row, the top of the heap included."""
    missing = heap[slots[heap] < 0]
    size = min(BLOCK, len(missing))
    largest = missing[np.argpartition(-bounds[missing], size - 1)[:size]]
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
    stamps: np.ndarray,
    heap: np.ndarray,
    levels: np.ndarray,
    floors: np.ndarray,
    picks: np.ndarray,
    gains: np.ndarray,
    first: int,
    count: int,
) -> int:
    """Pick until done or until the top of the heap has no kernel row; return the number of picks."""
    size = heap.shape[0] - count + first
    while count < picks.shape[0]:
        top = heap[0]
        if slots[top] < 0:
            return count
        if stamps[top] == 2 * count + 1:
            picks[count] = top
            gains[count] = bounds[top]
            raise_levels(kind, rate, slope, offset, error, rows, top, cache[slots[top]], levels, floors)
            count += 1
            size -= 1
            heap[0] = heap[size]
            heap[size] = top
        elif stamps[top] == 2 * count:
            bounds[top] = exact_gain(kind, rate, rows, top, cache[slots[top]], levels, floors)
            stamps[top] = 2 * count + 1
        else:
            bounds[top] = min(bounds[top], upper_gain(cache[slots[top]], floors, slope))
            stamps[top] = 2 * count
        _sift_down(heap, size, bounds)
    return count


@compiled
def _sift_down(heap: np.ndarray, size: int, bounds: np.ndarray) -> None:
    """Restore the order below the top: bound descending, index ascending."""
    item = heap[0]
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        other = child + 1
        if other < size and _before(heap[other], heap[child], bounds):
            child = other
        if not _before(heap[child], item, bounds):
            break
        heap[place] = heap[child]
        place = child
    heap[place] = item


@compiled
def _before(a: int, b: int, bounds: np.ndarray) -> bool:
    return bounds[a] > bounds[b] or (bounds[a] == bounds[b] and a < b)
