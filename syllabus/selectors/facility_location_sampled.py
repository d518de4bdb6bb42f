"""Stochastic greedy for facility location over a dense kernel: the plain loops, compiled, with old gains.

A row is sampled several times before a selection is complete, and its gain only falls: one whose old gain is
below the best of the sample cannot be the pick and is passed over. What is left is bounded from its kernel
row in float32, O(n); exact sums are taken where bounds reach the best, mostly once a pick. The picks and
gains are those of `greedy.stochastic` and `sampled_within.stochastic` to the last bit.
"""

import math

import numpy as np

from . import greedy, sampled_within
from .compiled import bounding, compiled
from .exact import UNIT32
from .facility_location import FacilityLocation, FacilityLocationState, exact_gain, raise_levels
from .greedy import begin, sample_size
from .purse import Purse, affordable_to_front, room, spend
from .randomness import child
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
    s, ones, left = function.similarity, np.ones(function.n), float(task.budget - len(task.first))
    _run(
        s.kind, s.rate, s.slope, s.offset, function.error, function.rows, kernel, state.levels, state.floors,
        *_no_bounds(function.n), task.candidates.copy(), len(task.candidates), ones, ones, left, 0.0,
        -math.inf, size, key, picks, gains, len(task.first),
    )  # fmt: skip
    return picks, gains, state


def stochastic_within(function: SetFunction, purse: Purse, key: np.uint64, epsilon: float) -> greedy.Picked:
    """Return what `sampled_within.stochastic` does."""
    assert isinstance(function, FacilityLocation)
    kernel = function.kernel()
    if kernel is None:
        return sampled_within.stochastic(function, purse, key, epsilon)
    s = function.similarity
    bounds, exact_at = _no_bounds(function.n)

    def pick(walk: sampled_within.Walk) -> None:
        state = walk.state
        assert isinstance(state, FacilityLocationState)
        walk.count, walk.remaining, walk.left, walk.rest = _run(
            s.kind, s.rate, s.slope, s.offset, function.error, function.rows, kernel, state.levels,
            state.floors, bounds, exact_at, walk.pool, walk.remaining, purse.costs, purse.weights,
            walk.left, walk.rest, 0.0, walk.size, key, walk.picks, walk.gains, walk.count,
        )  # fmt: skip

    return sampled_within.walked(function, purse, epsilon, pick)


def _no_bounds(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds on the gains of n rows, and the pick at which each was last an exact gain."""
    return np.full(n, np.inf), np.full(n, -1)


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
    bounds: np.ndarray,
    exact_at: np.ndarray,
    pool: np.ndarray,
    remaining: int,
    costs: np.ndarray,
    weights: np.ndarray,
    left: float,
    rest: float,
    least: float,
    size: int,
    key: np.uint64,
    picks: np.ndarray,
    gains: np.ndarray,
    count: int,
) -> tuple[int, int, float, float]:
    """Pick while rows are affordable and the best gain of the sample is above `least`."""
    n = rows.shape[0]
    stretch = 1.0 + 2.0 * UNIT32 * (n + 2)  # a sum of n positive float32 terms, each rounded, in any order
    while count < picks.shape[0]:
        drawn, remaining = affordable_to_front(
            pool, remaining, size, child(key, count), costs, room(left, rest)
        )
        if drawn == 0:
            break
        # The largest old ratio first: its bound now leaves most others as they are. That is no verdict: what
        # is left as it is still has a bound, and its exact gain is taken below if that reaches the best.
        first_place = 0
        for place in range(1, drawn):
            index, before = pool[place], pool[first_place]
            if bounds[index] / weights[index] > bounds[before] / weights[before]:
                first_place = place
        reach = -np.inf
        for turn in range(drawn):
            place = first_place if turn == 0 else (0 if turn == first_place else turn)
            index = pool[place]
            if bounds[index] / weights[index] >= reach:
                bound = _excess(kernel[index], floors) * slope * stretch
                bounds[index] = min(bounds[index], bound)
                reach = max(reach, bound / weights[index])
        chosen = -1
        best = -np.inf
        while True:
            top = -1  # the largest bound that is not yet exact
            highest = -np.inf
            for place in range(drawn):
                index = pool[place]
                if exact_at[index] != count and bounds[index] / weights[index] > highest:
                    top = place
                    highest = bounds[index] / weights[index]
            if top < 0 or highest < best:
                break
            index = pool[top]
            gain = exact_gain(kind, rate, rows, index, kernel[index], levels, floors)
            bounds[index] = gain
            exact_at[index] = count
            ratio = gain / weights[index]
            if ratio > best or (ratio == best and index < pool[chosen]):
                best = ratio
                chosen = top
        pick = pool[chosen]
        if not bounds[pick] > least:
            break
        picks[count] = pick
        gains[count] = bounds[pick]
        count += 1
        left, rest = spend(left, rest, costs[pick])
        raise_levels(kind, rate, slope, offset, error, rows, pick, kernel[pick], levels, floors)
        remaining -= 1
        pool[chosen], pool[remaining] = pool[remaining], pool[chosen]
    return count, remaining, left, rest


@bounding
def _excess(entries: np.ndarray, floors: np.ndarray) -> float:
    """Return Σ max(0, entry - floor) in float32, some way summed."""
    total = np.float32(0)
    for i in range(entries.shape[0]):
        difference = entries[i] - floors[i]
        total += difference if difference > 0 else np.float32(0)
    return total  # type: ignore[return-value]  # a float where compiled
