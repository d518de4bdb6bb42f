"""Exact greedy disparity-min (farthest-first traversal) by blocks of stale distances.

Each row keeps its exact distance to the picks it has been compared with: an upper bound on its distance to
all of them. The rows with the largest bounds form a block, are compared with the picks they have not seen
by float32 products (`distances.py` keeps the result exact), and picks are taken from the block for as long as
its best comes before every bound outside, in the order (distance descending, index ascending). So the picks
are those of computing every distance exactly, ties included.

Every pair (row, pick) is compared at most once: at most the work of the (n x d)(d x k) product, half of it
for a full ranking. Memory: the picked rows (k d floats), 24 n bytes and a block.
"""

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.constraint import Constraint
from syllabus.selectors.functions.disparity_min import DisparityMin, DisparityMinState
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.distances import squared_norms
from syllabus.selectors.numerics.fixed_order_sums import dot, squared_distance_over_4
from syllabus.selectors.optimizers.greedy import PartialSelection, Solution

_BLOCK = 256  # rows brought up to date together: wide enough for the product, small enough to be picked from
_BLOCK_SHARE = 128  # at least n / 128 rows: finding a block costs a pass over n bounds
_CHUNK = 512  # picks compared at once


def farthest_first(function: DisparityMin, constraint: Constraint, *_: object) -> Solution:
    """Return what `greedy.naive` does within a budget of rows."""
    run, rows, candidates = PartialSelection(function, constraint), function.rows, constraint.candidates
    state, picks, budget = run.state, run.picks, len(run.picks)
    assert isinstance(state, DisparityMinState)
    if run.count == 0:
        run.add(int(candidates[0]), 0.0)  # all first gains are equal: the smallest index
    count = run.count
    nearest, seen = state.nearest, state.seen
    nearest[np.setdiff1d(np.arange(function.n), candidates, assume_unique=True)] = -1.0
    nearest[picks[:count]] = -1.0
    seen[:] = 0
    picked = np.empty((budget, rows.shape[1]), np.float32)
    picked[:count] = rows[picks[:count]]
    norms = np.empty(budget)
    norms[:count] = squared_norms(picked[:count])
    distances = np.empty(budget)
    size = max(_BLOCK, function.n // _BLOCK_SHARE)
    while count < budget:
        left = len(candidates) - (count - len(constraint.included))
        block, bound, bound_index = _largest(nearest, min(size, left))
        # Those behind a chunk of picks form a prefix.
        block = block[np.argsort(seen[block], kind="stable")]
        block_rows = rows[block]
        block_nearest = nearest[block]
        _refresh(
            function, block, block_rows, block_nearest, seen[block],
            picks[:count], picked[:count], norms[:count],
        )  # fmt: skip
        count = _take(
            block, block_rows, block_nearest, bound, bound_index, picks, picked, distances, norms, count
        )
        nearest[block] = block_nearest
        seen[block] = count
    run.gains[run.count :] = state.add_in_order(picks[run.count :], distances[run.count :])
    run.count, run.remaining = budget, 0.0
    return run.solution()


def _largest(nearest: NDArray[np.float64], size: int) -> tuple[NDArray[np.int64], float, int]:
    """Return `size` rows that come first by (bound descending, index ascending), and the first one left out.

    Picked rows carry -1 and never come first; without a row left out the bound is -1.
    """
    n = len(nearest)
    least = float(np.partition(nearest, n - size)[n - size])
    above = np.flatnonzero(nearest > least)
    level = np.flatnonzero(nearest == least)
    block = np.concatenate([above, level[: size - len(above)]])
    if len(level) > size - len(above):
        return block, least, int(level[size - len(above)])
    if size == n:
        return block, -1.0, n
    below = np.where(nearest < least, nearest, -2.0)
    return block, float(below.max()), int(below.argmax())


def _refresh(
    function: DisparityMin,
    block: NDArray[np.int64],
    rows: NDArray[np.float32],
    nearest: NDArray[np.float64],
    seen: NDArray[np.int64],
    picks: NDArray[np.int64],
    picked: NDArray[np.float32],
    norms: NDArray[np.float64],
) -> None:
    """Lower `nearest` to the exact distance to all of `picked`; `seen` is ascending."""
    # Rows at distance 0 cannot come nearer.
    for start in range(int(seen[0]) // _CHUNK * _CHUNK, len(picked), _CHUNK):
        stop = min(start + _CHUNK, len(picked))
        behind = int(np.searchsorted(seen, stop))
        first = max(start, int(seen[0]))
        function.products.lower(
            block[:behind], rows[:behind], picks[first:stop], picked[first:stop], norms[first:stop],
            nearest[:behind], function.product_error,
        )  # fmt: skip


@compiled
def _take(
    block: np.ndarray,
    rows: np.ndarray,
    nearest: np.ndarray,
    bound: float,
    bound_index: int,
    picks: np.ndarray,
    picked: np.ndarray,
    distances: np.ndarray,
    norms: np.ndarray,
    count: int,
) -> int:
    """Pick from the block while its best comes before (bound, bound_index); return the new count."""
    while count < picks.shape[0]:
        best = -1.0
        place = -1
        for i in range(block.shape[0]):
            if nearest[i] > best or (nearest[i] == best and place >= 0 and block[i] < block[place]):
                best = nearest[i]
                place = i
        if place < 0 or best < bound or (best == bound and block[place] > bound_index):
            return count
        picks[count] = block[place]
        distances[count] = best
        nearest[place] = -1.0
        for j in range(rows.shape[1]):
            picked[count, j] = rows[place, j]
        norms[count] = dot(rows[place], rows[place])
        count += 1
        for i in range(block.shape[0]):
            if nearest[i] > 0.0:
                nearest[i] = min(nearest[i], squared_distance_over_4(rows[i], rows[place]))
    return count
