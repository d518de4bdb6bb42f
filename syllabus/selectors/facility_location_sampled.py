"""Stochastic greedy for facility location over a dense kernel: `greedy.stochastic`, compiled, with old gains.

A row is sampled several times before a selection is complete, and its gain only falls: one whose old gain is
below the best of the sample cannot be the pick and is passed over. What is left is bounded from its kernel
row in float32, O(n); exact sums are taken where bounds reach the best, mostly once a pick. The picks and
gains are those of `greedy.stochastic` to the last bit.
"""

import numpy as np

from . import greedy
from .compiled import bounding, compiled
from .exact import UNIT32
from .facility_location import FacilityLocation, FacilityLocationState, exact_gain, raise_levels
from .greedy import begin, sample_size
from .randomness import child, sample_to_front
from .set_function import SetFunction
from .task import Task


def stochastic(function: SetFunction, task: Task, key: np.uint64, epsilon: float) -> greedy.Picked:
    """Return what `greedy.stochastic` does. O(n² ln(1/ε)) at most, given the kernel; without it, as there."""
    assert isinstance(function, FacilityLocation)
    kernel = function.kernel()
    if kernel is None:
        return greedy.stochastic(function, task, key, epsilon)
    picks, gains, state = begin(function, task)
    assert isinstance(state, FacilityLocationState)
    size = sample_size(function.n, task.budget, epsilon, function.sampling)
    s = function.similarity
    _run(
        s.kind, s.rate, s.slope, s.offset, function.error, function.rows, kernel, state.levels, state.floors,
        task.candidates.copy(), size, key, picks, gains, len(task.first),
    )  # fmt: skip
    return picks, gains, state


@compiled
def _run(
    kind: int,
    rate: float,
    slope: float,
    offset: float,
    error: float,
    rows: np.ndarray,
    kernel: np.ndarray,
    levels: np.ndarray,
    floors: np.ndarray,
    pool: np.ndarray,
    size: int,
    key: np.uint64,
    picks: np.ndarray,
    gains: np.ndarray,
    first: int,
) -> None:
    n = rows.shape[0]
    stretch = 1.0 + 2.0 * UNIT32 * (n + 2)  # a sum of n positive float32 terms, each rounded, in any order
    bounds = np.full(n, np.inf)
    exact_at = np.full(n, -1)  # the pick at which a bound was last an exact gain
    remaining = pool.shape[0]
    for t in range(first, picks.shape[0]):
        drawn = min(size, remaining)
        sample_to_front(pool, remaining, drawn, child(key, t))
        # The largest old gain first: its bound now leaves most others as they are. That is no verdict: what
        # is left as it is still has a bound, and its exact gain is taken below if that reaches the best.
        first_place = 0
        for place in range(1, drawn):
            if bounds[pool[place]] > bounds[pool[first_place]]:
                first_place = place
        reach = -np.inf
        for turn in range(drawn):
            place = first_place if turn == 0 else (0 if turn == first_place else turn)
            index = pool[place]
            if bounds[index] >= reach:
                bound = _excess(kernel[index], floors) * slope * stretch
                bounds[index] = min(bounds[index], bound)
                reach = max(reach, bound)
        chosen = -1
        best = -np.inf
        while True:
            top = -1  # the largest bound that is not yet exact
            for place in range(drawn):
                index = pool[place]
                if exact_at[index] != t and (top < 0 or bounds[index] > bounds[pool[top]]):
                    top = place
            if top < 0 or bounds[pool[top]] < best:
                break
            index = pool[top]
            gain = exact_gain(kind, rate, rows, index, kernel[index], levels, floors)
            bounds[index] = gain
            exact_at[index] = t
            if gain > best or (gain == best and index < pool[chosen]):
                best = gain
                chosen = top
        pick = pool[chosen]
        picks[t] = pick
        gains[t] = best
        raise_levels(kind, rate, slope, offset, error, rows, pick, kernel[pick], levels, floors)
        remaining -= 1
        pool[chosen], pool[remaining] = pool[remaining], pool[chosen]


@bounding
def _excess(entries: np.ndarray, floors: np.ndarray) -> float:
    """Return Σ max(0, entry - floor) in float32, some way summed."""
    total = np.float32(0)
    for i in range(entries.shape[0]):
        difference = entries[i] - floors[i]
        total += difference if difference > 0 else np.float32(0)
    return total  # type: ignore[return-value]  # a float where compiled
