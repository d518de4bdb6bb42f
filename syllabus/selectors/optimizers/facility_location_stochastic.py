"""Stochastic greedy for facility location over a dense kernel: the plain loops, compiled, with old gains.

A row is sampled several times before a selection is complete, and its gain only falls: one whose old gain is
below the best of the sample cannot be the pick and is passed over. What is left is bounded from its kernel
row in float32, O(n), the largest old gains first and four rows at a time, since a kernel row is read from
far away; exact sums are taken where bounds reach the best, mostly once a pick. The picks and gains are those
of `greedy.stochastic` and `sampled_within.stochastic` to the last bit.
"""

import math

import numpy as np

from syllabus.selectors.constraint import Purse, affordable_to_front, room, spend
from syllabus.selectors.functions.base import SetFunction
from syllabus.selectors.functions.facility_location import (
    FacilityLocation,
    FacilityLocationState,
    exact_gain,
    raise_best_similarity,
    raise_kept,
)
from syllabus.selectors.numerics.compiled import compiled, compiled_reassociating
from syllabus.selectors.numerics.counter_rng import child
from syllabus.selectors.numerics.fixed_order_sums import UNIT32
from syllabus.selectors.optimizers import greedy, sampled_within
from syllabus.selectors.optimizers.greedy import begin, sample_size
from syllabus.selectors.task import Task


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
        s.kind, s.rate, s.slope, s.offset, function.error, function.rows, kernel, state.best_similarity,
        state.thresholds, function.alone, *_no_bounds(function.n), task.candidates.copy(),
        len(task.candidates), ones, ones,
        left, 0.0, -math.inf, size, key, picks, gains, len(task.first),
    )  # fmt: skip
    return picks, gains, state


def stochastic_within(function: SetFunction, purse: Purse, key: np.uint64, epsilon: float) -> greedy.Picked:
    """Return what `sampled_within.stochastic` does."""
    assert isinstance(function, FacilityLocation)
    kernel = function.kernel()
    if kernel is None:
        return sampled_within.stochastic(function, purse, key, epsilon)
    s = function.similarity
    keys, stamps = _no_bounds(function.n)

    def pick(walk: sampled_within.Walk) -> None:
        state = walk.state
        assert isinstance(state, FacilityLocationState)
        walk.count, walk.remaining, walk.left, walk.rest = _run(
            s.kind, s.rate, s.slope, s.offset, function.error, function.rows, kernel, state.best_similarity,
            state.thresholds, function.alone, keys, stamps, walk.pool, walk.remaining, purse.costs,
            purse.weights, walk.left, walk.rest, 0.0, walk.size, key, walk.picks, walk.gains, walk.count,
        )  # fmt: skip

    return sampled_within.walked(function, purse, epsilon, pick)


def _no_bounds(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys and stamps of n rows of which nothing is known."""
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
    best_similarity: np.ndarray,
    thresholds: np.ndarray,
    alone: np.ndarray,
    keys: np.ndarray,
    stamps: np.ndarray,
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
    """Pick while rows are affordable and the best gain of the sample is above `least`.

    keys: bounds on gains per weight. stamps: -1 a bound from earlier, 2t one of pick t, 2t + 1 exact then.
    alone: exact gains of the empty set, NaN where not known yet.
    """
    n = rows.shape[0]
    stretch = 1.0 + 2.0 * UNIT32 * (n + 2)  # a sum of n positive float32 terms, each rounded, in any order
    places = np.empty(n, np.int64)
    raised = np.empty(n)
    four = np.empty(4, np.int64)
    while count < picks.shape[0]:
        drawn, remaining = affordable_to_front(
            pool, remaining, size, child(key, count), costs, room(left, rest)
        )
        chosen = -1
        best = -np.inf
        gain = -np.inf
        kept = -1  # the row whose terms are in `places` and `raised`
        terms = 0
        while True:
            top = _largest(pool, drawn, keys, stamps, 2 * count + 1)
            if top < 0 or keys[pool[top]] < best:
                break
            index = pool[top]
            if stamps[index] != 2 * count:
                _four_largest(pool, drawn, keys, stamps, 2 * count, best, four)
                found = _excesses(
                    kernel[four[0]], kernel[four[1]], kernel[four[2]], kernel[four[3]], thresholds
                )
                for member in range(4):
                    index = four[member]
                    keys[index] = min(keys[index], found[member] * slope * stretch / weights[index])
                    stamps[index] = 2 * count
                continue
            if count == 0 and not np.isnan(alone[index]):
                exact = alone[index]
            else:
                exact, terms = exact_gain(
                    kind, rate, rows, index, kernel[index], best_similarity, thresholds, places, raised
                )
                kept = index
                if count == 0:
                    alone[index] = exact
            ratio = exact / weights[index]
            keys[index] = ratio
            stamps[index] = 2 * count + 1
            if ratio > best or (ratio == best and index < pool[chosen]):
                best = ratio
                gain = exact
                chosen = top
        if chosen < 0 or not gain > least:
            break
        pick = pool[chosen]
        picks[count] = pick
        gains[count] = gain
        count += 1
        left, rest = spend(left, rest, costs[pick])
        if kept == pick:
            raise_kept(slope, offset, error, places, raised, terms, best_similarity, thresholds)
        else:
            raise_best_similarity(
                kind, rate, slope, offset, error, rows, pick, kernel[pick], best_similarity, thresholds
            )
        remaining -= 1
        pool[chosen], pool[remaining] = pool[remaining], pool[chosen]
    return count, remaining, left, rest


@compiled
def _largest(pool: np.ndarray, drawn: int, keys: np.ndarray, stamps: np.ndarray, done: int) -> int:
    """Return the place in the sample of the largest key that is not stamped `done`, or -1."""
    top = -1
    highest = -np.inf
    for place in range(drawn):
        index = pool[place]
        if keys[index] > highest and stamps[index] != done:
            top = place
            highest = keys[index]
    return top


@compiled
def _four_largest(
    pool: np.ndarray,
    drawn: int,
    keys: np.ndarray,
    stamps: np.ndarray,
    now: int,
    best: float,
    four: np.ndarray,
) -> None:
    """Write the rows of the sample's four largest keys from before `now`, none below `best`.

    Where there are fewer the first is repeated.
    """
    found = 0
    for place in range(drawn):
        index = pool[place]
        if stamps[index] < now and keys[index] >= best and (found < 4 or keys[index] > keys[four[3]]):
            at = min(found, 3)
            while at > 0 and keys[four[at - 1]] < keys[index]:
                four[at] = four[at - 1]
                at -= 1
            four[at] = index
            found = min(found + 1, 4)
    four[found:] = four[0]


@compiled_reassociating
def _excesses(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray, thresholds: np.ndarray
) -> tuple[float, float, float, float]:
    """Return Σ max(0, entry - floor) of four kernel rows in float32, some way summed."""
    zero = np.float32(0)
    sum_a, sum_b, sum_c, sum_d = zero, zero, zero, zero
    for i in range(thresholds.shape[0]):
        threshold = thresholds[i]
        sum_a += max(a[i] - threshold, zero)
        sum_b += max(b[i] - threshold, zero)
        sum_c += max(c[i] - threshold, zero)
        sum_d += max(d[i] - threshold, zero)
    return sum_a, sum_b, sum_c, sum_d  # type: ignore[return-value]  # floats where compiled
