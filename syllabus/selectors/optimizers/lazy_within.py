"""Lazy greedy where rows cost: the largest gain per weight of what is affordable, old gains as bounds."""

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.constraint import Purse, room, spend
from syllabus.selectors.functions.base import SetFunction, State, best_place
from syllabus.selectors.optimizers.greedy import RELATIVE, Picked

_NARROWEST = 8  # candidates of the largest old ratios that are scored first


def lazy_within(function: SetFunction, purse: Purse) -> Picked:
    """Return picks, gains and state of greedy by gain per weight, for a submodular function.

    As `greedy.lazy`: a candidate is scored again only where its old ratio reaches the best found, in blocks
    that grow. It ends when nothing affordable has a positive gain.
    """
    picks, gains, state, (left, rest) = begin_within(function, purse)
    count, rounding_bound = len(purse.first), function.increase_bound()
    candidates = purse.candidates[purse.costs[purse.candidates] <= room(left, rest)]
    scores = state.scores(candidates) if len(candidates) else np.empty(0)
    bounds = state.gains(scores)
    while len(candidates):
        weights = purse.weights[candidates]
        fresh = np.zeros(len(candidates), np.bool_)
        best, width = 0.0, _NARROWEST
        stale = np.flatnonzero(bounds + rounding_bound > 0)
        while len(stale):
            if width < len(stale):
                order = np.argpartition(-bounds[stale] / weights[stale], width)
                block, stale = stale[order[:width]], stale[order[width:]]
            else:
                block, stale = stale, stale[:0]
            scores[block] = state.scores(candidates[block])
            bounds[block] = state.gains(scores[block])
            fresh[block] = True
            best = max(best, float((bounds[block] / weights[block]).max()))
            stale = stale[(bounds[stale] + rounding_bound) / weights[stale] >= best * (1 - RELATIVE)]
            width *= 4
        if best <= 0:
            break
        known = np.flatnonzero(fresh)
        place = int(known[best_place(candidates[known], scores[known], bounds[known], weights[known])])
        picks[count] = candidates[place]
        gains[count] = state.add(int(picks[count]), float(scores[place]))
        left, rest = spend(left, rest, float(purse.costs[picks[count]]))
        count += 1
        kept = purse.costs[candidates] <= room(left, rest)
        kept[place] = False
        candidates, scores, bounds = candidates[kept], scores[kept], bounds[kept]
    return picks[:count].copy(), gains[:count].copy(), state


def begin_within(
    function: SetFunction, purse: Purse
) -> tuple[NDArray[np.int64], NDArray[np.float64], State, tuple[float, float]]:
    """Return room for the picks and their gains, the state with the first rows added, and what is left."""
    state = function.state()
    picks, gains = np.empty(purse.rows, np.int64), np.empty(purse.rows)
    left, rest = purse.limit, 0.0
    for t, index in enumerate(purse.first):
        picks[t] = index
        gains[t] = state.add(int(index), float(state.scores(purse.first[t : t + 1])[0]))
        left, rest = spend(left, rest, float(purse.costs[index]))
    return picks, gains, state, (left, rest)
