"""Advice: the schedule and filters that ``auto`` takes, and warnings of what is measured to cost accuracy.

Selection pays where data are dirty or tiny; on clean data at 5 to 30 percent nothing measured beats fresh
random subsets clearly (`docs/curriculum.md`). So the rule looks at noise, duplicates and the fraction only.
The figures in warnings are points of test accuracy against a random subset drawn anew in each epoch, on
Fashion-MNIST and WordNet glosses at 1 and 10 percent.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch.distributed

from syllabus.manifests import Manifest, budget
from syllabus.trainer.curriculum.pool import Pool

# Clean data had 2.3 and 4.5 percent of zero agreement, a fifth of wrong labels made it 17 and 21. Where the
# median is low, labels and vectors do not belong together and zeros say nothing of the labels.
SUSPECT_SHARE, TRUSTED_MEDIAN = 0.05, 0.7
DUPLICATE_SHARE = 0.05
TINY_FRACTION = 0.02
COVERAGE = "facility_location"
ALIKE = 0.5  # Jaccard index of two subsets
HARD = 0.75  # effective sample size, as a share
CORE = 0.25  # that of draws; below, a quarter of the examples that redraw shows are not seen
FIXED = "a fixed subset costs 4.6 to 17.6 points"


@dataclass(frozen=True)
class Choice:
    """A choice: a schedule's name, the names of filters, and the `reason`, one line."""

    schedule: str
    filters: tuple[str, ...]
    reason: str


def choose(manifest: Manifest, fraction: float, filters: Sequence[str] | None) -> Choice:
    """Return the schedule for `fraction` of a manifest, and the filters unless they are given."""
    schedule, why = "fresh", f"fraction {fraction:g} is above {TINY_FRACTION:g}"
    if fraction <= TINY_FRACTION:
        why = f"fraction {fraction:g} is at most {TINY_FRACTION:g}"
        if COVERAGE in manifest.importances:
            schedule = "coverage"
        else:
            why += f", but the manifest has no importance {COVERAGE!r} for 'coverage'"
    if filters is not None:
        return Choice(schedule, tuple(filters), f"auto: {schedule} ({why}), filters as given")
    chosen, reasons = recommended_filters(manifest, budget(fraction, manifest.n))
    named = " and ".join(chosen) or "no filter"
    return Choice(schedule, chosen, f"auto: {schedule} ({why}), {named} ({'; '.join(reasons)})")


def recommended_filters(manifest: Manifest, size: int) -> tuple[tuple[str, ...], list[str]]:
    """Return the filters that the shares in the manifest ask for, and the reasons for and against.

    `size` is the examples of an epoch (where budgets count other units, about): where vectors hardly differ,
    one of each group may be fewer than that, and every epoch would be the same few.
    """
    known = manifest.neighbours
    if known is None:
        return (), ["the manifest does not know its examples' neighbours"]
    chosen, reasons = [], []
    if known.agreement is None or known.agreement.zero_share is None:
        reasons.append("no label that neighbours could agree with")
    else:
        zero, median = known.agreement.zero_share, known.agreement.median
        suspect = zero > SUSPECT_SHARE and median >= TRUSTED_MEDIAN
        if suspect:
            chosen.append("drop_suspects")
        reasons.append(
            f"{zero:.1%} of the labels are shared by no neighbour, median agreement {median:.2f}:"
            f" {'above' if suspect else 'not above'} {SUSPECT_SHARE:.0%} with a median of {TRUSTED_MEDIAN}"
        )
    share, groups = known.duplicate_share, known.duplicate_groups
    left = round(manifest.n * (1 - share)) + groups
    above = "above" if share > DUPLICATE_SHARE else "not above"
    why = f"{share:.1%} are near-duplicates: {above} {DUPLICATE_SHARE:.0%}"
    if share > DUPLICATE_SHARE and left < size:
        why += f", but one of each group leaves {left:,} examples for epochs of {size:,}"
    elif share > DUPLICATE_SHARE:
        chosen.append("one_per_duplicate_group")
    return tuple(chosen), [*reasons, why]


@cache
def print_once(reason: str) -> None:
    """Print `reason` to standard error: once in a process, and by the first rank only."""
    running = torch.distributed.is_available() and torch.distributed.is_initialized()
    # Launchers set RANK before the process group is there.
    rank = torch.distributed.get_rank() if running else int(os.environ.get("RANK", "0"))
    if rank == 0:
        print(reason, file=sys.stderr)


def warn(pool: Pool) -> None:
    """Warn, one line each, of options that are measured to cost accuracy; as from the curriculum's caller."""
    for caution in _cautions(pool):
        warnings.warn(caution, stacklevel=3)


def _cautions(pool: Pool) -> list[str]:
    found, every = [], pool.refresh_every
    if pool.units.full:
        return found  # the full data are not drawn
    if min(every, pool.phases.epochs) > 1:
        found.append(
            f"refresh_every={every}: a draw kept for 5 epochs costs 1.9 to 5.1 points, for 10 3.0 to 9.1"
        )
    found += _of_weights(pool)
    if pool.stored_subset(0) is not None:
        found += _of_subsets(pool)
    if pool.importance:
        found += _of_draws(pool) + _of_importance(pool)
    return found


def _of_weights(pool: Pool) -> list[str]:
    units = pool.units
    heaviest = units.heaviest * units.scale
    stored = pool.phases.first_epochs == pool.phases.epochs and pool.stored_subset(0) is not None
    if heaviest <= units.budget or stored:
        return []
    return [
        f"the heaviest example has {heaviest} {units.name}, more than the {units.budget} of an epoch: epochs"
        " are far from their budget; cut such rows, or leave them out of the manifest"
    ]


def _of_subsets(pool: Pool) -> list[str]:
    found, easy, fraction = [], pool.phases.first_epochs, f"fraction {pool.fraction:g}"
    subsets = pool.manifest.subsets_of(pool.fraction)
    count, needed = len(subsets.sizes), -(-easy // pool.refresh_every)
    if count < needed:
        found.append(
            f"milo: {easy} easy epochs of {fraction} need {needed} subsets and the manifest holds {count}: "
            + (f"it is the same in all of them, and {FIXED}" if count == 1 else "they will come again")
        )
    jaccard = subsets.jaccard
    if min(needed, count) > 1 and jaccard is not None and jaccard > ALIKE:
        found.append(
            f"milo: the subsets of {fraction} have a mean Jaccard index of {jaccard:.2f}, above {ALIKE}:"
            " almost fixed; prepare them with a larger epsilon"
        )
    if easy == pool.phases.epochs > 1:
        found.append(
            f"milo: all {easy} epochs are easy: near-optimal subsets alone cost 1.7 (facility location) to 19"
            " (graph cut) points"
        )
    return found


def _of_draws(pool: Pool) -> list[str]:
    first, epochs, name = pool.phases.first_epochs, pool.phases.epochs, pool.importance
    weighted = first if first and not pool.stored else epochs - first
    stored = pool.manifest.importance_entry(name).inclusion_ess
    # The larger a draw, the more even: that of the next larger fraction is at least this one's.
    known = [each for each in stored if each[0] >= pool.fraction - 1e-9]
    if weighted <= pool.refresh_every or not known:
        return []
    fraction, ess = min(known, key=lambda each: each[0])
    if ess >= CORE:
        return []
    # Two draws share the sum of squares of the probabilities to be in one: the fraction over its ESS.
    return [
        f"importance {name!r}: draws of {fraction:g} have an effective sample size of {ess:.3g}, below"
        f" {CORE}: {min(fraction / ess, 1):.0%} of an epoch is in any other too ({fraction:.0%} of a random"
        " one), a core of examples again and again; prepare the importance with a larger ess"
    ]


def _of_importance(pool: Pool) -> list[str]:
    examples = min(budget(pool.fraction, pool.manifest.n), pool.n)
    name, chosen = pool.importance, recommended_filters(pool.manifest, examples)[0]
    ess = pool.manifest.importance_entry(name).ess
    hard = name == "radius" if ess is None else ess <= HARD
    if not hard or "drop_suspects" not in chosen or "drop_suspects" in pool.filters:
        return []
    zero = pool.manifest.neighbours.agreement.zero_share
    size = "" if ess is None else f" (effective sample size {ess:.2f})"
    return [
        f"importance {name!r}{size} draws what is unlike the rest, and {zero:.1%} of the labels are suspect:"
        " under label noise radius costs 0.6 to 6.6 points; filters=('drop_suspects',) gains 0.8 to 4.1"
    ]
