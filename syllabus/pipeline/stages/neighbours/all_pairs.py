"""Exact search: every pair of blocks meets once, in one product that is used from both sides."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement

import apache_beam as beam
import numpy as np

from syllabus.pipeline.runtime.metrics import count_time
from syllabus.pipeline.stages.neighbours.vectors import Block, NeighbourSearch
from syllabus.selectors.neighbours import Queries, TopK, search_each_other
from syllabus.selectors.numerics.union_find import UnionFind

BLOCK_ROWS = 8192
PART_PAIRS = 12
"""Pairs of blocks in one element of work: 10 s on a core at 384 dimensions."""

Part = tuple[tuple[int, int], ...]
"""Pairs of blocks by their numbers."""


def parts(knn: NeighbourSearch) -> list[Part]:
    """Cut the pairs of blocks into elements of work."""
    pairs = list(combinations_with_replacement(range(len(blocks(knn))), 2))
    return [tuple(pairs[first : first + PART_PAIRS]) for first in range(0, len(pairs), PART_PAIRS)]


def blocks(knn: NeighbourSearch) -> list[Block]:
    """Return the blocks that `parts` counts."""
    return [block for block in knn.vectors.blocks(BLOCK_ROWS) if block.rows]


def part_key(knn: NeighbourSearch, part: Part) -> str:
    """Return the key of what a part finds."""
    return knn.key("neighbours", pairs=[list(pair) for pair in part], block=BLOCK_ROWS)


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
        held: dict[int, Queries] = {}
        for number in sorted({number for pair in part for number in pair}):
            block = every[number]
            nearest = TopK.empty(block.rows, knn.k)
            positions = np.arange(block.first, block.first + block.rows)
            held[number] = Queries(knn.vectors.read(block), positions, nearest)
        duplicates = UnionFind(knn.vectors.n)
        for first, second in part:
            search_each_other(held[first], held[second], knn.threshold, duplicates, device)
        found = list(held.values())
        nearest = TopK(
            np.concatenate([each.nearest.ids for each in found]),
            np.concatenate([each.nearest.cosines for each in found]),
        )
        knn.write(key, np.concatenate([each.ids for each in found]), nearest, duplicates)
