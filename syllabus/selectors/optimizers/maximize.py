"""Set functions × optimisers: `maximize` and the table of the pairs that are right.

Ties: of candidates with equal gains the smallest index is picked, by every optimiser alike (`exact.py`
says what makes gains equal). Results do not depend on the number of threads of torch or BLAS.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.constraint import Purse, fill, purse_of
from syllabus.selectors.errors import SelectionError
from syllabus.selectors.functions.base import SetFunction
from syllabus.selectors.functions.conditional_gain import FacilityLocationConditionalGain
from syllabus.selectors.functions.disparity_min import DisparityMin
from syllabus.selectors.functions.disparity_sum import DisparitySum
from syllabus.selectors.functions.facility_location import FacilityLocation
from syllabus.selectors.functions.feature_based import FeatureBased
from syllabus.selectors.functions.graph_cut import GraphCut
from syllabus.selectors.functions.log_determinant import LogDeterminant
from syllabus.selectors.functions.mixture import Mixture
from syllabus.selectors.functions.mutual_information import FacilityLocationMutualInformation
from syllabus.selectors.functions.probabilistic_set_cover import ProbabilisticSetCover
from syllabus.selectors.functions.saturated_coverage import SaturatedCoverage
from syllabus.selectors.functions.set_cover import SetCover
from syllabus.selectors.functions.sparse_facility_location import SparseFacilityLocation
from syllabus.selectors.numerics.counter_rng import key_of, sample_to_front, stream
from syllabus.selectors.optimizers import (
    facility_location_lazy,
)
from syllabus.selectors.optimizers import (
    facility_location_stochastic as facility_location_sampled,
)
from syllabus.selectors.optimizers import (
    pairwise_sum_lazy as drifting,
)
from syllabus.selectors.optimizers import (
    pairwise_sum_stochastic as sampled_query,
)
from syllabus.selectors.optimizers.farthest_first import farthest_first
from syllabus.selectors.optimizers.greedy import Picked, lazier, lazy, naive, stochastic
from syllabus.selectors.selection import Selection
from syllabus.selectors.task import Task
from syllabus.selectors.validation import (
    Seed,
    budget_of,
    constraints_of,
    real_number,
    seed_words,
    whole_number,
)

# The submodular functions, each with its lazy optimiser.
_LAZY: dict[type[SetFunction], Any] = {
    FacilityLocation: facility_location_lazy.lazy,
    FacilityLocationConditionalGain: facility_location_lazy.lazy,
    FacilityLocationMutualInformation: lazy,
    FeatureBased: lazy,
    GraphCut: drifting.lazy,
    LogDeterminant: lazy,
    Mixture: lazy,
    ProbabilisticSetCover: lazy,
    SaturatedCoverage: lazy,
    SetCover: lazy,
    SparseFacilityLocation: lazy,
}
# Disparity-min and -sum are not submodular: an old gain is no bound, and lazy greedy would return another set
# without a word. Their exact greedy is as fast: by blocks of distances (`farthest_first.py`), and by the
# query (`drifting.py`, which needs no submodularity).
_SOLVERS: dict[tuple[type[SetFunction], str], Any] = {
    (DisparityMin, "naive"): farthest_first,
    (DisparityMin, "stochastic"): stochastic,
    (DisparitySum, "naive"): naive,
    (DisparitySum, "lazy"): drifting.lazy,
    (DisparitySum, "stochastic"): sampled_query.stochastic,
    **{(kind, "lazy"): solver for kind, solver in _LAZY.items()},
    **{
        (kind, name): solver
        for kind in _LAZY
        for name, solver in (("naive", naive), ("stochastic", stochastic), ("lazier", lazier))
    },
    # The same as `stochastic`, compiled.
    (FacilityLocation, "stochastic"): facility_location_sampled.stochastic,
    (FacilityLocationConditionalGain, "stochastic"): facility_location_sampled.stochastic,
    (GraphCut, "stochastic"): sampled_query.stochastic,
}

OPTIMIZERS = tuple(sorted({name for _, name in _SOLVERS}))
CHANCE = ("lazier", "stochastic")
FUNCTIONS: dict[str, type[SetFunction]] = {
    function.name: function
    for function in (
        DisparityMin,
        DisparitySum,
        FacilityLocation,
        FacilityLocationConditionalGain,
        FacilityLocationMutualInformation,
        FeatureBased,
        GraphCut,
        LogDeterminant,
        ProbabilisticSetCover,
        SaturatedCoverage,
        SetCover,
        SparseFacilityLocation,
    )
}
_STOCHASTIC_GREEDY = 1  # purpose number of its random keys
_RANDOM_VALUE = 2


def valid_optimizers(function: type[SetFunction] | SetFunction) -> tuple[str, ...]:
    """Return the names of the optimisers that are exact, or honest about chance, for a set function."""
    kind = function if isinstance(function, type) else type(function)
    return tuple(
        sorted(
            name
            for (known, name), solver in _SOLVERS.items()
            if known is kind
            and (solver not in (lazy, lazier) or isinstance(function, type) or function.submodular)
        )
    )


def maximize(
    function: SetFunction,
    budget: int,
    optimizer: str = "lazy",
    seed: Seed | None = None,
    epsilon: float = 0.01,
    include: Sequence[int] | NDArray[np.int64] = (),
    exclude: Sequence[int] | NDArray[np.int64] = (),
) -> Selection:
    """Return `budget` rows picked greedily, with gains, objective and a certificate.

    Args:
      function: a set function on (n, d) vectors.
      budget: 1 <= budget <= n.
      optimizer: "naive" (every gain at every pick; for disparity-min exact by blocks), "lazy" (the same
        rows, order and gains, sooner), "stochastic", or "lazier" (its samples made larger by old gains).
        `valid_optimizers` has those of a function.
      seed: a whole number or a tuple of them; only for, and required by, "stochastic" and "lazier".
      epsilon: of these two, in (0, 1): samples of ⌊n/budget · ln(1/ε)⌋ rows, for
        "stochastic" times the function's `sampling`: 1.5 for facility location, else 1.
      include: distinct rows that are in the selection from the beginning; they come first, in this order, and
        count against the budget.
      exclude: rows that are not picked.

    Raises:
      SelectionError: a budget outside [1, n], an unknown optimiser, a pair that is not valid, a missing seed.

    >>> import numpy as np
    >>> rows = np.array([[1, 0], [0.8, 0.6], [-1, 0], [0, 1]], np.float32)
    >>> maximize(DisparityMin(rows), 3, optimizer="naive").indices.tolist()
    [0, 2, 3]
    """
    solver = _solver(function, optimizer)
    budget = budget_of(budget, function.n, function.name)
    task = Task(budget, *constraints_of(include, exclude, function.n, budget, "maximize"))
    if optimizer in CHANCE:
        return _explore(function, task, optimizer, range(1), seed, epsilon)[0]
    if seed is not None:
        raise SelectionError(f"maximize: seed={seed!r} was given, but optimizer {optimizer!r} uses no chance")
    indices, gains, state, *bound = solver(function, task)
    objective = state.value()
    del state  # the bound may need one of its own
    if bound:
        return Selection(indices, gains, objective, bound[0])
    held = not (function.bound_needs_greedy and len(task.first))
    return Selection(indices, gains, objective, function.upper_bound(indices, objective) if held else None)


def explore_subsets(
    function: SetFunction, budget: int, optimizer: str, numbers: range, seed: Seed | None, epsilon: float
) -> list[Selection]:
    """Return the subsets of the given numbers; see `sge.explore`."""
    _solver(function, optimizer)
    if optimizer not in CHANCE:
        raise SelectionError(f"explore: optimizer {optimizer!r} uses no chance; valid: {', '.join(CHANCE)}")
    task = Task.free(function.n, budget_of(budget, function.n, function.name))
    return _explore(function, task, optimizer, numbers, seed, epsilon)


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
    caller, everything = "random_value_within", np.arange(function.n)
    purse = purse_of(costs, limit, 0, everything[:0], everything, function.n, caller)

    def drawn(key: np.uint64) -> NDArray[np.int64]:
        pool = np.arange(function.n)
        return pool[: fill(pool, key, purse.costs, purse.limit)]

    return _mean_value(function, draws, seed, caller, drawn)


def _mean_value(
    function: SetFunction,
    draws: int,
    seed: Seed,
    caller: str,
    drawn: Callable[[np.uint64], NDArray[np.int64]],
) -> float:
    draws = whole_number(draws, "draws", 1, 2**31, "[1, 2^31]", caller)
    key = key_of(seed_words(seed, caller), _RANDOM_VALUE)
    total = 0.0
    for draw in range(draws):
        total += function.value(drawn(stream(key, draw)))
    return total / draws


def random_rows(n: int, size: int, key: np.uint64) -> np.ndarray:
    """Return `size` distinct rows of n, uniformly drawn under a key, (size,) int64."""
    pool = np.arange(n)
    sample_to_front(pool, n, size, key)
    return pool[:size]


def _explore(
    function: SetFunction, task: Task, optimizer: str, numbers: range, seed: Seed | None, epsilon: float
) -> list[Selection]:
    key, epsilon = chance_of(seed, epsilon, f"{optimizer} greedy")
    solver = _solver(function, optimizer)
    return subsets_of(function, numbers, key, lambda own: solver(function, task, own, epsilon))


def chance_of(seed: Seed | None, epsilon: float, caller: str) -> tuple[np.uint64, float]:
    """Return the key of stochastic greedy under a seed, and its ε, checked."""
    key = key_of(seed_words(seed, caller), _STOCHASTIC_GREEDY)
    accepted = isinstance(epsilon, (int, float)) and 0 < epsilon < 1
    return key, real_number(epsilon, "epsilon", accepted, "(0, 1)", caller)


def subsets_of(
    function: SetFunction,
    numbers: range,
    key: np.uint64,
    solve: Callable[[np.uint64], Picked],
    purse: Purse | None = None,
) -> list[Selection]:
    """Return the subsets of the given numbers, each picked under its own key."""
    selections: list[Selection] = []
    upper: float | None = None
    for number in numbers:
        indices, gains, state = solve(stream(key, number))
        objective = state.value()
        del state  # as above
        # That no other set has a larger f is no fact about the subset: the first one's serves all.
        if not (selections or function.bound_needs_greedy):
            upper = function.upper_bound(indices, objective, purse)
        selections.append(Selection(indices, gains, objective, upper))
    return selections


def _solver(function: SetFunction, optimizer: str) -> Any:
    if not isinstance(function, SetFunction):
        raise SelectionError(f"maximize: function is a {type(function).__name__}; expected a set function")
    if optimizer not in OPTIMIZERS:
        raise SelectionError(f"optimizer {optimizer!r} is unknown; known: {', '.join(OPTIMIZERS)}")
    solver = _SOLVERS.get((type(function), optimizer))
    # Whether old gains bound new ones depends on what a mixture is made of.
    if solver is None or (solver in (lazy, lazier) and not function.submodular):
        valid = ", ".join(valid_optimizers(function))
        raise SelectionError(
            f"{function.name}: optimizer {optimizer!r} needs a submodular function; valid: {valid}"
        )
    return solver
