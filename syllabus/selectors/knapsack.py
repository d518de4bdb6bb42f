"""Rows that cost: the best set whose costs stay within a limit."""

import heapq
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import SelectionError
from .selection import Selection
from .set_function import SetFunction, State
from .validation import constraints_of, real_number


def maximize_within(
    function: SetFunction,
    costs: NDArray[np.float64],
    limit: float,
    include: Sequence[int] | NDArray[np.int64] = (),
    exclude: Sequence[int] | NDArray[np.int64] = (),
) -> Selection:
    """Return rows of large value whose costs sum to at most `limit`.

    The better of two lazy greedy runs, by gain per cost and by gain: each alone can be arbitrarily bad, the
    better is at least (1 - 1/e)/2 of the optimum for monotone submodular f (Leskovec et al., "Cost-effective
    outbreak detection in networks", 2007). A run ends when nothing affordable has a positive gain.

    Args:
      function: a submodular set function on (n, d) vectors.
      costs: (n,) finite numbers > 0, for example seconds or tokens.
      limit: > 0, in the unit of the costs.
      include: rows that are in from the beginning, paid from the limit.
      exclude: rows that are not picked.

    Returns:
      The selection; `upper_bound` is f(S) + the best fractional knapsack of the gains given S, if monotone.

    Raises:
      SelectionError: a function that is not submodular, a bad cost or limit, included rows above the limit.
    """
    caller = "maximize_within"
    if not isinstance(function, SetFunction) or not function.submodular:
        name = getattr(function, "name", type(function).__name__)
        raise SelectionError(
            f"{caller}: {name} is not submodular; costs need a function whose old gains bound"
        )
    prices = _costs_of(costs, function.n, caller)
    accepted = isinstance(limit, (int, float)) and 0 < limit < math.inf
    limit = real_number(limit, "limit", accepted, "(0, inf)", caller)
    first, candidates = constraints_of(include, exclude, function.n, function.n - len(exclude), caller)
    paid = math.fsum(prices[first])
    if paid > limit:
        raise SelectionError(f"{caller}: included rows cost {paid:g}, above limit={limit:g}")
    runs = [
        _greedy(function, first, candidates, prices, limit, weights)
        for weights in (prices, np.ones(function.n))
    ]
    indices, gains, state = max(runs, key=lambda run: run[2].value())
    objective = state.value()
    bound = None
    if function.monotone:
        bound = objective + _fractional(function, state, np.setdiff1d(candidates, indices), prices, limit)
    return Selection(indices, gains, objective, bound)


def _greedy(
    function: SetFunction,
    first: NDArray[np.int64],
    candidates: NDArray[np.int64],
    prices: NDArray[np.float64],
    limit: float,
    weights: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64], State]:
    """Pick the largest gain over weight for as long as one is affordable and positive."""
    state = function.state()
    picks, gains = first.tolist(), []
    for index in first:
        gains.append(state.add(int(index), float(state.scores(np.array([index]))[0])))
    slack = function.slack()
    left = limit - math.fsum(prices[first])
    heap = [(-math.inf, int(index)) for index in candidates]
    while heap:
        best, fresh = (0.0, -1, 0.0), []
        while heap and -heap[0][0] + slack / weights[heap[0][1]] >= best[0]:
            index = heapq.heappop(heap)[1]
            if prices[index] > left:
                continue  # what is left only shrinks: never affordable again
            scores = state.scores(np.array([index]))
            ratio = float(state.gains(scores)[0] / weights[index])
            fresh.append((-ratio, index))
            if ratio > best[0] or (ratio == best[0] and 0 <= index < best[1]):
                best = (ratio, index, float(scores[0]))
        if best[1] < 0:
            break
        picks.append(best[1])
        gains.append(state.add(best[1], best[2]))
        left = limit - math.fsum(prices[picks])
        for entry in fresh:
            if entry[1] != best[1]:
                heapq.heappush(heap, entry)
    return np.array(picks, np.int64), np.array(gains), state


def _fractional(
    function: SetFunction,
    state: State,
    outside: NDArray[np.int64],
    prices: NDArray[np.float64],
    limit: float,
) -> float:
    """Return the most that `outside` could add within the limit if its gains given S simply summed."""
    gains = np.maximum(state.gains(state.scores(outside)), 0.0) + function.slack()
    order = np.argsort(-gains / prices[outside])
    spent = np.cumsum(prices[outside][order])
    share = np.clip((limit - (spent - prices[outside][order])) / prices[outside][order], 0.0, 1.0)
    return math.fsum(gains[order] * share)


def _costs_of(costs: Any, n: int, caller: str) -> NDArray[np.float64]:
    array = np.asarray(costs)
    if array.shape != (n,) or array.dtype.kind not in "iuf":
        raise SelectionError(
            f"{caller}: costs have shape {array.shape} and dtype {array.dtype}; expected ({n},) numbers"
        )
    array = array.astype(np.float64)
    bad = np.flatnonzero(~(np.isfinite(array) & (array > 0)))
    if bad.size:
        raise SelectionError(
            f"{caller}: cost {bad[0]} is {array[bad[0]]:g}; every cost must be finite and > 0"
        )
    return array
