"""Naive and stochastic greedy over any set function."""

import math

import numpy as np
from numpy.typing import NDArray

from .randomness import sample_to_front, stream
from .set_function import SetFunction, State


def naive(function: SetFunction, budget: int) -> tuple[NDArray[np.int64], NDArray[np.float64], State]:
    """Return the picks of greedy, their gains, and the state: every candidate scored at every pick.

    The reference for the others. O(n budget) gains.
    """
    state = function.state()
    candidates = np.arange(function.n)
    picks = np.empty(budget, np.int64)
    gains = np.empty(budget)
    for t in range(budget):
        scores = state.scores(candidates)
        place = int(scores.argmax())  # the first of the largest: the smallest index
        picks[t] = candidates[place]
        gains[t] = state.add(int(picks[t]), float(scores[place]))
        candidates = np.delete(candidates, place)
    return picks, gains, state


def sample_size(n: int, budget: int, epsilon: float) -> int:
    """Return s = ⌊n/k · ln(1/ε)⌋, at least 1: each pick looks at a sample of s rows."""
    return max(1, math.floor(n / budget * math.log(1 / epsilon)))


def stochastic(
    function: SetFunction, budget: int, key: np.uint64, epsilon: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], State]:
    """Return picks, gains and state of stochastic greedy: each pick is the best of a fresh random sample.

    Mirzasoleiman et al., "Lazier than lazy greedy", 2015 (arXiv 1409.7938): f(S) >= (1 - 1/e - ε) f(OPT) in
    expectation for monotone submodular f. The sample of pick t is drawn under the key (key, t) from the
    rows not yet in the set, without repeats. O(n ln(1/ε)) gains.
    """
    state = function.state()
    size = sample_size(function.n, budget, epsilon)
    pool = np.arange(function.n)
    picks = np.empty(budget, np.int64)
    gains = np.empty(budget)
    for t in range(budget):
        remaining = function.n - t
        drawn = min(size, remaining)
        sample_to_front(pool, remaining, drawn, stream(key, t))
        sample = pool[:drawn]
        pick, score = state.best(sample)
        picks[t] = pick
        gains[t] = state.add(pick, score)
        place = int(np.flatnonzero(sample == pick)[0])
        pool[place], pool[remaining - 1] = pool[remaining - 1], pool[place]
    return picks, gains, state
