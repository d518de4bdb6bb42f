"""Union-find: disjoint sets in which every root is the smallest id of its group."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.numerics.compiled import compiled, compiled_inside


class UnionFind:
    """Disjoint sets of the ids below `count`, united pair by pair; the root of each is its smallest id."""

    def __init__(self, count: int) -> None:
        # Four bytes an id, as far as four tell them apart.
        self.parents: NDArray[Any] = np.arange(count, dtype=np.int32 if count < 2**31 else np.int64)

    def union(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> None:
        """Unite the groups of first[i] and second[i]; (m,) int64 each.

        Raises:
          SelectionError: one of them is no id, or they are not as many.
        """
        # A compiled loop would write wherever they say.
        for ids in (first, second):
            if ids.shape != first.shape or (len(ids) and not 0 <= ids.min() <= ids.max() < len(self.parents)):
                raise SelectionError(f"UnionFind: {len(ids)} ids are not in 0 … {len(self.parents) - 1}")
        # Numba compiles once more for arrays that are read-only.
        _union_all(self.parents, np.require(first, requirements="W"), np.require(second, requirements="W"))

    def roots(self) -> NDArray[Any]:
        """Return the smallest id of each id's group, (count,); int32 where there are fewer than 2^31 ids."""
        _flatten(self.parents)
        return self.parents

    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the ids that are not the smallest of their group, and the smallest."""
        roots = self.roots()
        others = np.flatnonzero(roots != np.arange(len(roots), dtype=roots.dtype))
        return others, roots[others].astype(np.int64)


@compiled_inside
def _root(parents: np.ndarray, name: int) -> int:
    while parents[name] != name:
        parents[name] = parents[parents[name]]
        name = parents[name]
    return name


@compiled_inside
def union(parents: np.ndarray, a: int, b: int) -> None:
    """Unite the groups of two ids; `parents` (count,) is that of `UnionFind`."""
    a, b = _root(parents, a), _root(parents, b)
    # The smaller root stays one, so a root is the smallest id of its group.
    if a < b:
        parents[b] = a
    else:
        parents[a] = b


@compiled
def _union_all(parents: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
    for i in range(len(first)):
        union(parents, first[i], second[i])


@compiled
def _flatten(parents: np.ndarray) -> None:
    # Parents are never above their children: one pass in ascending order reaches every root.
    for i in range(len(parents)):
        parents[i] = parents[parents[i]]
