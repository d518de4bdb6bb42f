"""Schemes: how many configurations are trained on which share of a full run."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from syllabus.trainer.errors import TrainerError
from syllabus.trainer.validation import real, whole

NAMES = ("rungs", "i-epoch", "full")
SHARES = {"rungs": 1 / 60, "i-epoch": 1 / 30}  # of the first rung: equal costs, 3.9 full runs of 27
LONGEST = 1 / 10  # cheap rung: a longer one costs more than it ranks better


@dataclass(frozen=True)
class Rung:
    """`count` configurations, each trained on `share` of a full run's examples."""

    share: float
    count: int

    @property
    def name(self) -> str:
        """What messages and studies call it, such as ``1/30``."""
        return "full" if self.share == 1 else str(Fraction(self.share).limit_denominator(1000))


def plan(
    scheme: str | Sequence[tuple[float, int]],
    configurations: int,
    finalists: int,
    share: float | None = None,
) -> tuple[Rung, ...]:
    """Return the rungs of a scheme, the last of them full runs.

    Args:
        scheme: ``rungs``: all at `share`, a third of them at three times the share, and so on, while that is
            at most 1/10 and leaves more than the finalists, then these in full (successive halving);
            ``i-epoch``: no rung between (Egele et al., arXiv:2307.15422); ``full``: all in full, no pruning;
            or (share, count) pairs, ascending.
        configurations: of the first rung.
        finalists: trained in full.
        share: of the first rung; by default 1/60, and 1/30 for ``i-epoch``.

    Raises:
        TrainerError: an unknown scheme, numbers out of bounds, shares that do not rise, counts that do.
    """
    configurations = whole("Search", "configurations", configurations, 1)
    finalists = whole("Search", "finalists", finalists, 1, configurations)
    if not isinstance(scheme, str):
        if not isinstance(scheme, Sequence) or any(
            not isinstance(rung, Sequence) or isinstance(rung, str) or len(rung) != 2 for rung in scheme
        ):
            raise TrainerError(f"Search: scheme={scheme!r} is no name, and no list of (share, count) pairs")
        rungs = tuple(Rung(_share(part), whole("Search", "scheme", count, 1)) for part, count in scheme)
        if not rungs or rungs[0].count != configurations or rungs[-1].share != 1:
            raise TrainerError(
                f"Search: scheme={scheme!r} does not begin with all {configurations}"
                " configurations and end at share 1"
            )
        for before, after in itertools.pairwise(rungs):
            if after.share <= before.share or after.count > before.count:
                raise TrainerError("Search: scheme: shares rise from rung to rung, and counts do not")
        return rungs
    if scheme == "full":
        return (Rung(1.0, configurations),)
    if scheme not in NAMES:
        raise TrainerError(f"Search: scheme {scheme!r} is unknown; known: {', '.join(NAMES)}")
    share = SHARES[scheme] if share is None else _share(share)
    if share == 1:
        raise TrainerError("Search: share=1 leaves nothing to save; scheme='full' trains all in full")
    rungs = (Rung(share, configurations),)
    while scheme == "rungs" and 3 * rungs[-1].share <= 1.001 * LONGEST and rungs[-1].count // 3 > finalists:
        rungs += (Rung(3 * rungs[-1].share, rungs[-1].count // 3),)
    return (*rungs, Rung(1.0, finalists))


def cost(rungs: Sequence[Rung], seeds: int) -> float:
    """Return what the rungs cost in full runs, the finalists on so many seeds."""
    return sum(rung.share * rung.count * (seeds if rung.share == 1 else 1) for rung in rungs)


def _share(value: Any) -> float:
    share = real("Search", "share", value)
    if not 0 < share <= 1:
        raise TrainerError(f"Search: share={share:g} is outside (0, 1]")
    return share
