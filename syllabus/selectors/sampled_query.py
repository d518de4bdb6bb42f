"""Stochastic greedy for functions whose gains are inner products with a query: `greedy.stochastic`, compiled.

The same samples, scores and ties, so the same bits; without a call into Python at each pick, which costs more
than the scores of the forty-odd rows of a sample.
"""

import numpy as np

from . import greedy
from .compiled import compiled
from .exact import dot
from .greedy import begin, sample_size
from .query_function import QueryFunction, QueryState, move_query
from .randomness import child, sample_to_front
from .set_function import SetFunction
from .task import Task


def stochastic(function: SetFunction, task: Task, key: np.uint64, epsilon: float) -> greedy.Picked:
    """Return what `greedy.stochastic` does. O(n d ln(1/ε))."""
    picks, gains, state = begin(function, task)
    if not isinstance(state, QueryState):
        return greedy.stochastic(function, task, key, epsilon)
    assert isinstance(function, QueryFunction)
    size = sample_size(function.n, task.budget, epsilon, function.sampling)
    first = len(task.first)
    scores = np.empty(task.budget)
    _run(
        function.rows, function.terms, function.step, state.query, task.candidates.copy(), size, key,
        picks, scores, first,
    )  # fmt: skip
    for t in range(first, task.budget):
        gains[t] = function.constant(t) + scores[t]
    state.indices = picks.tolist()
    return picks, gains, state


@compiled
def _run(
    rows: np.ndarray,
    terms: np.ndarray,
    step: float,
    query: np.ndarray,
    pool: np.ndarray,
    size: int,
    key: np.uint64,
    picks: np.ndarray,
    scores: np.ndarray,
    first: int,
) -> None:
    remaining = pool.shape[0]
    for t in range(first, picks.shape[0]):
        drawn = min(size, remaining)
        sample_to_front(pool, remaining, drawn, child(key, t))
        place = 0
        best = -np.inf
        for position in range(drawn):
            index = pool[position]
            score = dot(rows[index], query) - terms[index]
            if score > best or (score == best and index < pool[place]):
                best = score
                place = position
        pick = pool[place]
        picks[t] = pick
        scores[t] = best
        move_query(rows[pick], query, step)
        remaining -= 1
        pool[place], pool[remaining] = pool[remaining], pool[place]
