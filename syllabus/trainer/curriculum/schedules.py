"""Schedules: which examples an epoch trains on, by name.

A schedule is a function (pool, epoch) -> int64 indices, each once, in any order: as many as the budget, or,
where that counts the units of a column, as many as weigh that much, give or take half an example a partition.
It keeps nothing between calls: what it draws is keyed by the pool's seed and the draw's number. A user's own
function (curriculum, epoch) may call one with ``curriculum.pool``.

``milo``      Killamsetty et al., "MILO: Model-Agnostic Subset Selection Framework", arXiv 2301.13287: stored
              near-optimal subsets first (SGE), then draws weighted by importance (WRE).
``fresh``     a random subset each epoch, without repeats until every example was seen.
``redraw``    a random subset each epoch, independent of the others: MILO's "adaptive random".
``coverage``  the first half of the epochs draws by the importance ``facility_location``, then ``fresh``.
``radius``    draws by the importance ``radius``: what is unlike the rest more often. Right for duplicates,
              wrong for noise.

All are stratified by partition. The budgets of a partition follow the curriculum's rule `budgets`.
"""

from collections.abc import Callable

import numpy as np

from syllabus.trainer import counter_rng
from syllabus.trainer.curriculum.pool import Pool

Schedule = Callable[[Pool, int], np.ndarray]

# The importance that a schedule draws by; the curriculum has that of ``milo``.
DRAWS_BY = {"coverage": "facility_location", "radius": "radius"}
# The share of epochs in the first of two phases; the curriculum has that of ``milo``.
FIRST_PHASE = {"coverage": 0.5, "milo": 1 / 6}


def milo(pool: Pool, epoch: int) -> np.ndarray:
    """The stored subsets while the epoch is easy, then draws weighted by importance."""
    subset = pool.stored_subset(epoch)
    if subset is not None:
        return pool.manifest.subset(pool.fraction, subset)
    return _weighted(pool, pool.phases.of(epoch)[1])


def coverage(pool: Pool, epoch: int) -> np.ndarray:
    """Draws weighted by what each example adds to facility location, then everything."""
    first, number = pool.phases.of(epoch)
    return (_weighted if first else fresh)(pool, number)


def radius(pool: Pool, epoch: int) -> np.ndarray:
    """Draws weighted by the insertion radius of disparity-min."""
    return _weighted(pool, epoch)


def redraw(pool: Pool, epoch: int) -> np.ndarray:
    """A stratified random subset, drawn anew."""
    key = counter_rng.key(pool.seed, "redraw", epoch // pool.refresh_every)
    strata = pool.strata
    return strata.smallest(counter_rng.random_uint64(key, strata.members), pool.shares(strata))


def fresh(pool: Pool, epoch: int) -> np.ndarray:
    """The next slice of a keyed permutation of each partition.

    With proportional budgets a cycle is ⌈n/k⌉ epochs (1/fraction where that is whole), and every example is
    seen in it. Where k does not divide n, the last slice is what is left, filled up to k with those seen
    longest ago, the first of the cycle's permutation. With other budgets each partition has its own
    cycle of ⌈n_c/k_c⌉ epochs, its last slice filled up in the same way. In units other than examples n and k
    are sums of weights.
    """
    draw, strata, steps = epoch // pool.refresh_every, pool.strata, pool.units.budget_steps
    if pool.rule == "proportional":
        cycle, number = divmod(draw, -(-int(strata.sizes.sum()) // steps))
        return strata.slice(counter_rng.key(pool.seed, "fresh", cycle), number, steps)
    shares = pool.shares(strata)
    # A partition may be empty: a cluster, or a class that the filters leave nothing of.
    cycles, numbers = np.divmod(draw, np.maximum(-(-strata.sizes // np.maximum(shares, 1)), 1))
    keys = [counter_rng.key(pool.seed, "fresh", cycle) for cycle in cycles.tolist()]
    return strata.slices(keys, numbers, shares)


def _weighted(pool: Pool, number: int) -> np.ndarray:
    """The draw of the `number`-th of the epochs that are drawn by importance."""
    # Top k of log p + Gumbel noise is a draw of k without replacement by p, one after another
    # (Yellott 1977; Efraimidis and Spirakis 2006).
    strata, log_probability = pool.log_probabilities(pool.importance)
    key = counter_rng.key(pool.seed, "weighted", number // pool.refresh_every)
    noisy = counter_rng.gumbel(key, strata.members)
    noisy += log_probability
    return strata.smallest(np.negative(noisy, out=noisy), pool.shares(strata))


SCHEDULES: dict[str, Schedule] = {
    "coverage": coverage,
    "fresh": fresh,
    "milo": milo,
    "radius": radius,
    "redraw": redraw,
}


def may_be_empty(pool: Pool) -> bool:
    """Return whether examples are so heavy that a draw of one of `SCHEDULES` may have none. O(n) at most."""
    units = pool.units
    # A stretch as long as the heaviest example has a midpoint in it: of all in one line, or of one partition.
    if units.heaviest == 1 or units.budget_steps >= len(pool.manifest.partition_sizes) * units.heaviest:
        return False
    heaviest, shares = pool.strata.heaviest, pool.shares(pool.strata)
    return units.budget_steps < heaviest.max() or not ((shares >= heaviest) & (heaviest > 0)).any()
