"""Set functions × optimisers: `maximize` and the table of the pairs that are right.

Ties: of candidates with equal gains the smallest index is picked, by every optimiser alike (`exact.py`
says what makes gains equal). Results do not depend on the number of threads of torch or BLAS.
"""

from typing import Any

import numpy as np

from . import facility_location_lazy, graph_cut_lazy
from .disparity_min import DisparityMin
from .errors import SelectionError
from .facility_location import FacilityLocation
from .farthest_first import farthest_first
from .graph_cut import GraphCut
from .greedy import naive, stochastic
from .randomness import key_of, sample_to_front, stream
from .selection import Selection
from .set_function import SetFunction
from .validation import Seed, budget_of, real_number, seed_words

# Disparity-min is not submodular: a stale gain is no bound, and lazy greedy would return another set without
# a word. Its exact greedy is as fast as a lazy one (`farthest_first.py`).
_SOLVERS: dict[tuple[type[SetFunction], str], Any] = {
    (GraphCut, "naive"): naive,
    (GraphCut, "lazy"): graph_cut_lazy.lazy,
    (GraphCut, "stochastic"): stochastic,
    (FacilityLocation, "naive"): naive,
    (FacilityLocation, "lazy"): facility_location_lazy.lazy,
    (FacilityLocation, "stochastic"): stochastic,
    (DisparityMin, "naive"): farthest_first,
    (DisparityMin, "stochastic"): stochastic,
}

OPTIMIZERS = tuple(sorted({name for _, name in _SOLVERS}))
FUNCTIONS: dict[str, type[SetFunction]] = {
    function.name: function for function in (DisparityMin, FacilityLocation, GraphCut)
}
_STOCHASTIC_GREEDY = 1  # purpose number of its random keys
_RANDOM_VALUE = 2


def valid_optimizers(function: type[SetFunction]) -> tuple[str, ...]:
    """Return the names of the optimisers that are exact, or honest about chance, for a set function."""
    return tuple(sorted(name for kind, name in _SOLVERS if kind is function))


def maximize(
    function: SetFunction,
    budget: int,
    optimizer: str = "lazy",
    seed: Seed | None = None,
    epsilon: float = 0.01,
) -> Selection:
    """Return `budget` rows picked greedily, with gains, objective and a certificate.

    Args:
      function: a set function on (n, d) vectors.
      budget: 1 <= budget <= n.
      optimizer: "naive" (every gain at every pick; for disparity-min exact by blocks), "lazy" (the same
        rows, order and gains, sooner), or "stochastic" (needs `seed`).
      seed: a whole number or a tuple of them; only for, and required by, "stochastic".
      epsilon: of stochastic greedy, in (0, 1): samples of ⌊n/budget · ln(1/ε)⌋ rows.

    Raises:
      SelectionError: a budget outside [1, n], an unknown optimiser, a pair that is not valid, a missing seed.

    >>> import numpy as np
    >>> rows = np.array([[1, 0], [0.8, 0.6], [-1, 0], [0, 1]], np.float32)
    >>> maximize(DisparityMin(rows), 3, optimizer="naive").indices.tolist()
    [0, 2, 3]
    """
    solver = _solver(function, optimizer)
    budget = budget_of(budget, function.n, function.name)
    if optimizer == "stochastic":
        return _explore(function, budget, range(1), seed, epsilon)[0]
    if seed is not None:
        raise SelectionError(f"maximize: seed={seed!r} was given, but optimizer {optimizer!r} uses no chance")
    indices, gains, state, *bound = solver(function, budget)
    objective = state.value()
    upper = bound[0] if bound else function.upper_bound(indices, objective)
    return Selection(indices, gains, objective, upper)


def explore_subsets(
    function: SetFunction, budget: int, numbers: range, seed: Seed | None, epsilon: float
) -> list[Selection]:
    """Return the stochastic-greedy subsets of the given numbers; see `sge.explore`."""
    _solver(function, "stochastic")
    return _explore(function, budget_of(budget, function.n, function.name), numbers, seed, epsilon)


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
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        raise SelectionError(f"random_value: draws={draws!r} is outside [1, inf)")
    key = key_of(seed_words(seed, "random_value"), _RANDOM_VALUE)
    total = 0.0
    for draw in range(draws):
        total += function.value(random_rows(function.n, budget, stream(key, draw)))
    return total / draws


def random_rows(n: int, size: int, key: np.uint64) -> np.ndarray:
    """Return `size` distinct rows of n, uniformly drawn under a key, (size,) int64."""
    pool = np.arange(n)
    sample_to_front(pool, n, size, key)
    return pool[:size]


def _explore(
    function: SetFunction, budget: int, numbers: range, seed: Seed | None, epsilon: float
) -> list[Selection]:
    words = seed_words(seed, "stochastic greedy")
    accepted = isinstance(epsilon, (int, float)) and 0 < epsilon < 1
    epsilon = real_number(epsilon, "epsilon", accepted, "(0, 1)", "stochastic greedy")
    key = key_of(words, _STOCHASTIC_GREEDY)
    selections = []
    for number in numbers:
        indices, gains, state = stochastic(function, budget, stream(key, number), epsilon)
        objective = state.value()
        upper = None if function.bound_needs_greedy else function.upper_bound(indices, objective)
        selections.append(Selection(indices, gains, objective, upper))
    return selections


def _solver(function: SetFunction, optimizer: str) -> Any:
    if not isinstance(function, SetFunction):
        raise SelectionError(f"maximize: function is a {type(function).__name__}; expected a set function")
    if optimizer not in OPTIMIZERS:
        raise SelectionError(f"optimizer {optimizer!r} is unknown; known: {', '.join(OPTIMIZERS)}")
    solver = _SOLVERS.get((type(function), optimizer))
    if solver is None:
        valid = ", ".join(valid_optimizers(type(function)))
        raise SelectionError(f"{function.name}: optimizer {optimizer!r} is not exact for it; valid: {valid}")
    return solver
