"""The order in which stored subsets come: shuffled laps of all of them, never one twice running."""

from __future__ import annotations

import numpy as np

from syllabus.trainer import counter_rng


def subset_at(step: int, count: int, seed: int) -> int:
    """Return which of `count` subsets is the `step`-th of the walk. O(count)."""
    lap, place = divmod(step, count)
    walk = _lap(lap, count, seed)
    if lap and count > 2 and walk[0] == _lap(lap - 1, count, seed)[-1]:
        # A swap at the front leaves the lap's last subset alone: no lap depends on one before the last.
        walk[[0, 1]] = walk[[1, 0]]
    return int(walk[place])


def _lap(lap: int, count: int, seed: int) -> np.ndarray:
    # Of two subsets, only one alternation has no equal neighbours, so every lap is the first.
    return counter_rng.permutation(counter_rng.key(seed, "subsets", lap if count > 2 else 0), count)
