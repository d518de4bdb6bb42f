"""Exact greedy for pairwise sums: maximum inner product search with a query that each pick moves.

A pick moves the query by step · ‖x‖ only. After one pass over all rows at q_0, rows are kept sorted by their
score; |score_t(e) - score_0(e)| <= ‖q_t - q_0‖ · max‖x‖, so at q_t the scan down the list may stop at the
first row whose old score plus that drift is below the best score found. Only when the scans grow longer
than a fresh pass would cost, or the list does not reach far enough, is a new pass made.

Every score that decides comes from `dot`, as in the naive optimiser: same rows, same order, same gains. Cost:
O(passes · n d + scanned · d). Clustered vectors need few passes (36 for 5,000 picks of 50,000), isotropic
ones up to one a pick, once the query is short: then scores lie closer together than a pick moves them. Where
a list did not last, the next passes go without one, over 8-bit rows (`quantized_rows.py`): a fifth of a pass
each. Memory about 24 n bytes, and n d for the 8-bit rows where they are needed. Of vectors on another device
a pass is a float32 product there; its error widens the bounds, and no 8-bit copy is made.
"""

import math

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.constraint import Constraint, Purchase, affordable, subtract_cost
from syllabus.selectors.functions.pairwise_sum import LinearTerms, PairwiseSum, PairwiseSumState, move_query
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.distances import squared_norms
from syllabus.selectors.numerics.fixed_order_sums import UNIT, dot, squared_distance_over_4
from syllabus.selectors.numerics.heap import sift_down, sift_up
from syllabus.selectors.numerics.products import DeviceProducts
from syllabus.selectors.numerics.quantized_rows import QuantizedRows, RemoteRows
from syllabus.selectors.optimizers import greedy
from syllabus.selectors.optimizers.greedy import PartialSelection, Picks, Solution

_PASS_COST = 1.5  # of a full pass, per row, in scanned rows: the pass itself plus the selection of the list
_LIST_SHARE = 16  # the list holds n / 16 rows: sorting it costs less than the pass
_LASTED = 3  # picks from one list below which it was not worth sorting
_PATIENCE = 128  # at most so many passes without a list before the next attempt


def lazy(function: PairwiseSum, constraint: Constraint, *_: object) -> Solution:
    """Return what `greedy.naive` does; with unequal divisors, of a submodular function."""
    if not function.linear:
        # No query to follow. Old gains of a submodular function bound new ones.
        return (greedy.lazy if function.submodular else greedy.naive)(function, constraint)
    if constraint.unequal_divisors is not None:
        return _by_ratio(function, constraint)
    run = PartialSelection(function, constraint)
    rows, offsets, state, costs = function.rows, function.terms, run.state, constraint.costs
    assert isinstance(state, PairwiseSumState)
    longest = math.sqrt(float(squared_norms(rows).max())) * (1 + 4 * UNIT)
    error = function.products.relative * longest * 1.02  # of a float32 <x, q>, for q of length 1
    used = np.ones(function.n, np.bool_)
    used[constraint.candidates] = False
    old = np.empty(function.n)
    terms = function.linear_terms(len(run.picks))
    largest_offset = float(np.abs(offsets).max())
    remote = RemoteRows(function.products, error) if isinstance(function.products, DeviceProducts) else None
    rough: RemoteRows | QuantizedRows | None = remote
    skip, without = 0, 0
    while run.count < len(run.picks):
        used |= costs > run.affordable
        if used.all():
            break
        if skip:
            rough = rough or QuantizedRows(rows, error)
            pick, score = rough.best(state.query, offsets, used)
        elif remote:
            pick, score = remote.best(state.query, offsets, used)
            remote.bounds(state.query, offsets, used, old)
        else:
            pick = _score_all(rows, offsets, state.query, used, old)
            score = float(old[pick])
        if not terms.constants[run.count] + score > constraint.least_gain:
            break
        then = state.query.copy()  # what `old` was scored with
        run.add(pick, score)
        used[pick] = True
        if skip:
            skip -= 1
            continue
        before = run.count
        order, threshold = _list_of_best(old, int(function.n - used.sum()) + 1)  # the pick is one of them
        run.count, run.remaining, run.correction = _pick_from_list(
            terms, longest, largest_offset, order, old, threshold, then, costs, run.remaining, run.correction,
            constraint.least_gain, state.query, used, run.room, before,
        )  # fmt: skip
        state.indices += run.picks[before : run.count].tolist()
        without = min(2 * without + 1, _PATIENCE) if run.count - before < _LASTED else 0
        skip = without
    return run.solution()


def _by_ratio(function: PairwiseSum, constraint: Constraint) -> Solution:
    """Return what `greedy.lazy` does where divisors are unequal. O(n d) for the first scores.

    Costs spread ratios much wider than a pick moves gains, so old ratios in a heap rule out nearly all rows:
    a pick scores a few dozen, O(d) each.
    """
    run, candidates = PartialSelection(function, constraint), constraint.candidates
    assert isinstance(run.state, PairwiseSumState)
    increase = function.increase_bound()
    keys = np.full(function.n, -np.inf)
    if len(candidates):
        keys[candidates] = run.state.gains(run.state.scores(candidates)) + increase
    keys /= constraint.divisors
    heap = candidates[np.argsort(-keys[candidates], kind="stable")]  # a sorted array is a heap
    run.count = _pick_by_ratio(
        function.linear_terms(len(run.picks)), run.state.query, heap, keys, constraint.purchase,
        run.remaining, run.correction, constraint.least_gain, increase, run.room, run.count,
    )  # fmt: skip
    run.state.indices = run.picks[: run.count].tolist()
    return run.solution()


def _list_of_best(scores: NDArray[np.float64], unused: int) -> tuple[NDArray[np.int64], float]:
    """Return the rows of the best scores, best first, and the largest score left out."""
    n = len(scores)
    length = min(unused, max(256, unused // _LIST_SHARE))
    threshold = -math.inf if length >= n else float(np.partition(scores, n - length - 1)[n - length - 1])
    # Rows that tie with the threshold stay outside with it.
    members = np.flatnonzero(scores > threshold)
    return members[np.argsort(-scores[members], kind="stable")], threshold


@compiled
def _score_all(
    rows: np.ndarray, terms: np.ndarray, query: np.ndarray, used: np.ndarray, scores: np.ndarray
) -> int:
    """Write the scores of all rows, -inf for used ones, and return the best, the smallest index of equals."""
    best = -np.inf
    pick = -1
    for i in range(rows.shape[0]):
        scores[i] = -np.inf
        if not used[i]:
            scores[i] = dot(rows[i], query) - terms[i]
            if scores[i] > best:
                best = scores[i]
                pick = i
    return pick


@compiled
def _pick_from_list(
    terms: LinearTerms,
    longest: float,
    largest_offset: float,
    order: np.ndarray,
    old: np.ndarray,
    threshold: float,
    query_then: np.ndarray,
    costs: np.ndarray,
    remaining: float,
    correction: float,
    least: float,
    query: np.ndarray,
    used: np.ndarray,
    room: Picks,
    count: int,
) -> tuple[int, float, float]:
    """Pick for as long as the list decides and is worth scanning; return the new count and what remains."""
    n, d = terms.rows.shape
    work = _PASS_COST * n
    since = 1
    size_then = np.sqrt(dot(query_then, query_then))
    while count < room.picks.shape[0]:
        # Rounding of both scores, of the drift and of the bound itself; γ_d of a dot product is d·u.
        size = size_then + np.sqrt(dot(query, query))
        rounding = 8.0 * (d + 8) * UNIT * (longest * size + largest_offset)
        drift = np.sqrt(4.0 * squared_distance_over_4(query, query_then)) * longest + rounding
        most = affordable(remaining, correction)
        best = -np.inf
        pick = -1
        scanned = 0
        # Strict: a row outside the list could tie with the best and have the smaller index.
        decides = False
        for place in range(order.shape[0]):
            index = order[place]
            if used[index] or costs[index] > most:
                continue
            if old[index] + drift < best:
                decides = True
                break
            scanned += 1
            score = dot(terms.rows[index], query) - terms.offsets[index]
            if score > best or (score == best and index < pick):
                best = score
                pick = index
        decides = decides or threshold + drift < best
        if not decides or not terms.constants[count] + best > least:
            break
        used[pick] = True
        move_query(terms.rows[pick], query, terms.step)
        room.picks[count] = pick
        room.gains[count] = terms.constants[count] + best
        remaining, correction = subtract_cost(remaining, correction, costs[pick])
        count += 1
        work += scanned
        since += 1
        # A scan dearer than the average since the last pass, the pass included, is the last of its list.
        if scanned * since > work:
            break
    return count, remaining, correction


@compiled
def _pick_by_ratio(
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
