"""Dispatch table of optimisers: the solver of each set function and optimiser that is right for it."""

from collections.abc import Callable
from typing import Any, TypeAlias

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
from syllabus.selectors.functions.saturated_coverage import SaturatedCoverage
from syllabus.selectors.functions.set_cover import ProbabilisticSetCover, SetCover
from syllabus.selectors.functions.sparse_facility_location import SparseFacilityLocation
from syllabus.selectors.functions.sparse_graph_cut import SparseGraphCut
from syllabus.selectors.optimizers import (
    facility_location_lazy,
    facility_location_stochastic,
    pairwise_sum_lazy,
    pairwise_sum_stochastic,
)
from syllabus.selectors.optimizers.farthest_first import farthest_first
from syllabus.selectors.optimizers.greedy import Solution, lazy, naive
from syllabus.selectors.optimizers.stochastic import lazier, stochastic

Solver: TypeAlias = Callable[..., Solution]
"""Takes (function, constraint, key, epsilon)."""

_SUBMODULAR: dict[str, Solver] = {"naive": naive, "lazy": lazy, "stochastic": stochastic, "lazier": lazier}
_BY_FUNCTION: dict[type[SetFunction], dict[str, Solver]] = {
    # Disparity-min and -sum are not submodular: an old gain is no bound, and lazy greedy would return another
    # set without a word. Their exact greedy is as fast: by blocks of distances, and by the query, which needs
    # no submodularity.
    DisparityMin: {"naive": farthest_first, "stochastic": stochastic},
    DisparitySum: {
        "naive": naive,
        "lazy": pairwise_sum_lazy.lazy,
        "stochastic": pairwise_sum_stochastic.stochastic,
    },
    **dict.fromkeys(
        (FacilityLocation, FacilityLocationConditionalGain),
        _SUBMODULAR
        | {"lazy": facility_location_lazy.lazy, "stochastic": facility_location_stochastic.stochastic},
    ),
    GraphCut: _SUBMODULAR
    | {"lazy": pairwise_sum_lazy.lazy, "stochastic": pairwise_sum_stochastic.stochastic},
    **dict.fromkeys(
        (
            FacilityLocationMutualInformation,
            FeatureBased,
            LogDeterminant,
            Mixture,
            ProbabilisticSetCover,
            SaturatedCoverage,
            SetCover,
            SparseFacilityLocation,
            SparseGraphCut,
        ),
        _SUBMODULAR,
    ),
}
SOLVERS: dict[tuple[type[SetFunction], str], Solver] = {
    (kind, optimizer): solver
    for kind, solvers in _BY_FUNCTION.items()
    for optimizer, solver in solvers.items()
}
OPTIMIZERS = tuple(sorted({optimizer for _, optimizer in SOLVERS}))
STOCHASTIC = ("lazier", "stochastic")


def valid_optimizers(function: type[SetFunction] | SetFunction) -> tuple[str, ...]:
    """Return the names, of `OPTIMIZERS`, that are exact, or honest about chance, for a set function."""
    kind = function if isinstance(function, type) else type(function)
    return tuple(
        sorted(
            name
            for (known, name), solver in SOLVERS.items()
            if known is kind and (isinstance(function, type) or _suits(solver, function))
        )
    )


def solver_of(function: Any, optimizer: str) -> Solver:
    """Return the solver of a set function and an optimiser by name.

    Raises:
      SelectionError: no set function, an unknown optimiser, or one that is not right for the function.
    """
    if not isinstance(function, SetFunction):
        raise SelectionError(f"maximize: function is a {type(function).__name__}; expected a set function")
    if optimizer not in OPTIMIZERS:
        raise SelectionError(f"optimizer {optimizer!r} is unknown; known: {', '.join(OPTIMIZERS)}")
    solver = SOLVERS.get((type(function), optimizer))
    if solver is None or not _suits(solver, function):
        valid = ", ".join(valid_optimizers(function))
        raise SelectionError(
            f"{function.name}: optimizer {optimizer!r} needs a submodular function; valid: {valid}"
        )
    return solver


def solver_within(function: Any, optimizer: str, caller: str) -> Solver:
    """Return the solver of a submodular function, known or the user's own, under costs.

    Raises:
      SelectionError: anything but a submodular set function.
    """
    if not isinstance(function, SetFunction) or not function.submodular:
        name = getattr(function, "name", type(function).__name__)
        raise SelectionError(
            f"{caller}: {name} is not submodular; costs need a function whose old gains bound"
        )
    return SOLVERS.get((type(function), optimizer), _SUBMODULAR[optimizer])


def _suits(solver: Solver, function: SetFunction) -> bool:
    # Whether old gains bound new ones depends on what a mixture is made of.
    return solver not in (lazy, lazier) or function.submodular
