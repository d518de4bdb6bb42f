"""Rows that cost: the best set whose costs stay within a limit."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.constraint import purse_of
from syllabus.selectors.functions.base import SetFunction, check_submodular
from syllabus.selectors.functions.conditional_gain import FacilityLocationConditionalGain
from syllabus.selectors.functions.facility_location import FacilityLocation
from syllabus.selectors.functions.graph_cut import GraphCut
from syllabus.selectors.optimizers import facility_location_lazy
from syllabus.selectors.optimizers import pairwise_sum_heap as query_within
from syllabus.selectors.optimizers.lazy_within import lazy_within
from syllabus.selectors.selection import Selection
from syllabus.selectors.validation import constraints_of

# The same as `lazy_within`, compiled.
_LAZY: dict[type[SetFunction], Any] = {
    FacilityLocation: facility_location_lazy.lazy_within,
    FacilityLocationConditionalGain: facility_location_lazy.lazy_within,
    GraphCut: query_within.lazy_within,
}


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
    caller = "maximize_within"
    check_submodular(function, caller)
    first, candidates = constraints_of(include, exclude, function.n, function.n - len(exclude), caller)
    purse = purse_of(costs, limit, power, first, candidates, function.n, caller)
    plain = replace(purse, weights=np.ones(function.n))
    equal = len(candidates) == 0 or np.ptp(purse.weights[candidates]) == 0
    solver = _LAZY.get(type(function), lazy_within)
    runs = [solver(function, each) for each in ([plain] if equal else [purse, plain])]
    indices, gains, state, *_ = max(runs, key=lambda run: run[2].value())
    objective = state.value()
    bounds = [run[3] for run in runs if len(run) > 3]  # each is one of all sets within the limit
    bound = min(bounds) if bounds else function.upper_bound(indices, objective, purse)
    return Selection(indices, gains, objective, bound)
