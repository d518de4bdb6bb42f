"""SGE, stochastic-greedy exploration: many different subsets of near-optimal value (arXiv 2301.13287)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.constraint import purse_of
from syllabus.selectors.functions.base import SetFunction, check_submodular
from syllabus.selectors.functions.conditional_gain import FacilityLocationConditionalGain
from syllabus.selectors.functions.facility_location import FacilityLocation
from syllabus.selectors.functions.graph_cut import GraphCut
from syllabus.selectors.optimizers import (
    facility_location_stochastic as facility_location_sampled,
)
from syllabus.selectors.optimizers import (
    pairwise_sum_stochastic as sampled_query,
)
from syllabus.selectors.optimizers import (
    sampled_within,
)
from syllabus.selectors.optimizers.maximize import chance_of, explore_subsets, subsets_of
from syllabus.selectors.selection import Selection
from syllabus.selectors.validation import Seed, whole_number

# The same as `sampled_within.stochastic`, compiled.
_WITHIN: dict[type[SetFunction], Any] = {
    FacilityLocation: facility_location_sampled.stochastic_within,
    FacilityLocationConditionalGain: facility_location_sampled.stochastic_within,
    GraphCut: sampled_query.stochastic_within,
}


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
    return explore_subsets(function, budget, optimizer, range(subsets), seed, epsilon)


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
    check_submodular(function, caller)
    everything = np.arange(function.n)
    purse = purse_of(costs, limit, power, everything[:0], everything, function.n, caller)
    subsets = whole_number(subsets, "subsets", 1, 2**31, "[1, 2^31]", caller)
    key, epsilon = chance_of(seed, epsilon, caller)
    solver = _WITHIN.get(type(function), sampled_within.stochastic)
    return subsets_of(function, range(subsets), key, lambda own: solver(function, purse, own, epsilon), purse)
