"""What selecting from the buckets of a partition loses beside greedy over all of it, measured on a sample."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from syllabus.manifests.budgets import allocate
from syllabus.pipeline.stages.select.subsets import RANDOM_DRAWS
from syllabus.pipeline.stages.transform import mix
from syllabus.selectors import (
    GraphCut,
    SetFunction,
    SparseFacilityLocation,
    bound,
    maximize,
    rand_greedi,
    random_parts,
    random_value,
)

SAMPLE = 4096
"""Rows of a partition's sample, about."""
LEAST_CHOSEN = 8
"""Rows of the sample that are selected, at least, where it is not all there is."""
LEAST_PART = 64
"""Rows of a part of the sample, at least: there are fewer parts than buckets where it is small."""
NEAREST = 512
"""Rows kept that a served row may be served by, at most."""
_FIGURES = pa.schema(
    [
        ("fraction", pa.int32()),
        ("sample", pa.int64()),
        ("parts", pa.int32()),
        ("gain", pa.float64()),
        ("decided", pa.float64()),
    ]
)


def figures_of(found: list[dict[str, Any]]) -> pa.Table:
    """Return what was measured of a partition, a row for each fraction that its sample has enough for."""
    return pa.Table.from_pylist(found, _FIGURES)


def sampled(index: np.ndarray, rows: int, seed: int, size: int = SAMPLE) -> np.ndarray:
    """Return which rows of a partition of `rows` are in its sample of about `size`, (m,) bool.

    Each is drawn by its own hash; a smaller sample is part of a larger one.
    """
    limit = min(1.0, size / rows) * 2.0**64
    return np.asarray(mix(index.astype(np.uint64), seed + 1).astype(np.float64) < limit)


def certify(
    function: GraphCut, rows: int, chosen: np.ndarray, picked: np.ndarray, count: int
) -> dict[str, Any] | None:
    """Return what a selection keeps of the gain of the best there is, at least; None if too little is known.

    f is concave in the sum of the rows selected: no set of as many rows has more than f of the selection and
    what the largest scores, given it, are above its own. How far these are above is estimated from a sample.

    Args:
      function: over the (m, d) sampled vectors; what they represent is all rows, as if these were m.
      rows: of all.
      chosen: (m,) bool, which sampled rows are selected.
      picked: (d,), the sum of all rows selected.
      count: how many are.
    """
    sample, number, slope = len(chosen), int(chosen.sum()), function.similarity.slope
    if not 0 < count < rows or number < min(LEAST_CHOSEN, count):
        return None
    query = rows / sample * function.first_query
    total = query / slope
    # Of f what sets of one size do not have alike. Two rows of a random set are any two.
    squared, pairs = float(total @ total), count * (count - 1) / (rows * (rows - 1))
    random = count / rows * squared - function.trade_off * (count + pairs * (squared - rows))
    margin = slope * float(picked @ total - function.trade_off * (picked @ picked) - random)
    reach = query - function.step * picked
    scores = function.rows @ reach
    largest = np.partition(scores, sample - number)[sample - number :]
    missed = max(0.0, rows / sample * float(largest.sum() - scores[chosen].sum()))
    # Of two bounds, from the scores and from f if any sum could be reached, and all between them the least.
    unreached = float(reach @ reach) / (2 * function.step) if function.step else math.inf
    between = min(1.0, missed / (2 * unreached)) if unreached else 1.0
    missed = (1 - between) * missed + (between**2 * unreached if between else 0.0)
    gain = margin / (margin + missed) if margin + missed > 1e-9 * rows * count else None
    budget = min(sample, max(1, int(count / rows * sample + 0.5)))
    return {"sample": sample, "gain": gain, "decided": bound(function, budget).share}


def measure(
    function: Callable[[np.ndarray], SetFunction],
    vectors: np.ndarray,
    share: float,
    parts: int,
    seed: tuple[int, ...],
    oversampling: float | None = None,
) -> dict[str, Any] | None:
    """Return what a selection in parts keeps of greedy's gain over (m, d) sampled vectors; None if too few.

    Args:
      function: makes the set function over some vectors.
      vectors: by ascending index.
      share: of the rows, what is selected.
      parts: as many as the partition has buckets.
      seed: of the parts and of the random subsets.
      oversampling: times its share that a part keeps for a second greedy; None where there is none.
    """
    rows = len(vectors)
    parts = min(parts, rows // LEAST_PART)
    budget = int(share * rows + 0.5)
    if parts < 2 or not parts <= budget < rows:
        return None
    whole = function(vectors)
    greedy = maximize(whole, budget).objective
    random = random_value(whole, budget, RANDOM_DRAWS, seed)
    if not greedy - random > 1e-12 * max(1.0, abs(greedy)):
        return None
    numbers = random_parts(rows, parts, seed)
    if oversampling is None:
        shares = allocate(budget, np.bincount(numbers), "proportional")
        chosen = []
        for number, size in enumerate(shares.tolist()):
            own = np.flatnonzero(numbers == number)
            chosen.append(own[maximize(function(vectors[own]), size).indices])
        indices = np.concatenate(chosen)
    else:
        indices = rand_greedi(
            lambda own: function(vectors[own]), rows, budget, rows, seed, oversampling, parts=numbers,
            final=lambda own: SparseFacilityLocation(vectors[own], NEAREST, served=vectors, floor=True),
        ).indices  # fmt: skip
    gain = (whole.value(indices) - random) / (greedy - random)
    return {"sample": rows, "parts": parts, "gain": gain}
