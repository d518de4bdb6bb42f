"""Lazy greedy by gain per weight for functions whose gains are inner products with a query, compiled.

Costs spread ratios much wider than a pick moves gains, so old ratios in a heap rule out nearly all rows: a
pick scores a few dozen, O(d) each. Where weights are equal that is not so, and the query's drift bounds
better (`drifting.py`).
"""

import numpy as np

from syllabus.selectors.constraint import Purse, room, spend
from syllabus.selectors.functions.pairwise_sum import PairwiseSum, PairwiseSumState, constants, move_query
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.fixed_order_sums import dot
from syllabus.selectors.numerics.heap import sift_down, sift_up
from syllabus.selectors.optimizers import pairwise_sum_lazy as drifting
from syllabus.selectors.optimizers.greedy import Picked
from syllabus.selectors.optimizers.lazy_within import begin_within
from syllabus.selectors.optimizers.lazy_within import lazy_within as plain


def lazy_within(function: PairwiseSum, purse: Purse) -> Picked:
    """Return what `lazy_within.lazy_within` does. O(n d) for the first scores, of a submodular function."""
    if not function.linear:
        return plain(function, purse)
    if np.ptp(purse.weights) == 0:
        return drifting.lazy_within(function, purse)
    picks, gains, state, (left, rest) = begin_within(function, purse)
    assert isinstance(state, PairwiseSumState)
    rounding_bound = function.increase_bound()
    candidates = purse.candidates
    keys = np.full(function.n, -np.inf)
    if len(candidates):
        keys[candidates] = state.gains(state.scores(candidates)) + rounding_bound
    keys /= purse.weights
    heap = candidates[np.argsort(-keys[candidates], kind="stable")]  # a sorted array is a heap
    count = _run(
        function.rows, function.terms, function.step, constants(function, len(picks)), state.query, heap,
        keys, purse.costs, purse.weights, left, rest, rounding_bound, picks, gains, len(purse.first),
    )  # fmt: skip
    state.indices = picks[:count].tolist()
    return picks[:count].copy(), gains[:count].copy(), state


@compiled
def _run(
    rows: np.ndarray,
    terms: np.ndarray,
    step: float,
    constant: np.ndarray,
    query: np.ndarray,
    heap: np.ndarray,
    keys: np.ndarray,
    costs: np.ndarray,
    weights: np.ndarray,
    left: float,
    rest: float,
    rounding_bound: float,
    picks: np.ndarray,
    gains: np.ndarray,
    count: int,
) -> int:
    """Pick while rows are affordable and have positive gains; return the count.

    keys: upper bounds on the ratios from now on.
    """
    size = heap.shape[0]
    scored = np.empty(size, np.int64)
    while count < picks.shape[0]:
        most = room(left, rest)
        pick = -1
        best = 0.0
        best_score = -np.inf
        length = 0
        while size > 0 and keys[heap[0]] >= best:
            index = heap[0]
            size -= 1
            heap[0] = heap[size]
            sift_down(heap, size, keys)
            if costs[index] > most:
                continue  # never affordable again
            score = dot(rows[index], query) - terms[index]
            gain = constant[count] + score
            ratio = gain / weights[index]
            keys[index] = (gain + rounding_bound) / weights[index]
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
        picks[count] = pick
        gains[count] = constant[count] + best_score
        count += 1
        left, rest = spend(left, rest, costs[pick])
        move_query(rows[pick], query, step)
    return count
