"""Exact greedy as maximum inner product search with a query that drifts (`query_function.py`).

A pick moves the query by step · ‖x‖ only. After one pass over all rows at q_0, rows are kept sorted by their
score; |score_t(e) - score_0(e)| <= ‖q_t - q_0‖ · max‖x‖, so at q_t the scan down the list may stop at the
first row whose old score plus that drift is below the best score found. Only when the scans grow longer
than a fresh pass would cost, or the list does not reach far enough, is a new pass made.

Every score that decides comes from `exact.dot`, as in the naive optimiser: same rows, same order, same gains.
Cost: O(passes · n d + scanned · d). Clustered vectors need few passes (36 for 5,000 picks of 50,000),
isotropic ones up to one a pick, once the query is short: then scores lie closer together than a pick moves
them. Where a list did not last, the next passes go without one, over 8-bit rows (`sketch.py`): a fifth of
a pass each. Memory about 24 n bytes, and n d for the 8-bit rows where they are needed. Of vectors on another
device a pass is a float32 product there; its error widens the bounds, and no 8-bit copy is made.
"""

import math

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.constraint import Purse, room, spend
from syllabus.selectors.functions.pairwise_sum import PairwiseSum, PairwiseSumState, constants, move_query
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.distances import squared_norms
from syllabus.selectors.numerics.fixed_order_sums import UNIT, dot, squared_distance_over_4
from syllabus.selectors.numerics.products import DeviceProducts
from syllabus.selectors.numerics.quantized_rows import QuantizedRows, RemoteRows
from syllabus.selectors.optimizers import greedy
from syllabus.selectors.optimizers.greedy import Picked, begin
from syllabus.selectors.optimizers.lazy_within import begin_within
from syllabus.selectors.task import Task

_PASS_COST = 1.5  # of a full pass, per row, in scanned rows: the pass itself plus the selection of the list
_LIST_SHARE = 16  # the list holds n / 16 rows: sorting it costs less than the pass
_LASTED = 3  # picks from one list below which it was not worth sorting
_PATIENCE = 128  # at most so many passes without a list before the next attempt


def lazy(function: PairwiseSum, task: Task) -> Picked:
    """Return the picks of greedy, their gains, and the state they end in."""
    if not function.linear:
        # No query to follow. Old gains of a submodular function bound new ones.
        return greedy.lazy(function, task) if function.submodular else greedy.naive(function, task)
    picks, gains, state = begin(function, task)
    assert isinstance(state, PairwiseSumState)
    first = len(task.first)
    left = (float(task.budget - first), 0.0)
    _greedy(function, state, task.candidates, np.ones(function.n), left, -math.inf, picks, gains, first)
    return picks, gains, state


def lazy_within(function: PairwiseSum, purse: Purse) -> Picked:
    """Return what `lazy_within.lazy_within` does where all weights are equal: costs do no more than limit."""
    picks, gains, state, left = begin_within(function, purse)
    assert isinstance(state, PairwiseSumState)
    count = _greedy(function, state, purse.candidates, purse.costs, left, 0.0, picks, gains, len(purse.first))
    return picks[:count].copy(), gains[:count].copy(), state


def _greedy(
    function: PairwiseSum,
    state: PairwiseSumState,
    candidates: NDArray[np.int64],
    costs: NDArray[np.float64],
    unspent: tuple[float, float],
    least: float,
    picks: NDArray[np.int64],
    gains: NDArray[np.float64],
    count: int,
) -> int:
    """Pick while there is room for picks, rows are affordable and gains above `least`; return the count."""
    rows, terms = function.rows, function.terms
    longest = math.sqrt(float(squared_norms(rows).max())) * (1 + 4 * UNIT)
    error = function.products.relative * longest * 1.02  # of a float32 <x, q>, for q of length 1
    used = np.ones(function.n, np.bool_)
    used[candidates] = False
    old = np.empty(function.n)
    constant = constants(function, len(picks))
    there = RemoteRows(function.products, error) if isinstance(function.products, DeviceProducts) else None
    rough: RemoteRows | QuantizedRows | None = there
    left, rest = unspent
    skip, without = 0, 0
    while count < len(picks):
        used |= costs > room(left, rest)
        if used.all():
            break
        if skip:
            rough = rough or QuantizedRows(rows, error)
            pick, score = rough.best(state.query, terms, used)
        elif there:
            pick, score = there.best(state.query, terms, used)
            there.bounds(state.query, terms, used, old)
        else:
            pick = _score_all(rows, terms, state.query, used, old)
            score = float(old[pick])
        if not constant[count] + score > least:
            break
        then = state.query.copy()  # what `old` was scored with
        picks[count], gains[count] = pick, constant[count] + score
        take(rows, pick, state.query, function.step, used)
        left, rest = spend(left, rest, float(costs[pick]))
        count += 1
        if skip:
            skip -= 1
            continue
        before = count
        order, threshold = _list_of_best(old, int(function.n - used.sum()) + 1)  # the pick is one of them
        count, left, rest = _pick_from_list(
            rows, terms, function.step, longest, order, old, threshold, then, constant, costs, left, rest,
            least, state.query, used, picks, gains, before,
        )  # fmt: skip
        without = min(2 * without + 1, _PATIENCE) if count - before < _LASTED else 0
        skip = without
    state.indices = picks[:count].tolist()
    return count


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
def take(rows: np.ndarray, pick: int, query: np.ndarray, step: float, used: np.ndarray) -> None:
    """Move a row into the set."""
    used[pick] = True
    move_query(rows[pick], query, step)


@compiled
def _pick_from_list(
    rows: np.ndarray,
    terms: np.ndarray,
    step: float,
    longest: float,
    order: np.ndarray,
    old: np.ndarray,
    threshold: float,
    query_then: np.ndarray,
    constant: np.ndarray,
    costs: np.ndarray,
    left: float,
    rest: float,
    least: float,
    query: np.ndarray,
    used: np.ndarray,
    picks: np.ndarray,
    gains: np.ndarray,
    count: int,
) -> tuple[int, float, float]:
    """Pick for as long as the list decides and is worth scanning; return the new count and what is left."""
    n, d = rows.shape
    cost = _PASS_COST * n
    since = 1
    size_then = np.sqrt(dot(query_then, query_then))
    largest_term = np.abs(terms).max()
    while count < picks.shape[0]:
        # Rounding of both scores, of the drift and of the bound itself; γ_d of a dot product is d·u.
        size = size_then + np.sqrt(dot(query, query))
        rounding_bound = 8.0 * (d + 8) * UNIT * (longest * size + largest_term)
        drift = np.sqrt(4.0 * squared_distance_over_4(query, query_then)) * longest + rounding_bound
        most = room(left, rest)
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
            score = dot(rows[index], query) - terms[index]
            if score > best or (score == best and index < pick):
                best = score
                pick = index
        if not (decides or threshold + drift < best) or not constant[count] + best > least:
            break
        take(rows, pick, query, step, used)
        picks[count] = pick
        gains[count] = constant[count] + best
        left, rest = spend(left, rest, costs[pick])
        count += 1
        cost += scanned
        since += 1
        # A scan dearer than the average since the last pass, the pass included, is the last of its list.
        if scanned * since > cost:
            break
    return count, left, rest
