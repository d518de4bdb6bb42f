"""SGE, stochastic-greedy exploration: many different subsets of near-optimal value (arXiv 2301.13287)."""

from .maximize import explore_subsets
from .selection import Selection
from .set_function import SetFunction
from .validation import Seed, whole_number


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
