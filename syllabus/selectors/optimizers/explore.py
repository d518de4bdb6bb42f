"""SGE, stochastic-greedy exploration: many different subsets of near-optimal value (arXiv 2301.13287)."""

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.constraint import Constraint
from syllabus.selectors.errors import SelectionError
from syllabus.selectors.functions.base import SetFunction
from syllabus.selectors.numerics.counter_rng import key_of, stream
from syllabus.selectors.optimizers.dispatch import STOCHASTIC, Solver, solver_of, solver_within
from syllabus.selectors.selection import Selection
from syllabus.selectors.validation import Seed, budget_of, real_number, seed_words, whole_number

_PURPOSE = 1  # of the random keys


def explore(
    function: SetFunction,
    budget: int,
    subsets: int,
    seed: Seed,
    epsilon: float = 0.01,
    optimizer: str = "stochastic",
) -> list[Selection]:
    """Return `subsets` stochastic-greedy selections that differ in their random samples.

    Subset j is a function of (vectors, budget, seed, j, epsilon): the same however many are asked for, and
    subset 0 is `maximize(..., optimizer=optimizer)`. What the function precomputes is shared by all, and
    so is the upper bound, which holds for every set of `budget` rows.

    Args:
      function: a set function on (n, d) vectors; graph cut in MILO.
      budget: 1 <= budget <= n, rows in each subset.
      subsets: how many, at least 1.
      seed: a whole number or a tuple of them, for example (seed, partition, bucket).
      epsilon: in (0, 1); each pick looks at ⌊n/budget · ln(1/ε)⌋ rows, of facility location at half as many
        again.
      optimizer: "stochastic", or "lazier": closer to greedy, and more alike.
    """
    subsets = whole_number(subsets, "subsets", 1, 2**31, "[1, 2^31]", "explore")
    solver = solver_of(function, optimizer)
    if optimizer not in STOCHASTIC:
        raise SelectionError(
            f"explore: optimizer {optimizer!r} uses no chance; valid: {', '.join(STOCHASTIC)}"
        )
    constraint = Constraint.of_rows(function.n, budget_of(budget, function.n, function.name))
    caller = f"{optimizer} greedy"
    return subsets_of(function, constraint, solver, range(subsets), seed, epsilon, caller)


def explore_within(
    function: SetFunction,
    costs: NDArray[np.float64],
    limit: float,
    subsets: int,
    seed: Seed,
    epsilon: float = 0.01,
    power: float = 1.0,
) -> list[Selection]:
    """Return `subsets` stochastic-greedy selections whose costs stay within `limit`.

    Each pick has the largest gain / cost ** power of a fresh sample of the rows that are still affordable
    (Lin and Bilmes, "Multi-document summarization via budgeted maximization of submodular functions", 2010);
    ties go to the smallest index. A subset is complete when no affordable row, of the sample or not, has a
    positive gain. Samples are keyed as in `explore`: costs of 1 give its subsets, as far as gains are
    positive. Numbers of rows differ between subsets.

    Args:
      function: a submodular set function on (n, d) vectors.
      costs: (n,) numbers within [1e-300, 1e300], for example tokens.
      limit: > 0, in the unit of the costs; where it is below every cost the subsets are empty.
      subsets: how many, at least 1.
      seed: a whole number or a tuple of them, for example (seed, partition, bucket).
      epsilon: in (0, 1); each pick looks at ⌊n/k · ln(1/ε)⌋ rows, k = limit / mean cost, of facility location
        at half as many again.
      power: >= 0; 1 is gain per cost, 0 plain gain, where costs do no more than limit. Gains of graph cut
        differ less than costs as a rule: then any power above 0 picks the cheapest rows.

    Returns:
      The selections; `upper_bound`, the same in all, bounds f of every set within the limit.

    Raises:
      SelectionError: a function that is not submodular, a bad cost, limit, power, number or seed.
    """
    caller = "explore_within"
    solver = solver_within(function, "stochastic", caller)
    constraint = Constraint.of_costs(function.n, costs, limit, power, caller=caller)
    subsets = whole_number(subsets, "subsets", 1, 2**31, "[1, 2^31]", caller)
    return subsets_of(function, constraint, solver, range(subsets), seed, epsilon, caller)


def subsets_of(
    function: SetFunction,
    constraint: Constraint,
    solver: Solver,
    numbers: range,
    seed: Seed | None,
    epsilon: float,
    caller: str,
) -> list[Selection]:
    """Return the subsets of the given numbers, each picked by a stochastic solver under its own key."""
    key = key_of(seed_words(seed, caller), _PURPOSE)
    epsilon = real_number(epsilon, "epsilon", lambda value: 0 < value < 1, "(0, 1)", caller)
    selections: list[Selection] = []
    upper: float | None = None
    for number in numbers:
        indices, gains, state, _ = solver(function, constraint, stream(key, number), epsilon)
        objective = state.value()
        del state  # the bound may need one of its own
        # That no other set has a larger f is no fact about the subset: the first one's serves all.
        if not (selections or function.bound_needs_greedy):
            upper = function.upper_bound(indices, objective, constraint)
        selections.append(Selection(indices, gains, objective, upper))
    return selections
