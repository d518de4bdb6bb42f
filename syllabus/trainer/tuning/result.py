"""What came of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from syllabus.trainer.errors import TrainerError


@dataclass(frozen=True)
class Result:
    """A finished run of a configuration; of a finalist, its runs on all seeds.

    Attributes:
        configuration: its number.
        share: of a full run's examples.
        params: as it was trained with, learning rates for this length.
        score: the mean over its seeds; None where it failed.
        seed_scores: of each seed.
        examples: trained on, over all seeds.
        error: why it failed; else empty.
    """

    configuration: int
    share: float
    params: Mapping[str, Any]
    score: float | None
    seed_scores: tuple[float, ...]
    examples: int
    error: str = ""


def ranked(results: Sequence[Result], share: float, maximize: bool) -> list[Result]:
    """Return a rung's results that have a score, best first; equal ones by their number.

    Raises:
        TrainerError: none has one.
    """
    own = [result for result in results if result.share == share]
    scored = [result for result in own if result.score is not None]
    if not scored:
        ((reason, count),) = Counter(result.error for result in own).most_common(1)
        raise TrainerError(f"Search: no run at share {share:.3g} has a score; {count} times: {reason}")
    sign = -1 if maximize else 1
    return sorted(scored, key=lambda result: (sign * (result.score or 0.0), result.configuration))
