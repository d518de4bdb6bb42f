"""Compiled stochastic greedy for facility location over a dense kernel: the plain loop, with old gains.

A row is sampled several times before a selection is complete, and its gain only falls: one whose old gain is
below the best of the sample cannot be the pick and is passed over. What is left is bounded from its kernel
row in float32, O(n), the largest old gains first and four rows at a time; exact sums are taken where bounds
reach the best, mostly once a pick. The picks and gains are those of `stochastic.stochastic` to the last bit.
"""

import numpy as np

from syllabus.selectors.constraint import Constraint, Purchase, affordable, affordable_to_front, subtract_cost
from syllabus.selectors.functions.facility_location import FacilityLocation, FacilityLocationState
from syllabus.selectors.functions.facility_location_gains import (
    Coverage,
    exact_gain,
    raise_best_similarity,
    raise_kept,
    upper_gains,
)
from syllabus.selectors.functions.similarity import SimilarityParameters
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.counter_rng import child
from syllabus.selectors.optimizers import stochastic as plain
from syllabus.selectors.optimizers.facility_location_lazy import GainBounds
from syllabus.selectors.optimizers.greedy import Picks, Solution
from syllabus.selectors.optimizers.stochastic import SampledSelection, picked_by, sample_size


def stochastic(
    function: FacilityLocation, constraint: Constraint, key: np.uint64, epsilon: float
) -> Solution:
    """Return what `stochastic.stochastic` does. O(n² ln(1/ε)) at most, given the kernel; else as there."""
    kernel = function.kernel()
    if kernel is None:
        return plain.stochastic(function, constraint, key, epsilon)
    size = sample_size(function.n, constraint.average_rows, epsilon, function.sampling)
    # Nothing is known of gains yet but those of the empty set.
    bounds = GainBounds(function.alone, np.full(function.n, np.inf), np.full(function.n, -1))

    def pick(run: SampledSelection) -> None:
        assert isinstance(run.state, FacilityLocationState)
        run.count, run.pool_size, run.remaining, run.correction = _run(
            function.parameters, function.rows, kernel, run.state.coverage, bounds, run.pool, run.pool_size,
            constraint.purchase, run.remaining, run.correction, constraint.least_gain, size, key, run.room,
            run.count,
        )  # fmt: skip

    return picked_by(pick, function, constraint)


@compiled
def _run(
    similarity: SimilarityParameters,
    rows: np.ndarray,
    kernel: np.ndarray,
    coverage: Coverage,
    bounds: GainBounds,
    pool: np.ndarray,
    pool_size: int,
    purchase: Purchase,
    remaining: float,
    correction: float,
    least: float,
    size: int,
    key: np.uint64,
    room: Picks,
    count: int,
) -> tuple[int, int, float, float]:
    """Pick while rows are affordable and the best gain of the sample is above `least`.

    bounds: the exact gains of the empty set, NaN where not known yet, and the keys of the set.
    """
    alone, keys, stamps = bounds
    n = rows.shape[0]
    places = np.empty(n, np.int64)
    raised = np.empty(n)
    four = np.empty(4, np.int64)
    uppers = np.empty(4)
    above = np.empty(4, np.int64)
    while count < room.picks.shape[0]:
        most = affordable(remaining, correction)
        drawn, pool_size = affordable_to_front(pool, pool_size, size, child(key, count), purchase.costs, most)
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
                upper_gains(kernel, four, coverage.thresholds, similarity.slope, uppers, above)
                for member in range(4):
                    index = four[member]
                    keys[index] = min(keys[index], uppers[member] / purchase.divisors[index])
                    stamps[index] = 2 * count
                continue
            if count == 0 and not np.isnan(alone[index]):
                exact = alone[index]
            else:
                exact, terms = exact_gain(similarity, rows, index, kernel[index], coverage, places, raised)
                kept = index
                if count == 0:
                    alone[index] = exact
            ratio = exact / purchase.divisors[index]
            keys[index] = ratio
            stamps[index] = 2 * count + 1
            if ratio > best or (ratio == best and index < pool[chosen]):
                best = ratio
                gain = exact
                chosen = top
        if chosen < 0 or not gain > least:
            break
        pick = pool[chosen]
        room.picks[count] = pick
        room.gains[count] = gain
        count += 1
        remaining, correction = subtract_cost(remaining, correction, purchase.costs[pick])
        if kept == pick:
            raise_kept(similarity, places, raised, terms, coverage)
        else:
            raise_best_similarity(similarity, rows, pick, kernel[pick], coverage)
        pool_size -= 1
        pool[chosen], pool[pool_size] = pool[pool_size], pool[chosen]
    return count, pool_size, remaining, correction


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
