"""Exact greedy graph cut as maximum inner product search with a query that drifts.

A pick moves the query by λ‖x‖ only. After one pass over all rows at q_0, rows are kept sorted by their
score; |score_t(e) - score_0(e)| <= ‖q_t - q_0‖ · max‖x‖, so at q_t the scan down the list may stop at the
first row whose old score plus that drift is below the best score found. Only when the scans grow longer
than a fresh pass would cost, or the list does not reach far enough, is a new pass made.

Every score that decides comes from `exact.dot`, as in the naive optimiser: same rows, same order, same gains.
Cost: O(passes · n d + scanned · d); memory about 24 n bytes. Clustered vectors need few passes (36 for 5,000
picks of 50,000), isotropic ones up to one a pick: their scores lie closer together than λ. Where a list did
not last, the next passes go without one.
"""

import math

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .exact import UNIT, distance, dot
from .graph_cut import GraphCut, GraphCutState, move_query
from .nearest import squared_norms

_PASS_COST = 1.5  # of a full pass, per row, in scanned rows: the pass itself plus the selection of the list
_LIST_SHARE = 16  # the list holds n / 16 rows: sorting it costs less than the pass
_LASTED = 3  # picks from one list below which it was not worth sorting
_PATIENCE = 32  # at most so many passes without a list before the next attempt


def lazy(function: GraphCut, budget: int) -> tuple[NDArray[np.int64], NDArray[np.float64], GraphCutState]:
    """Return the picks of greedy, their gains, and the state they end in."""
    rows, terms = function.rows, function.self_terms
    state = GraphCutState(function)
    longest = math.sqrt(float(squared_norms(rows).max())) * (1 + 4 * UNIT)
    used = np.zeros(function.n, np.bool_)
    old = np.empty(function.n)
    picks = np.empty(budget, np.int64)
    scores = np.empty(budget)
    count, skip, without = 0, 0, 0
    while count < budget:
        pick = int(_score_all(rows, terms, state.query, used, old))
        then = state.query.copy()  # what `old` was scored with
        take(rows, pick, state.query, state.picked, function.trade_off, used)
        picks[count], scores[count] = pick, old[pick]
        count += 1
        if skip:
            skip -= 1
            continue
        order, threshold = _list_of_best(old, function.n - count)
        before = count
        count = _pick_from_list(
            rows, terms, function.trade_off, longest, order, old, threshold, then,
            state.query, state.picked, used, picks, scores, count,
        )  # fmt: skip
        without = min(2 * without + 1, _PATIENCE) if count - before < _LASTED else 0
        skip = without
    state.size = budget
    gains = np.array([function.constant(size) for size in range(budget)]) + scores
    return picks, gains, state


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
    rows: np.ndarray, self_terms: np.ndarray, query: np.ndarray, used: np.ndarray, scores: np.ndarray
) -> int:
    """Write the scores of all rows, -inf for used ones, and return the best, the smallest index of equals."""
    best = -np.inf
    pick = -1
    for i in range(rows.shape[0]):
        scores[i] = -np.inf
        if not used[i]:
            scores[i] = dot(rows[i], query) - self_terms[i]
            if scores[i] > best:
                best = scores[i]
                pick = i
    return pick


@compiled
def take(
    rows: np.ndarray, pick: int, query: np.ndarray, picked: np.ndarray, trade_off: float, used: np.ndarray
) -> None:
    """Move a row into the set."""
    used[pick] = True
    move_query(rows[pick], query, picked, trade_off)


@compiled
def _pick_from_list(
    rows: np.ndarray,
    self_terms: np.ndarray,
    trade_off: float,
    longest: float,
    order: np.ndarray,
    old: np.ndarray,
    threshold: float,
    query_then: np.ndarray,
    query: np.ndarray,
    picked: np.ndarray,
    used: np.ndarray,
    picks: np.ndarray,
    scores: np.ndarray,
    count: int,
) -> int:
    """Pick for as long as the list decides and is worth scanning; return the new count."""
    n, d = rows.shape
    cost = _PASS_COST * n
    since = 1
    size_then = np.sqrt(dot(query_then, query_then))
    while count < picks.shape[0]:
        # Rounding of both scores, of the drift and of the bound itself; γ_d of a dot product is d·u.
        size = size_then + np.sqrt(dot(query, query))
        slack = 8.0 * (d + 8) * UNIT * (longest * size + trade_off * longest * longest)
        drift = np.sqrt(4.0 * distance(query, query_then)) * longest + slack
        best = -np.inf
        pick = -1
        scanned = 0
        # Strict: a row outside the list could tie with the best and have the smaller index.
        decides = False
        for place in range(order.shape[0]):
            index = order[place]
            if used[index]:
                continue
            if old[index] + drift < best:
                decides = True
                break
            scanned += 1
            score = dot(rows[index], query) - self_terms[index]
            if score > best or (score == best and index < pick):
                best = score
                pick = index
        if not (decides or threshold + drift < best):
            break
        take(rows, pick, query, picked, trade_off, used)
        picks[count] = pick
        scores[count] = best
        count += 1
        cost += scanned
        since += 1
        # A scan dearer than the average since the last pass, the pass included, is the last of its list.
        if scanned * since > cost:
            break
    return count
