"""The schedule ``auto``: what the measurements so far recommend for a manifest, and why.

Selection pays where data are dirty or tiny; on clean data at 5 to 30 percent nothing measured beats fresh
random subsets clearly (`docs/curriculum.md`). So the rule looks at noise, duplicates and the fraction only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch.distributed

from syllabus.manifests import Manifest, budget

# Clean data had 2.3 and 4.5 percent of zero agreement, a fifth of wrong labels made it 17 and 21. Where the
# median is low, labels and vectors do not belong together and zeros say nothing of the labels.
SUSPECT_SHARE, TRUSTED_MEDIAN = 0.05, 0.7
DUPLICATE_SHARE = 0.05
TINY_FRACTION = 0.02
COVERAGE = "facility_location"


@dataclass(frozen=True)
class Choice:
    """What was chosen: a schedule's name, the names of filters, and the `reason`, one line."""

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
    chosen, reasons = hygiene_of(manifest, budget(fraction, manifest.n))
    named = " and ".join(chosen) or "no filter"
    return Choice(schedule, chosen, f"auto: {schedule} ({why}), {named} ({'; '.join(reasons)})")


def hygiene_of(manifest: Manifest, size: int) -> tuple[tuple[str, ...], list[str]]:
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
def say(reason: str) -> None:
    """Print `reason` to standard error: once in a process, and by the first rank only."""
    running = torch.distributed.is_available() and torch.distributed.is_initialized()
    # Launchers set RANK before the process group is there.
    rank = torch.distributed.get_rank() if running else int(os.environ.get("RANK", "0"))
    if rank == 0:
        print(reason, file=sys.stderr)
