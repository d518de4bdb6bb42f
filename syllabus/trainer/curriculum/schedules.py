"""Which examples an epoch trains on, by name.

A schedule is a function (curriculum, epoch) -> int64 indices, each once, in any order: `len(curriculum)` of
them, or, where the budget counts the units of a column, as many as weigh that much, give or take half an
example a partition. It keeps nothing between calls: what it draws is keyed by the curriculum's seed and the
draw's number.

``milo``      Killamsetty et al., "MILO: Model-Agnostic Subset Selection Framework", arXiv 2301.13287: stored
              near-optimal subsets first (SGE), then draws weighted by importance (WRE).
``fresh``     a random subset each epoch, without repeats until every example was seen.
``redraw``    a random subset each epoch, independent of the others: MILO's "adaptive random".
``coverage``  the first half of the epochs draws by the importance ``facility_location``, then ``fresh``.
``radius``    draws by the importance ``radius``: what is unlike the rest more often. Right for duplicates,
              wrong for noise.

All are stratified by partition. The budgets of a partition follow the curriculum's rule `budgets`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from syllabus.manifests import allocate
from syllabus.trainer import counter_rng
from syllabus.trainer.curriculum.strata import Strata, apportion

if TYPE_CHECKING:
    from syllabus.trainer.curriculum.curriculum import Curriculum

Schedule = Callable[["Curriculum", int], np.ndarray]


THREADS, THREADED = 4, 1 << 20  # threads, and from how many examples on

# The importance that a schedule draws by; the curriculum has that of ``milo``.
DRAWS_BY = {"coverage": "facility_location", "radius": "radius"}
# The share of epochs in the first of two phases; the curriculum has that of ``milo``.
FIRST_PHASE = {"coverage": 0.5, "milo": 1 / 6}


def milo(curriculum: Curriculum, epoch: int) -> np.ndarray:
    """The stored subsets while the epoch is easy, then draws weighted by importance."""
    subset = curriculum.subset_of(epoch)
    if subset is not None:
        return curriculum.manifest.subset(curriculum.fraction, subset)
    return _weighted(curriculum, curriculum.phases.of(epoch)[1])


def coverage(curriculum: Curriculum, epoch: int) -> np.ndarray:
    """Draws weighted by what each example adds to facility location, then everything."""
    first, number = curriculum.phases.of(epoch)
    return (_weighted if first else _fresh)(curriculum, number)


def radius(curriculum: Curriculum, epoch: int) -> np.ndarray:
    """Draws weighted by the insertion radius of disparity-min."""
    return _weighted(curriculum, epoch)


def redraw(curriculum: Curriculum, epoch: int) -> np.ndarray:
    """A stratified random subset, drawn anew."""
    key = counter_rng.key(curriculum.seed, "redraw", epoch // curriculum.refresh_every)
    strata = curriculum.strata
    return strata.smallest(counter_rng.random_uint64(key, strata.members), _budgets(curriculum, strata))


def fresh(curriculum: Curriculum, epoch: int) -> np.ndarray:
    """The next slice of a keyed permutation of each partition.

    With proportional budgets a cycle is ⌈n/k⌉ epochs (1/fraction where that is whole), and every example is
    seen in it. Where k does not divide n, the last slice is what is left, filled up to k with those seen
    longest ago, the first of the cycle's permutation. With other budgets each partition has its own
    cycle of ⌈n_c/k_c⌉ epochs, its last slice filled up in the same way. In units other than examples n and k
    are sums of weights.
    """
    return _fresh(curriculum, epoch)


SCHEDULES: dict[str, Schedule] = {
    "coverage": coverage,
    "fresh": fresh,
    "milo": milo,
    "radius": radius,
    "redraw": redraw,
}


def may_be_empty(curriculum: Curriculum) -> bool:
    """Return whether examples are so heavy that a draw of one of `SCHEDULES` may have none. O(n) at most."""
    units = curriculum.units
    # A stretch as long as the heaviest example has a middle in it: of all in one line, or of one partition.
    parts = len(curriculum.manifest.partition_sizes)
    if units.weights is None or units.seats >= parts * int(units.weights.max()):
        return False
    heaviest = curriculum.strata.heaviest
    shares = _budgets(curriculum, curriculum.strata)
    return units.seats < heaviest.max() or not ((shares >= heaviest) & (heaviest > 0)).any()


def _weighted(curriculum: Curriculum, number: int) -> np.ndarray:
    """The draw of the `number`-th of the epochs that are drawn by importance."""
    # Top k of log p + Gumbel noise is a draw of k without replacement by p, one after another
    # (Yellott 1977; Efraimidis and Spirakis 2006).
    strata, log_probability = curriculum.weights(curriculum.importance)
    key = counter_rng.key(curriculum.seed, "weighted", number // curriculum.refresh_every)
    noisy = counter_rng.gumbel(key, strata.members)
    noisy += log_probability
    return strata.smallest(np.negative(noisy, out=noisy), _budgets(curriculum, strata))


def _fresh(curriculum: Curriculum, number: int) -> np.ndarray:
    """The slice of the `number`-th of the epochs without repeats."""
    draw, budget, sizes = number // curriculum.refresh_every, curriculum.units.seats, curriculum.strata.sizes
    if curriculum.strata.units is not None:
        return _fresh_units(curriculum, draw)
    if curriculum.budgets == "proportional":
        n = int(sizes.sum())
        cycle, slot = divmod(draw, -(-n // budget))
        start = apportion(slot * budget, sizes)
        stop = apportion(min((slot + 1) * budget, n), sizes)
        counts = stop - start + apportion(max((slot + 1) * budget - n, 0), sizes)
        cycles = np.full(len(sizes), cycle)
    else:
        counts = _budgets(curriculum, curriculum.strata)
        cycles, slots = _own_cycles(draw, sizes, counts)
        start = slots * counts

    def slice_of(part: int) -> np.ndarray:
        places = np.arange(start[part], start[part] + counts[part])
        return curriculum.permuted(part, int(cycles[part])).take(places, mode="wrap")

    with ThreadPoolExecutor(_threads(curriculum)) as pool:
        return np.concatenate(list(pool.map(slice_of, np.flatnonzero(counts).tolist())))


def _fresh_units(curriculum: Curriculum, draw: int) -> np.ndarray:
    """The slice of a draw where examples count for several units."""
    budget, sizes, lines = curriculum.units.seats, curriculum.strata.sizes, curriculum.lines
    if curriculum.budgets == "proportional":
        cycle, slot = divmod(draw, -(-int(sizes.sum()) // budget))
        return lines.all(cycle, _threads(curriculum)).slot(slot, budget)
    shares = _budgets(curriculum, curriculum.strata)
    cycles, slots = _own_cycles(draw, sizes, shares)
    slices = [
        lines.of(part, int(cycles[part])).slot(int(slots[part]), int(shares[part]))
        for part in np.flatnonzero(shares).tolist()
    ]
    return np.concatenate(slices)


def _own_cycles(draw: int, sizes: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (C,) the cycle that each partition is in, and its slot there."""
    # A partition may be empty: a cluster, or a class that the filters leave nothing of.
    return np.divmod(draw, np.maximum(-(-sizes // np.maximum(shares, 1)), 1))


def _threads(curriculum: Curriculum) -> int:
    # Sorting leaves Python's lock alone: at ten million examples threads halve what a new cycle takes.
    return THREADS if len(curriculum.strata.members) > THREADED else 1


def _budgets(curriculum: Curriculum, strata: Strata) -> np.ndarray:
    return allocate(curriculum.units.seats, strata.sizes, curriculum.budgets)
