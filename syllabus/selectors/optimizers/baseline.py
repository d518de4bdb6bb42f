"""Random baselines: the mean value of uniformly drawn sets, beside which a selection is judged."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.constraint import Constraint, fill
from syllabus.selectors.functions.base import SetFunction
from syllabus.selectors.numerics.counter_rng import key_of, sample_to_front, stream
from syllabus.selectors.validation import Seed, budget_of, seed_words, whole_number

_PURPOSE = 2  # of the random keys


def random_value(function: SetFunction, budget: int, draws: int, seed: Seed) -> float:
    """Return the mean of f over `draws` uniform random sets of `budget` rows.

    What a selection is judged against: (f(S) - random) / (f(greedy) - random). Draw j depends on (seed, j)
    only.

    Args:
      function: a set function on (n, d) vectors.
      budget: 1 <= budget <= n.
      draws: how many sets, at least 1.
      seed: a whole number or a tuple of them.
    """
    budget = budget_of(budget, function.n, "random_value")
    return _mean_value(
        function, draws, seed, "random_value", lambda key: random_rows(function.n, budget, key)
    )


def random_value_within(
    function: SetFunction, costs: NDArray[np.float64], limit: float, draws: int, seed: Seed
) -> float:
    """Return the mean of f over `draws` random sets whose costs stay within `limit`.

    Each set is filled row by row, evenly from the rows that are still affordable, until none is: what
    `random_value` is to a budget. Costs of 1 give its very sets.

    Args:
      function: a set function on (n, d) vectors.
      costs: (n,) numbers within [1e-300, 1e300].
      limit: > 0, in the unit of the costs.
      draws: how many sets, at least 1.
      seed: a whole number or a tuple of them.
    """
    caller = "random_value_within"
    constraint = Constraint.of_costs(function.n, costs, limit, caller=caller)

    def drawn(key: np.uint64) -> NDArray[np.int64]:
        pool = np.arange(function.n)
        return pool[: fill(pool, key, constraint.costs, constraint.limit)]

    return _mean_value(function, draws, seed, caller, drawn)


def random_rows(n: int, size: int, key: np.uint64) -> NDArray[np.int64]:
    """Return `size` distinct rows of n, uniformly drawn under a key, (size,) int64."""
    pool = np.arange(n)
    sample_to_front(pool, n, size, key)
    return pool[:size]


def _mean_value(
    function: SetFunction,
    draws: int,
    seed: Seed,
    caller: str,
    drawn: Callable[[np.uint64], NDArray[np.int64]],
) -> float:
    draws = whole_number(draws, "draws", 1, 2**31, "[1, 2^31]", caller)
    key = key_of(seed_words(seed, caller), _PURPOSE)
    total = 0.0
    for draw in range(draws):
        total += function.value(drawn(stream(key, draw)))
    return total / draws
