"""Budgets: that of a fraction, its division over parts, and the rows of given weights that fit into it.

Everything here is exact: integers only, so that any other program can arrive at the same numbers.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from syllabus.manifests.errors import ManifestError

# Weight of a part of a given size under each rule. A root is taken in units of 2⁻³²: an integer again.
RULES: dict[str, Callable[[int], int]] = {
    "proportional": lambda size: size,
    "equal": lambda size: 1,  # noqa: ARG005 - every rule is asked with the size
    "sqrt": lambda size: math.isqrt(size << 64),
}


def budget(fraction: float, n: int) -> int:
    """Return ⌊fraction·n + ½⌋, computed in float64: the budget that `fraction` of `n` stands for.

    `n` counts examples, or the units of their weights, as the budget then does.

    Raises:
      ManifestError: if `fraction` is outside (0, 1] or `n` is negative.

    >>> budget(0.1, 25), budget(1 / 3, 10)
    (3, 3)
    """
    if not 0 < fraction <= 1:
        raise ManifestError(f"budget: fraction {fraction} is outside (0, 1]")
    if n < 0:
        raise ManifestError(f"budget: n = {n} is negative")
    return math.floor(fraction * n + 0.5)


def allocate(
    k: int, sizes: Sequence[int] | npt.NDArray[np.integer[Any]], rule: str = "proportional"
) -> npt.NDArray[np.int64]:
    """Divide a budget of `k` over parts of the given `sizes`; return (parts,) int64 that sums exactly to `k`.

    A part gets in proportion to its weight (its size, one, or the root of its size), but never more than
    it has, and at least one while `k` reaches for all non-empty parts: what one part cannot take or must be
    given is made up by the others (water-filling). Shares are rounded down, and what is then left goes one
    by one to the largest remainders, equal ones in the order of the parts.

    Args:
      k: 0 ≤ k ≤ sum of `sizes`.
      sizes: (parts,) integers ≥ 0.
      rule: ``proportional``, ``equal`` or ``sqrt``.

    Raises:
      ManifestError: if `k`, a size or the rule is out of bounds.

    Cost: O(parts · log parts), and O(d) big-integer steps a round for d distinct sizes.

    >>> allocate(10, [100, 50, 2]).tolist(), allocate(10, [100, 50, 2], "equal").tolist()
    ([6, 3, 1], [4, 4, 2])
    """
    if rule not in RULES:
        raise ManifestError(f"allocate: rule {rule!r} is unknown; known: {', '.join(sorted(RULES))}")
    array = np.asarray(sizes, dtype=np.int64)
    if array.ndim != 1:
        raise ManifestError(f"allocate: sizes has shape {array.shape}; expected (parts,)")
    if array.size and int(array.min()) < 0:
        raise ManifestError(f"allocate: part {int(array.argmin())} has size {int(array.min())}, below 0")
    total = int(array.sum())
    if not 0 <= k <= total:
        raise ManifestError(f"allocate: k = {k} is outside [0, {total}], the sum of the sizes")
    return _allocate(int(k), array, rule)


def fill(weights: npt.NDArray[np.int64], limit: int) -> npt.NDArray[np.bool_]:
    """Return which of `weights`, (rows,) int64 ≥ 1, are taken when each in turn is that still fits `limit`.

    So less than the lightest one left out stays free.

    Cost: O(rows) each time that what did not fit is passed over, and then it is done with.

    >>> fill(np.array([5, 4, 2, 1]), 8).tolist()
    [True, False, True, True]
    """
    taken = np.zeros(len(weights), np.bool_)
    places = np.flatnonzero(weights <= limit)
    while places.size:
        ends = np.cumsum(weights[places])
        count = int(np.searchsorted(ends, limit, side="right"))
        taken[places[:count]] = True
        limit -= int(ends[count - 1])
        places = places[count:]
        places = places[weights[places] <= limit]
    return taken


def _allocate(k: int, sizes: npt.NDArray[np.int64], rule: str) -> npt.NDArray[np.int64]:
    # Parts of equal size have equal shares, and n examples have at most √(2n) different sizes.
    distinct, group, counts = np.unique(sizes, return_inverse=True, return_counts=True)
    lower = int(k >= int((sizes > 0).sum()))
    floors, remainders = _shares(k, distinct.tolist(), counts.tolist(), lower, rule)
    result = np.asarray(floors, dtype=np.int64)[group]
    # Remainders may exceed 64 bits; their rank among each other does not.
    rank = {value: place for place, value in enumerate(sorted(set(remainders)))}
    order = np.asarray([rank[value] for value in remainders], dtype=np.int64)[group]
    left = k - int(result.sum())
    result[np.argsort(-order, kind="stable")[:left]] += 1
    return result


def _shares(
    k: int, sizes: list[int], counts: list[int], lower: int, rule: str
) -> tuple[list[int], list[int]]:
    """Return for each distinct size the real share rounded down, and its remainder (in a common unit).

    The share is x = clip(τ·weight, lower, size) with τ such that all shares sum to k (Bitran and Hax,
    "Disaggregation and resource allocation using convex knapsack problems", 1981): solve for the free
    parts; those beyond the side that weighs more are fixed at that bound for good; repeat.
    """
    weights = [RULES[rule](size) for size in sizes]
    fixed: dict[int, int] = {place: 0 for place, size in enumerate(sizes) if size == 0}
    while True:
        free = [place for place in range(len(sizes)) if place not in fixed]
        rest = k - sum(counts[place] * value for place, value in fixed.items())
        weight = sum(counts[place] * weights[place] for place in free)
        # τ = rest / weight; both sides of each comparison are multiplied by weight.
        below = {p: lower * weight - weights[p] * rest for p in free if weights[p] * rest < lower * weight}
        above = {
            p: weights[p] * rest - sizes[p] * weight for p in free if weights[p] * rest > sizes[p] * weight
        }
        if not below and not above:
            break
        lack = sum(counts[p] * value for p, value in below.items())
        excess = sum(counts[p] * value for p, value in above.items())
        if lack >= excess:
            fixed.update(dict.fromkeys(below, lower))
        if excess >= lack:
            fixed.update({p: sizes[p] for p in above})
    floors = [fixed[p] if p in fixed else weights[p] * rest // weight for p in range(len(sizes))]
    remainders = [0 if p in fixed else weights[p] * rest % weight for p in range(len(sizes))]
    return floors, remainders
