"""Compiled lazy greedy by gain per divisor for pairwise sums whose gains are inner products with a query.

Costs spread ratios much wider than a pick moves gains, so old ratios in a heap rule out nearly all rows: a
pick scores a few dozen, O(d) each. Where divisors are equal that is not so, and the query's drift bounds
better (`pairwise_sum_lazy.py`).
"""

import numpy as np

from syllabus.selectors.constraint import Constraint, Purchase, affordable, subtract_cost
from syllabus.selectors.functions.pairwise_sum import (
    LinearTerms,
    PairwiseSum,
    PairwiseSumState,
    move_query,
)
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.fixed_order_sums import dot
from syllabus.selectors.numerics.heap import sift_down, sift_up
from syllabus.selectors.optimizers.greedy import PartialSelection, Picks, Solution


def lazy(function: PairwiseSum, constraint: Constraint) -> Solution:
    """Return what `greedy.lazy` does, of a submodular function. O(n d) for the first scores."""
    run, candidates = PartialSelection(function, constraint), constraint.candidates
    assert isinstance(run.state, PairwiseSumState)
    increase = function.increase_bound()
    keys = np.full(function.n, -np.inf)
    if len(candidates):
        keys[candidates] = run.state.gains(run.state.scores(candidates)) + increase
    keys /= constraint.divisors
    heap = candidates[np.argsort(-keys[candidates], kind="stable")]  # a sorted array is a heap
    run.count = _run(
        function.linear_terms(len(run.picks)), run.state.query, heap, keys, constraint.purchase,
        run.remaining, run.correction, constraint.least_gain, increase, run.room, run.count,
    )  # fmt: skip
    run.state.indices = run.picks[: run.count].tolist()
    return run.solution()


@compiled
def _run(
    terms: LinearTerms,
    query: np.ndarray,
    heap: np.ndarray,
    keys: np.ndarray,
    purchase: Purchase,
    remaining: float,
    correction: float,
    least: float,
    increase: float,
    room: Picks,
    count: int,
) -> int:
    """Pick while rows are affordable and gains above `least`; return the count.

    keys: upper bounds on the ratios from now on.
    """
    size = heap.shape[0]
    scored = np.empty(size, np.int64)
    while count < room.picks.shape[0]:
        most = affordable(remaining, correction)
        pick = -1
        best = least
        best_score = -np.inf
        length = 0
        while size > 0 and keys[heap[0]] >= best:
            index = heap[0]
            size -= 1
            heap[0] = heap[size]
            sift_down(heap, size, keys)
            if purchase.costs[index] > most:
                continue  # never affordable again
            score = dot(terms.rows[index], query) - terms.offsets[index]
            gain = terms.constants[count] + score
            ratio = gain / purchase.divisors[index]
            keys[index] = (gain + increase) / purchase.divisors[index]
            scored[length] = index
            length += 1
            # Of equal ratios the larger score: the constant has rounded what they differ by.
            if ratio > best or (
                ratio == best and pick >= 0 and (score > best_score or (score == best_score and index < pick))
            ):
                pick = index
                best = ratio
                best_score = score
        if pick < 0:
            break
        for place in range(length):
            if scored[place] != pick:
                heap[size] = scored[place]
                size += 1
                sift_up(heap, size, keys)
        room.picks[count] = pick
        room.gains[count] = terms.constants[count] + best_score
        count += 1
        remaining, correction = subtract_cost(remaining, correction, purchase.costs[pick])
        move_query(terms.rows[pick], query, terms.step)
    return count
