"""Exact search: every pair of blocks meets once, in one product that is used from both sides."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement, product
from typing import TypeVar

import apache_beam as beam
import numpy as np

from syllabus.pipeline.runtime.metrics import count_time
from syllabus.pipeline.stages.neighbours.vectors import Block, NeighbourSearch
from syllabus.selectors.neighbours import Queries, TopK, search_each_other
from syllabus.selectors.numerics.union_find import UnionFind

BLOCK_ROWS = 8192
PART_PAIRS = 12
"""Pairs of blocks in one element of work: 10 s on a core at 384 dimensions."""
MOST_BLOCKS = 2 * PART_PAIRS
LEAST_PARTS = 8
"""Elements of work where there are as many pairs: fewer would leave workers idle."""

T = TypeVar("T")
Part = tuple[tuple[int, int], ...]
"""Pairs of blocks by their numbers."""


def parts(knn: NeighbourSearch) -> list[Part]:
    """Cut the pairs of blocks into elements of work."""
    pairs = list(combinations_with_replacement(range(len(blocks(knn))), 2))
    size = min(PART_PAIRS, -(-len(pairs) // LEAST_PARTS))
    return [tuple(pairs[first : first + size]) for first in range(0, len(pairs), size)]


def blocks(knn: NeighbourSearch) -> list[Block]:
    """Return the blocks that `parts` counts."""
    return [block for block in knn.vectors.blocks(_block_rows(knn)) if block.rows]


def _block_rows(knn: NeighbourSearch) -> int:
    return knn.vectors.most_rows(BLOCK_ROWS, MOST_BLOCKS)


def part_key(knn: NeighbourSearch, part: Part) -> str:
    """Return the key of what a part finds."""
    return knn.key("neighbours", pairs=[list(pair) for pair in part], block=_block_rows(knn))


def meetings(first: list[T], second: list[T]) -> list[tuple[T, T]]:
    """Return every pair of one of `first` and one of `second`; once each where both are the same list."""
    return list(combinations_with_replacement(first, 2) if first is second else product(first, second))


class SearchPairs(beam.DoFn):
    """Searches the pairs of blocks of one part; what it finds is in the work directory."""

    def __init__(self, knn: NeighbourSearch) -> None:
        self.knn = knn

    def process(self, part: Part) -> Iterator[None]:
        """Write the part's shard unless it is there."""
        knn, key = self.knn, part_key(self.knn, part)
        if not knn.vectors.work.has("neighbours", key):
            with count_time("neighbours"):
                self._search(key, part, knn.vectors.prepare_worker())
        yield from ()

    def _search(self, key: str, part: Part, device: str) -> None:
        knn, every = self.knn, blocks(self.knn)
        held: dict[int, list[tuple[Queries, bool]]] = {}
        for number in sorted({number for pair in part for number in pair}):
            block = every[number]
            positions, rows = np.arange(block.first, block.first + block.rows), knn.vectors.read(block)
            held[number] = [
                (Queries(rows[places], own := positions[places], TopK.empty(len(own), knn.k)), cut)
                for places, cut in knn.vectors.whole_and_cut(positions)
            ]
        duplicates = UnionFind(knn.vectors.n)
        for a, b in part:
            for (first, cut), (second, also) in meetings(held[a], held[b]):
                threshold = np.inf if cut or also else knn.threshold
                search_each_other(first, second, threshold, duplicates, device)
        found = [queries for each in held.values() for queries, _ in each]
        nearest = TopK(
            np.concatenate([each.nearest.ids for each in found]),
            np.concatenate([each.nearest.cosines for each in found]),
        )
        knn.write(key, np.concatenate([each.ids for each in found]), nearest, duplicates)
