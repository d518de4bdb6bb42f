"""Compiled stochastic greedy for pairwise sums whose gains are inner products with a query.

The same samples, scores and ties as `stochastic.stochastic`, so the same bits; without a call into Python at
each pick, which costs more than the scores of the forty-odd rows of a sample.
"""

import numpy as np

from syllabus.selectors.constraint import Constraint, Purchase, affordable, affordable_to_front, subtract_cost
from syllabus.selectors.functions.pairwise_sum import LinearTerms, PairwiseSum, PairwiseSumState, move_query
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.counter_rng import child
from syllabus.selectors.numerics.fixed_order_sums import dot
from syllabus.selectors.optimizers import stochastic as plain
from syllabus.selectors.optimizers.greedy import Picks, Solution
from syllabus.selectors.optimizers.stochastic import SampledSelection, picked_by, sample_size


def stochastic(function: PairwiseSum, constraint: Constraint, key: np.uint64, epsilon: float) -> Solution:
    """Return what `stochastic.stochastic` does. O(picks · n d ln(1/ε) / rows that the limit holds)."""
    if not function.linear:
        return plain.stochastic(function, constraint, key, epsilon)
    terms = function.linear_terms(constraint.most_rows)
    size = sample_size(function.n, constraint.average_rows, epsilon, function.sampling)

    def pick(run: SampledSelection) -> None:
        assert isinstance(run.state, PairwiseSumState)
        run.count, run.pool_size, run.remaining, run.correction = _run(
            terms, run.state.query, run.pool, run.pool_size, constraint.purchase, run.remaining,
            run.correction, constraint.least_gain, size, key, run.room, run.count,
        )  # fmt: skip
        run.state.indices = run.picks[: run.count].tolist()

    return picked_by(pick, function, constraint)


@compiled
def _run(
    terms: LinearTerms,
    query: np.ndarray,
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
    """Pick while rows are affordable and the best gain of the sample is above `least`."""
    while count < room.picks.shape[0]:
        most = affordable(remaining, correction)
        drawn, pool_size = affordable_to_front(pool, pool_size, size, child(key, count), purchase.costs, most)
        place = -1
        best = -np.inf
        best_score = -np.inf
        for position in range(drawn):
            index = pool[position]
            score = dot(terms.rows[index], query) - terms.offsets[index]
            ratio = (terms.constants[count] + score) / purchase.divisors[index]
            if ratio < best:
                continue
            # Of equal ratios the larger score: the constant has rounded what they differ by.
            if ratio > best or score > best_score or (score == best_score and index < pool[place]):
                best = ratio
                best_score = score
                place = position
        if place < 0 or not terms.constants[count] + best_score > least:
            break
        pick = pool[place]
        room.picks[count] = pick
        room.gains[count] = terms.constants[count] + best_score
        count += 1
        remaining, correction = subtract_cost(remaining, correction, purchase.costs[pick])
        move_query(terms.rows[pick], query, terms.step)
        pool_size -= 1
        pool[place], pool[pool_size] = pool[pool_size], pool[place]
    return count, pool_size, remaining, correction
