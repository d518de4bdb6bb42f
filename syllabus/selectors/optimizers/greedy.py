"""Naive, lazy, stochastic and lazier-than-lazy greedy over any set function."""

import math

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.functions.base import SetFunction, State
from syllabus.selectors.numerics.counter_rng import sample_to_front, stream
from syllabus.selectors.task import Task

Picked = tuple[NDArray[np.int64], NDArray[np.float64], State]

_NARROWEST = 8  # candidates of the largest old gains that are scored first
RELATIVE = 1e-14  # of a gain: what the rounding of a sum of parts may add to it
_BLOCK = 16  # sampled rows scored together


def naive(function: SetFunction, task: Task) -> Picked:
    """Return the picks of greedy, their gains, and the state: every candidate scored at every pick.

    The reference for the others. O(n budget) gains.
    """
    picks, gains, state = begin(function, task)
    candidates = task.candidates
    for t in range(len(task.first), task.budget):
        scores = state.scores(candidates)
        place = int(scores.argmax())  # the first of the largest: the smallest index
        picks[t] = candidates[place]
        gains[t] = state.add(int(picks[t]), float(scores[place]))
        candidates = np.delete(candidates, place)
    return picks, gains, state


def lazy(function: SetFunction, task: Task) -> Picked:
    """Return the same as `naive` for a submodular function (Minoux, "Accelerated greedy algorithms", 1978).

    An old gain bounds a new one, so a candidate is scored again only where its old gain reaches the best
    found. One gain of every candidate, then as many as bounds leave open: first those of the largest bounds,
    then ever more at a time, so that where bounds rule out nothing a pick costs little more than `naive`'s.
    """
    picks, gains, state = begin(function, task)
    rounding_bound = function.increase_bound()
    candidates = task.candidates
    bounds = state.gains(state.scores(candidates))
    for t in range(len(task.first), task.budget):
        pick, best, best_gain, width = -1, -math.inf, -math.inf, _NARROWEST
        stale = np.arange(len(candidates))
        while len(stale):
            if width < len(stale):
                order = np.argpartition(-bounds[stale], width)
                block, stale = stale[order[:width]], stale[order[width:]]
            else:
                block, stale = stale, stale[:0]
            scores = state.scores(candidates[block])
            bounds[block] = state.gains(scores)
            pick, best = better(pick, best, candidates[block], scores)
            best_gain = max(best_gain, float(bounds[block].max()))
            stale = stale[bounds[stale] + rounding_bound >= best_gain - RELATIVE * abs(best_gain)]
            width *= 4
        picks[t] = pick
        gains[t] = state.add(pick, best)
        place = int(np.searchsorted(candidates, pick))
        candidates, bounds = np.delete(candidates, place), np.delete(bounds, place)
    return picks, gains, state


def sample_size(n: int, budget: float, epsilon: float, factor: float = 1.0) -> int:
    """Return s = ⌊factor · n/k · ln(1/ε)⌋, at least 1: each pick looks at a sample of s rows."""
    return max(1, math.floor(factor * (n / budget) * math.log(1 / epsilon)))


def stochastic(function: SetFunction, task: Task, key: np.uint64, epsilon: float) -> Picked:
    """Return picks, gains and state of stochastic greedy: each pick is the best of a fresh random sample.

    Mirzasoleiman et al., "Lazier than lazy greedy", 2015 (arXiv 1409.7938): f(S) >= (1 - 1/e - ε) f(OPT) in
    expectation for monotone submodular f; a function may ask for larger samples (`sampling`). The sample of
    pick t is drawn under the key (key, t) from the rows not yet in the set, without repeats. O(n ln(1/ε))
    gains.
    """
    picks, gains, state = begin(function, task)
    size = sample_size(function.n, task.budget, epsilon, function.sampling)
    pool = task.candidates.copy()
    remaining = len(pool)
    for t in range(len(task.first), task.budget):
        drawn = min(size, remaining)
        sample_to_front(pool, remaining, drawn, stream(key, t))
        sample = pool[:drawn]
        pick, score = state.best(sample)
        picks[t] = pick
        gains[t] = state.add(pick, score)
        remaining = drop(pool, remaining, pick)
    return picks, gains, state


def lazier(function: SetFunction, task: Task, key: np.uint64, epsilon: float) -> Picked:
    """Return picks, gains and state of a stochastic greedy whose samples old gains make larger.

    Rows come in random order. One whose old gain is below the best found cannot win and is passed over, which
    costs nothing; the pick is made when s = ⌊n/k · ln(1/ε)⌋ rows in a row were scored without a better one.
    So the rows looked at contain a sample of at least s, and the promise of `stochastic` holds; for facility
    location at ε = 0.01 the normalised gain is .97-1 instead of .84-.98, at about 1.3 times the scored rows.
    The subsets of different seeds are more alike; for graph cut they may be the same.
    """
    picks, gains, state = begin(function, task)
    size = sample_size(function.n, task.budget, epsilon)
    rounding_bound = function.rounding_bound()
    bounds = np.full(function.n, math.inf)
    pool = task.candidates.copy()
    remaining = len(pool)
    for t in range(len(task.first), task.budget):
        key_of_pick = stream(key, t)
        pick, best, best_gain, patience, at, draw = -1, -math.inf, -math.inf, size, 0, 64
        while at < remaining and patience > 0:
            drawn = min(draw, remaining - at)
            sample_to_front(pool[at:], remaining - at, drawn, stream(key_of_pick, at))
            rows = pool[at : at + drawn]
            at, draw = at + drawn, 2 * draw
            while patience > 0:
                rows = rows[bounds[rows] + rounding_bound >= best_gain]
                block, rows = rows[: min(_BLOCK, patience)], rows[min(_BLOCK, patience) :]
                if not len(block):
                    break
                scores = state.scores(block)
                bounds[block] = state.gains(scores)
                before = pick
                pick, best = better(pick, best, block, scores)
                best_gain = max(best_gain, float(bounds[block].max()))
                patience -= len(block)
                if pick != before:
                    patience = size - (len(block) - 1 - int(scores.argmax()))
        picks[t] = pick
        gains[t] = state.add(pick, best)
        remaining = drop(pool, remaining, pick)
    return picks, gains, state


def begin(function: SetFunction, task: Task) -> Picked:
    """Return room for the picks and their gains, and the state, with the rows that come first added."""
    state = function.state()
    state.reserve(task.budget)
    picks = np.empty(task.budget, np.int64)
    gains = np.empty(task.budget)
    for t, index in enumerate(task.first):
        picks[t] = index
        gains[t] = state.add(int(index), float(state.scores(task.first[t : t + 1])[0]))
    return picks, gains, state


def better(
    pick: int, best: float, candidates: NDArray[np.int64], scores: NDArray[np.float64]
) -> tuple[int, float]:
    """Return the best of (pick, best) and the candidates: largest score, then smallest index."""
    largest = float(scores.max())
    if largest < best:
        return pick, best
    index = int(candidates[scores == largest].min())
    return (index, largest) if largest > best or index < pick else (pick, best)


def drop(pool: NDArray[np.int64], remaining: int, pick: int) -> int:
    """Move `pick` behind the remaining rows of the pool; return how many remain."""
    place = int(np.flatnonzero(pool[:remaining] == pick)[0])
    pool[place], pool[remaining - 1] = pool[remaining - 1], pool[place]
    return remaining - 1
