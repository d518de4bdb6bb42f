"""Effective sample sizes that an importance cannot have, refused as early as that is known."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from syllabus.pipeline.errors import UserError
from syllabus.pipeline.options import Importance, Options
from syllabus.selectors import importances


def score_of(base: str, ranking: pa.Table) -> np.ndarray:
    """Return the (rows,) float64 scores that an importance takes from its ranking."""
    return np.asarray(ranking.column("radius" if base == "radius" else "gain").to_numpy())


def check_sizes(options: Options, sizes: Iterable[tuple[str, int]]) -> None:
    """Refuse a sample size that follows from how many examples a place has, whatever its scores.

    At temperature 0 all mass is on one of m examples: 1/m. The two first of a radius are as far from each
    other as each from the other, and share it: 2/m. One example, or two of equal radius, are drawn evenly.

    Args:
      options: of the job.
      sizes: (name of a partition, its examples); the refusal names the one that allows the least.
    """
    held = sorted(sizes, key=lambda each: each[1])
    for importance in options.importances:
        tied = 2 if importance.base == "radius" else 1
        least = next(((name, size) for name, size in held if size > tied), None)
        if importance.ess is not None and least is not None and importance.ess <= tied / least[1]:
            raise _out_of_reach(importance, least[0], tied / least[1], f"of {least[1]:,} examples")


def check_scores(importance: Importance, name: str, scores: np.ndarray) -> None:
    """Refuse a sample size that a partition's (m,) scores do not allow: too many tie for the first."""
    least = importances.unreachable_share(scores)
    if importance.ess is not None and importance.ess <= least:
        tied = round(least * len(scores))
        raise _out_of_reach(importance, name, least, f"where {tied:,} of {len(scores):,} examples tie")


def _out_of_reach(importance: Importance, name: str, least: float, where: str) -> UserError:
    return UserError(
        f"importance={importance.base}:{importance.ess:g}: {name}: an effective sample size of"
        f" {importance.ess:g} is out of reach; {where} it can be ({least:.6g}, 1]"
    )
