"""Stochastic greedy for functions whose gains are inner products with a query: the plain loops, compiled.

The same samples, scores and ties, so the same bits as `greedy.stochastic` and `sampled_within.stochastic`;
without a call into Python at each pick, which costs more than the scores of the forty-odd rows of a sample.
"""

import math

import numpy as np

from syllabus.selectors.constraint import Purse, affordable_to_front, room, spend
from syllabus.selectors.functions.base import SetFunction
from syllabus.selectors.functions.pairwise_sum import PairwiseSum, PairwiseSumState, constants, move_query
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.counter_rng import child
from syllabus.selectors.numerics.fixed_order_sums import dot
from syllabus.selectors.optimizers import greedy, sampled_within
from syllabus.selectors.optimizers.greedy import begin, sample_size
from syllabus.selectors.task import Task


def stochastic(function: SetFunction, task: Task, key: np.uint64, epsilon: float) -> greedy.Picked:
    """Return what `greedy.stochastic` does. O(n d ln(1/ε))."""
    picks, gains, state = begin(function, task)
    if not isinstance(state, PairwiseSumState):
        return greedy.stochastic(function, task, key, epsilon)
    assert isinstance(function, PairwiseSum)
    size = sample_size(function.n, task.budget, epsilon, function.sampling)
    ones, left = np.ones(function.n), float(task.budget - len(task.first))
    _run(
        function.rows, function.terms, function.step, constants(function, task.budget), state.query,
        task.candidates.copy(), len(task.candidates), ones, ones, left, 0.0, -math.inf, size, key,
        picks, gains, len(task.first),
    )  # fmt: skip
    state.indices = picks.tolist()
    return picks, gains, state


def stochastic_within(function: SetFunction, purse: Purse, key: np.uint64, epsilon: float) -> greedy.Picked:
    """Return what `sampled_within.stochastic` does. O(picks · n d ln(1/ε) / rows that the limit holds)."""
    if not (isinstance(function, PairwiseSum) and function.linear):
        return sampled_within.stochastic(function, purse, key, epsilon)
    constant = constants(function, purse.rows)

    def pick(walk: sampled_within.Walk) -> None:
        state = walk.state
        assert isinstance(state, PairwiseSumState)
        walk.count, walk.remaining, walk.left, walk.rest = _run(
            function.rows, function.terms, function.step, constant, state.query, walk.pool, walk.remaining,
            purse.costs, purse.weights, walk.left, walk.rest, 0.0, walk.size, key,
            walk.picks, walk.gains, walk.count,
        )  # fmt: skip
        state.indices = walk.picks[: walk.count].tolist()

    return sampled_within.walked(function, purse, epsilon, pick)


@compiled
def _run(
    rows: np.ndarray,
    terms: np.ndarray,
    step: float,
    constant: np.ndarray,
    query: np.ndarray,
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
    while count < picks.shape[0]:
        drawn, remaining = affordable_to_front(
            pool, remaining, size, child(key, count), costs, room(left, rest)
        )
        place = -1
        best = -np.inf
        best_score = -np.inf
        for position in range(drawn):
            index = pool[position]
            score = dot(rows[index], query) - terms[index]
            ratio = (constant[count] + score) / weights[index]
            if ratio < best:
                continue
            # Of equal ratios the larger score: the constant has rounded what they differ by.
            if ratio > best or score > best_score or (score == best_score and index < pool[place]):
                best = ratio
                best_score = score
                place = position
        if place < 0 or not constant[count] + best_score > least:
            break
        pick = pool[place]
        picks[count] = pick
        gains[count] = constant[count] + best_score
        count += 1
        left, rest = spend(left, rest, costs[pick])
        move_query(rows[pick], query, step)
        remaining -= 1
        pool[place], pool[remaining] = pool[remaining], pool[place]
    return count, remaining, left, rest
