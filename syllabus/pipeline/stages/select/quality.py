"""Quality of the subsets: beside greedy, beside random ones, and beside one another."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

MOST_PAIRS = 200


def subset_quality(buckets: list[dict[str, Any]], chosen: list[np.ndarray], n: int) -> dict[str, Any]:
    """Return the figures that a manifest records of the subsets of one fraction.

    Args:
      buckets: for each bucket the values of the set function inside it (`subsets.choose`); the function
        of the whole is their sum.
      chosen: the ascending indices of each subset.
      n: accepted examples.

    `normalised_gain` is (f(S) − r) / (f(greedy) − r) with r the mean of f over random subsets of the same
    budgets: 0 is random, 1 is greedy. Where subsets differ in their rows, both are of as many rows as each
    subset has in each bucket. `jaccard` is the mean over pairs of subsets (the first 200 pairs).
    """
    greedy = float(sum(bucket["greedy"] for bucket in buckets))
    random = float(sum(bucket["random"] for bucket in buckets))
    bounds = [bucket["upper_bound"] for bucket in buckets]
    values = np.sum([bucket["subsets"] for bucket in buckets], axis=0)
    best, chance = np.array(greedy), np.array(random)
    if "as_many" in buckets[0]:
        best, chance = (
            np.sum([bucket["as_many"][kind] for bucket in buckets], axis=0) for kind in ("greedy", "random")
        )
    margin = best - chance
    # Where greedy cannot do better than random, as at fraction 1, there is nothing to normalise by.
    gains = (values - chance) / margin if np.all(margin > 1e-12 * np.maximum(1.0, abs(best))) else None
    pairs = [pair for _, pair in zip(range(MOST_PAIRS), combinations(range(len(chosen)), 2), strict=False)]
    overlaps = []
    for a, b in pairs:
        shared = len(np.intersect1d(chosen[a], chosen[b], assume_unique=True))
        overlaps.append(shared / (len(chosen[a]) + len(chosen[b]) - shared))
    return {
        "greedy": greedy,
        "random": random,
        "upper_bound": float(sum(bounds)) if all(bound is not None for bound in bounds) else None,
        "normalised_gain": None
        if gains is None
        else {"least": float(gains.min()), "mean": float(gains.mean())},
        "jaccard": float(np.mean(overlaps)) if overlaps else None,
        "covered": len(np.unique(np.concatenate(chosen))) / n,
    }
