"""Maximisation of set functions within a budget of rows, or within a limit on what rows cost.

Ties: of candidates with equal gains the smallest index is picked, by every optimiser alike
(`fixed_order_sums.py` says what makes gains equal). Results do not depend on the number of threads of torch
or BLAS.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.constraint import Constraint
from syllabus.selectors.errors import SelectionError
from syllabus.selectors.functions.base import SetFunction
from syllabus.selectors.optimizers.dispatch import STOCHASTIC, solver_of, solver_within
from syllabus.selectors.optimizers.explore import subsets_of
from syllabus.selectors.selection import Selection
from syllabus.selectors.validation import Seed, budget_of, shown


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
    >>> from syllabus.selectors import DisparityMin
    >>> rows = np.array([[1, 0], [0.8, 0.6], [-1, 0], [0, 1]], np.float32)
    >>> maximize(DisparityMin(rows), 3, optimizer="naive").indices.tolist()
    [0, 2, 3]
    """
    solver = solver_of(function, optimizer)
    budget = budget_of(budget, function.n, function.name)
    constraint = Constraint.of_rows(function.n, budget, include, exclude, "maximize")
    if optimizer in STOCHASTIC:
        caller = f"{optimizer} greedy"
        return subsets_of(function, constraint, solver, range(1), seed, epsilon, caller)[0]
    if seed is not None:
        raise SelectionError(
            f"maximize: seed={shown(seed)} was given, but optimizer {optimizer!r} uses no chance"
        )
    indices, gains, state, bound = solver(function, constraint)
    objective = state.value()
    del state  # the bound may need one of its own
    if bound is None and not (function.bound_needs_greedy and len(constraint.included)):
        bound = function.upper_bound(indices, objective, constraint)
    return Selection(indices, gains, objective, bound)


def maximize_within(
    function: SetFunction,
    costs: NDArray[np.float64],
    limit: float,
    include: Sequence[int] | NDArray[np.int64] = (),
    exclude: Sequence[int] | NDArray[np.int64] = (),
    power: float = 1.0,
) -> Selection:
    """Return rows of large value whose costs sum to at most `limit`.

    The better of two lazy greedy runs, by gain / cost ** power and by gain: each alone can be arbitrarily
    bad; with power 1 the better is at least (1 - 1/e)/2 of the optimum for monotone submodular f (Leskovec et
    al., "Cost-effective outbreak detection in networks", 2007). A run ends when nothing affordable has a
    positive gain; ties go to the smallest index.

    Args:
      function: a submodular set function on (n, d) vectors.
      costs: (n,) numbers within [1e-300, 1e300], for example seconds or tokens.
      limit: > 0, in the unit of the costs.
      include: rows that are in from the beginning, paid from the limit.
      exclude: rows that are not picked.
      power: >= 0; with 0 there is one run.

    Returns:
      The selection; `upper_bound` is f(S) + the best fractional knapsack of the gains given S, if monotone.

    Raises:
      SelectionError: a function that is not submodular, a bad cost, limit or power, included rows above the
        limit.
    """
    solver = solver_within(function, "lazy", "maximize_within")
    constraint = Constraint.of_costs(function.n, costs, limit, power, include, exclude)
    divisors = constraint.divisors[constraint.candidates]
    equal = len(divisors) == 0 or np.ptp(divisors) == 0
    tried = [constraint.by_gain()] if equal else [constraint, constraint.by_gain()]
    runs = [solver(function, each) for each in tried]
    best = max(runs, key=lambda run: run.state.value())
    objective = best.state.value()
    bounds = [run.bound for run in runs if run.bound is not None]  # each is one of all sets within the limit
    bound = min(bounds) if bounds else function.upper_bound(best.picks, objective, constraint)
    return Selection(best.picks, best.gains, objective, bound)
