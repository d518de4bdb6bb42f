"""Advice: the schedule and filters that ``auto`` takes, and warnings of what is measured to cost accuracy.

Selection pays where data are dirty; on clean data nothing measured beats fresh random subsets clearly
(`docs/curriculum.md`). So the rule looks at wrong labels and copies only, and acts only where the manifest
shows that there are some (`evidence`). The figures in warnings are points of test accuracy against a random
subset drawn anew in each epoch, on Fashion-MNIST and WordNet glosses at 1 and 10 percent.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch.distributed

from syllabus.manifests import Manifest, budget
from syllabus.trainer.curriculum.evidence import why_copies_stay
from syllabus.trainer.curriculum.filters import one_per_duplicate_group, suspects_of
from syllabus.trainer.curriculum.pool import Pool

CLASS = "class"
ALIKE = 0.5  # Jaccard index of two subsets
HARD = 0.75  # effective sample size, as a share
CORE = 0.25  # that of draws; below, a quarter of the examples that redraw shows are not seen
CUT = 0.01  # share of texts that were cut; above, agreement of beginnings is taken for wrong labels
FIXED = "a fixed subset costs 4.6 to 17.6 points"


@dataclass(frozen=True)
class Choice:
    """A choice: a schedule's name, the names of filters, and the `reason`, one line."""

    schedule: str
    filters: tuple[str, ...]
    reason: str


def choose(manifest: Manifest, fraction: float, filters: Sequence[str] | None) -> Choice:
    """Return the schedule for `fraction` of a manifest, and the filters unless they are given."""
    if filters is not None:
        return Choice("fresh", tuple(filters), "auto: fresh, filters as given")
    chosen, reasons = recommended_filters(manifest, budget(fraction, manifest.n))
    named = " and ".join(chosen) or "no filter"
    return Choice("fresh", chosen, f"auto: fresh, {named} ({'; '.join(reasons)})")


def recommended_filters(manifest: Manifest, size: int) -> tuple[tuple[str, ...], list[str]]:
    """Return the filters that the examples in the manifest ask for, and the reasons for and against.

    `size` is the examples of an epoch (where budgets count other units, about).

    Cost: reads the agreements, and what stands for the examples where that may matter. O(n).
    """
    known = manifest.neighbours
    if known is None:
        return (), ["the manifest does not know its examples' neighbours"]
    if known.agreement is None or known.agreement.kind != CLASS:
        return (), ["measured for labels that are classes; name filters to use them"]
    found = suspects_of(manifest)
    kept, chosen = np.ones(manifest.n, np.bool_), []
    why = f"{found.zero:.1%} of the labels are shared by no neighbour"
    cut = manifest.truncated / max(1, manifest.n)
    if cut > CUT:
        why += f": {cut:.1%} of the texts are cut, whose beginnings say little of their labels"
    elif found.noise:
        chosen.append("drop_suspects")
        kept = ~found.rows
        why += f", {found.one:.1%} by just one, median agreement {found.median:.2f}: wrong labels"
    else:
        why += f": {found.why_not}"
    stay, copies = _copies(manifest, kept, size)
    if stay is None:
        chosen.append("one_per_duplicate_group")
        copies += ": left out"
    else:
        copies += f": {stay}"
    return tuple(chosen), [why, copies]


def _copies(manifest: Manifest, kept: np.ndarray, size: int) -> tuple[str | None, str]:
    """Return why near-duplicates should stay, None where they should not, and how many there are."""
    assert manifest.neighbours is not None
    cover = manifest.neighbours.cover
    if cover is None:
        share = manifest.neighbours.duplicate_share
        return "a manifest of an earlier version does not show that they are copies", (
            f"{share:.1%} are near-duplicates"
        )
    said = f"{cover.left_out / manifest.n:.1%} are copies of others (cosine {cover.threshold:.4g})"
    if cover.left_out and not cover.separates:
        return "no gap tells them from what is only near", said
    covered = kept & ~one_per_duplicate_group(manifest, kept)
    return why_copies_stay(covered[kept], manifest.partitions()[kept], size), said


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
    found, every = _of_filters(pool), pool.refresh_every
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


def _of_filters(pool: Pool) -> list[str]:
    known = pool.manifest.neighbours
    if "one_per_duplicate_group" not in pool.filters or known is None or known.cover is not None:
        return []
    return [
        "one_per_duplicate_group: the manifest, of an earlier version, does not say which example stands for"
        " which; one is kept of each group, over all labels, however far apart: that cost up to 82 points;"
        " prepare it again"
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
    name, known = pool.importance, pool.manifest.neighbours
    ess = pool.manifest.importance_entry(name).ess
    hard = name == "radius" if ess is None else ess <= HARD
    if not hard or "drop_suspects" in pool.filters or known is None:
        return []
    if known.agreement is None or known.agreement.kind != CLASS:
        return []
    found = suspects_of(pool.manifest)
    if not found.noise:
        return []
    size = "" if ess is None else f" (effective sample size {ess:.2f})"
    return [
        f"importance {name!r}{size} draws what is unlike the rest, and {found.zero:.1%} of the labels are"
        " suspect: under label noise radius costs 0.6 to 6.6 points; filters=('drop_suspects',) gains 0.8 to"
        " 4.1"
    ]
