"""Exact k-nearest-neighbour search by cosine, in blocks, and the pairs above a threshold.

A product G = Q Xᵀ of unit rows in float32, summed in any order, errs by at most ε = (d + 16) 2^-24. It rules
out all but a few pairs; `dot` (float64, in one order) decides the rest, equal ones by the smaller id.
So the result is that of computing every pair exactly, whatever the blocks, the threads or the device of the
product: parts of the data may be searched anywhere, in any order, and their results merged.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.neighbours.flat_index import by_faiss_on_gpu, search_flat
from syllabus.selectors.neighbours.top_k import TopK, transposed, update_top_k
from syllabus.selectors.numerics.products import product, relative_error
from syllabus.selectors.numerics.union_find import UnionFind
from syllabus.selectors.validation import Vectors, real_number, unit_rows, whole_number

# Rows of a product: 16 MB, as fast as larger ones. In a power of two its columns would meet in the cache.
TILE = 2000
ROUNDING = 1e-6
"""What a threshold allows below itself: norms are 1 to about 1e-7, so copies have a cosine of 1 - 1e-7."""


@dataclass(frozen=True)
class Queries:
    """Some rows that look for their nearest.

    Attributes:
      rows: (m, d) float32 unit rows, contiguous.
      ids: (m,) int64, distinct.
      nearest: theirs; written to.
    """

    rows: NDArray[np.float32]
    ids: NDArray[np.int64]
    nearest: TopK


def neighbours(
    vectors: Vectors, k: int, threshold: float = 0.95
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Return the k nearest other rows of each row, their cosines, and the duplicate group of each row.

    Args:
      vectors: (n, d) numbers, unit rows.
      k: 1 <= k < n.
      threshold: in (0, 1]. Rows of a cosine of at least `threshold` - 1e-6 are joined, transitively.

    Returns:
      ids (n, k) int64, nearest first, of equal ones the smaller; cosines (n, k) float64; groups (n,) int64,
      the smallest row number among the rows joined.

    O(n² d / 2): one product of each pair of rows, used from both sides.

    >>> ids, cosines, groups = neighbours(np.array([[1, 0], [0, 1], [1, 0]], np.float32), k=1)
    >>> ids.ravel().tolist(), groups.tolist()
    ([2, 0, 0], [0, 1, 0])

    Raises:
      SelectionError: an argument is out of its bounds.
    """
    rows = unit_rows(vectors, "neighbours")
    n = len(rows)
    k = whole_number(k, "k", 1, n - 1, f"[1, n - 1={n - 1}]", "neighbours")
    threshold = real_number(threshold, "threshold", lambda value: 0 < value <= 1, "(0, 1]", "neighbours")
    groups, blocks = UnionFind(n), []
    for first in range(0, n, TILE):
        ids = np.arange(first, min(first + TILE, n))
        blocks.append(Queries(rows[ids[0] : ids[-1] + 1], ids, TopK.empty(len(ids), k)))
    for number, block in enumerate(blocks):
        for other in blocks[number:]:
            search_each_other(block, other, threshold, groups)
    ids = np.concatenate([block.nearest.ids for block in blocks])
    cosines = np.concatenate([block.nearest.cosines for block in blocks])
    return ids, cosines, groups.roots().astype(np.int64)


def search(
    queries: Queries,
    rows: NDArray[np.float32],
    ids: NDArray[np.int64],
    threshold: float,
    groups: UnionFind,
    device: str = "cpu",
) -> None:
    """Let `queries` look among (r, d) `rows` named `ids`, none of which they have looked at before.

    By faiss where `device` is a GPU and faiss has one; else by products there.
    """
    low, error = threshold - ROUNDING, _error(rows, device)
    if not by_faiss_on_gpu(device):
        _search_products(queries, rows, ids, low, error, groups, device)
        return
    found = queries.nearest
    left = search_flat(queries.rows, queries.ids, found, rows, ids, low, error, groups.parents, device)
    rest = Queries(queries.rows[left], queries.ids[left], TopK(found.ids[left], found.cosines[left]))
    _search_products(rest, rows, ids, low, error, groups, device)
    found.ids[left], found.cosines[left] = rest.nearest.ids, rest.nearest.cosines


def _search_products(
    queries: Queries,
    rows: NDArray[np.float32],
    ids: NDArray[np.int64],
    low: float,
    error: float,
    groups: UnionFind,
    device: str,
) -> None:
    for start in range(0, len(queries.rows), TILE):
        at = slice(start, start + TILE)
        mine = (queries.rows[at], queries.ids[at], queries.nearest.ids[at], queries.nearest.cosines[at])
        for other in range(0, len(rows), TILE):
            theirs = rows[other : other + TILE]
            update_top_k(
                product(mine[0], theirs, device), mine[0], mine[1], theirs, ids[other : other + TILE],
                mine[2], mine[3], error, low, groups.parents,
            )  # fmt: skip


def search_each_other(
    first: Queries, second: Queries, threshold: float, groups: UnionFind, device: str = "cpu"
) -> None:
    """Let two sets of rows look among each other; a set and itself, among all its rows."""
    low, error = threshold - ROUNDING, _error(first.rows, device)
    none = np.empty(0, np.int64)
    for start in range(0, len(first.rows), TILE):
        a = slice(start, start + TILE)
        for other in range(start if first is second else 0, len(second.rows), TILE):
            b = slice(other, other + TILE)
            tile = product(first.rows[a], second.rows[b], device)
            update_top_k(
                tile, first.rows[a], first.ids[a], second.rows[b], second.ids[b], first.nearest.ids[a],
                first.nearest.cosines[a], error, low, groups.parents,
            )  # fmt: skip
            if first is second and start == other:
                continue
            # The same pairs from the other side; they are joined already.
            update_top_k(
                transposed(tile), second.rows[b], second.ids[b], first.rows[a], first.ids[a],
                second.nearest.ids[b], second.nearest.cosines[b], error, np.inf, none,
            )  # fmt: skip


def _error(rows: NDArray[np.float32], device: str) -> float:
    return relative_error(rows.shape[1], by_torch=device != "cpu") * 1.0003  # norms are within 1e-4 of 1
