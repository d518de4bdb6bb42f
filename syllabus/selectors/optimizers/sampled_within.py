"""Stochastic greedy where rows cost: each pick is the best gain per weight of a sample of what is affordable.

The plain loop, for any submodular function; `sampled_query.py` and `facility_location_sampled.py` have it
compiled for theirs. Costs of 1 and a limit of k rows give the picks of `greedy.stochastic`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.constraint import Purse, affordable_to_front, room, spend
from syllabus.selectors.functions.base import SetFunction, State
from syllabus.selectors.numerics.counter_rng import stream
from syllabus.selectors.optimizers.greedy import Picked, drop, sample_size


@dataclass(eq=False)
class Walk:
    """How far a selection has come.

    Attributes:
      size: rows in a sample.
      picks, gains: room for all picks; the first `count` are made.
      pool: its first `remaining` entries are the rows to sample from.
      left, rest: what is left of the limit (`purse.spend`).
    """

    state: State
    size: int
    picks: NDArray[np.int64]
    gains: NDArray[np.float64]
    pool: NDArray[np.int64]
    remaining: int
    left: float
    rest: float = 0.0
    count: int = 0


def stochastic(function: SetFunction, purse: Purse, key: np.uint64, epsilon: float) -> Picked:
    """Return picks, gains and state; the sample of pick t is drawn under (key, t), as `greedy.stochastic`'s.

    A sample has s = ⌊n/k · ln(1/ε)⌋ rows, k the number of rows that the limit holds on average, times the
    function's `sampling`.
    """

    def pick(walk: Walk) -> None:
        while walk.count < len(walk.picks):
            most = room(walk.left, walk.rest)
            drawn, walk.remaining = affordable_to_front(
                walk.pool, walk.remaining, walk.size, stream(key, walk.count), purse.costs, most
            )
            if not drawn:
                return
            index, score = walk.state.best(walk.pool[:drawn], purse.weights)
            if not walk.state.gains(np.array([score]))[0] > 0:
                return
            _take(walk, purse, index, score)

    return walked(function, purse, epsilon, pick)


def walked(function: SetFunction, purse: Purse, epsilon: float, pick: Callable[[Walk], None]) -> Picked:
    """Return picks, gains and state of `pick`, which picks until a sample has no positive gain.

    Then all rows left are looked at; the walk is over when none of them has one.
    """
    rows = purse.rows
    state = function.state()
    walk = Walk(
        state,
        sample_size(function.n, purse.average, epsilon, function.sampling),
        np.empty(rows, np.int64),
        np.empty(rows),
        purse.candidates.copy(),
        len(purse.candidates),
        purse.limit,
    )
    while True:
        pick(walk)
        if not _pick_of_all(function, purse, walk):
            return walk.picks[: walk.count].copy(), walk.gains[: walk.count].copy(), state


def _pick_of_all(function: SetFunction, purse: Purse, walk: Walk) -> bool:
    """Pick the best of all affordable rows if its gain is positive; the hopeless ones leave the pool."""
    found = walk.pool[: walk.remaining]
    found = found[purse.costs[found] <= room(walk.left, walk.rest)]
    gains = walk.state.gains(walk.state.scores(found)) if len(found) else np.empty(0)
    hopeful = found[gains + function.rounding_bound() > 0]  # the gains of the others only fall
    walk.remaining = len(hopeful)
    walk.pool[: walk.remaining] = hopeful
    if not (gains > 0).any():
        return False
    _take(walk, purse, *walk.state.best(hopeful, purse.weights))
    return True


def _take(walk: Walk, purse: Purse, index: int, score: float) -> None:
    walk.picks[walk.count] = index
    walk.gains[walk.count] = walk.state.add(index, score)
    walk.count += 1
    walk.left, walk.rest = spend(walk.left, walk.rest, float(purse.costs[index]))
    walk.remaining = drop(walk.pool, walk.remaining, index)
