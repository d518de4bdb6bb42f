"""Approximate search by inverted lists: every row looks into the lists nearest to it.

Route writes the embeddings again, one row group a group of neighbouring lists. Join makes of the row groups
of a group one file, a row group a list. A searching worker takes such a group, whose rows look for their
neighbours, and reads one by one the lists that any of them probes: what it finds is final, and no vector goes
through a shuffle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Any

import apache_beam as beam
import numpy as np

from syllabus.pipeline.runtime.for_each import ForEach
from syllabus.pipeline.runtime.metrics import count_time
from syllabus.pipeline.stages.neighbours.coarse_quantizer import CoarseQuantizer, read_quantizer
from syllabus.pipeline.stages.neighbours.list_rows import PIECE, ListRows, pieces
from syllabus.pipeline.stages.neighbours.vectors import Block, NeighbourSearch
from syllabus.pipeline.work_directory import metadata_of
from syllabus.selectors.neighbours import Queries, TopK, search
from syllabus.selectors.numerics.union_find import UnionFind

ROUTED_ROWS = 65_536
GROUPS = 16
GROUP_ROWS = 131_072
HELD = 20
"""Blocks, or groups of lists, that a worker has room for. It holds one: so they are as large at 10^5 rows of
a few hundred columns as at 10^7, and so is the memory that they take."""

ListGroup = tuple[int, int]
"""[first, last) numbers of the lists whose rows one worker searches for."""


@dataclass(frozen=True, eq=False)
class InvertedLists:
    """The keys and the elements of work of a search by inverted lists."""

    knn: NeighbourSearch
    coarse: CoarseQuantizer
    coarse_key: str

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the arrays to the shard: Beam compresses by bz2 whatever a DoFn carries, many times."""
        return _lists_of, (self.knn, self.coarse_key, self.coarse.probes)

    def blocks(self) -> list[Block]:
        """Return the blocks that are routed."""
        rows = self.knn.vectors.most_rows(ROUTED_ROWS, HELD)
        return [block for block in self.knn.vectors.blocks(rows) if block.rows]

    def list_shard_key(self, block: Block) -> str:
        """Return the key of a block's rows, one row group a group of lists."""
        groups = len(self.groups())
        return self.knn.key("cells", **self._of_block(block), probes=self.coarse.probes, groups=groups)

    def truth_key(self, block: Block) -> str:
        """Return the key of the exact nearest in a block of the rows that the recall is measured on."""
        return self.knn.key("truth", **self._of_block(block))

    def _of_block(self, block: Block) -> dict[str, Any]:
        return {"coarse": self.coarse_key, "first": block.first, "rows": block.rows}

    def groups(self) -> list[ListGroup]:
        """Cut the lists into groups."""
        lists = len(self.coarse.centroids)
        count = max(GROUPS, -(-self.knn.vectors.n // self.knn.vectors.most_rows(GROUP_ROWS, HELD)))
        edges = np.linspace(0, lists, min(count, lists) + 1).astype(int)
        return [(int(first), int(last)) for first, last in pairwise(edges)]

    def joined_key(self, group: ListGroup) -> str:
        """Return the key of a group's rows, one row group a list."""
        return self.knn.key("cells", coarse=self.coarse_key, probes=self.coarse.probes, lists=list(group))

    def group_key(self, group: ListGroup) -> str:
        """Return the key of what a group's rows find."""
        return self.knn.key(
            "neighbours", coarse=self.coarse_key, probes=self.coarse.probes, lists=list(group)
        )

    def room(self, rows: int) -> ListRows:
        """Return room for so many rows."""
        return ListRows.empty(rows, self.coarse.probes, self.knn.vectors.dimension)


def _lists_of(knn: NeighbourSearch, key: str, probes: int) -> InvertedLists:
    return InvertedLists(knn, replace(read_quantizer(knn.vectors.work, key), probes=probes), key)


class Route(beam.DoFn):
    """Writes a block's rows by list, and finds the exact nearest of the measured rows in it."""

    def __init__(self, lists: InvertedLists) -> None:
        self.lists = lists

    def process(self, block: Block) -> Iterator[str]:
        """Write the block's shards unless they are there; yield the key of the routed rows."""
        lists = self.lists
        work, routed, truth = lists.knn.vectors.work, lists.list_shard_key(block), lists.truth_key(block)
        if not (work.has("cells", routed) and work.has("neighbours", truth)):
            device = lists.knn.vectors.prepare_worker()
            with count_time("route"):
                vectors = lists.knn.vectors.read(block)
                if not work.has("neighbours", truth):
                    self._measure(truth, block, vectors, device)
                if not work.has("cells", routed):
                    self._write(routed, block, vectors, device)
        yield routed

    def _measure(self, key: str, block: Block, vectors: np.ndarray, device: str) -> None:
        knn, coarse = self.lists.knn, self.lists.coarse
        nearest = TopK.empty(len(coarse.queries), knn.k)
        queries = Queries(coarse.query_vectors, coarse.queries, nearest)
        positions = np.arange(block.first, block.first + block.rows)
        search(queries, vectors, positions, np.inf, UnionFind(0), device)
        knn.write(key, coarse.queries, nearest, UnionFind(0))

    def _write(self, key: str, block: Block, vectors: np.ndarray, device: str) -> None:
        groups = self.lists.groups()
        positions = np.arange(block.first, block.first + block.rows)
        rows = ListRows(positions, self.lists.coarse.ranked(vectors, device), vectors)
        home = rows.probes[:, 0]
        of_groups = [np.flatnonzero((first <= home) & (home < last)) for first, last in groups]
        counts = {"rows": [len(places) for places in of_groups]}
        with self.lists.knn.vectors.work.writer("cells", key, rows.schema, counts) as writer:
            for places in of_groups:
                rows.write(writer, places)


class Join(beam.DoFn):
    """Writes the rows of a group of lists, of all blocks, by list."""

    def __init__(self, lists: InvertedLists) -> None:
        self.lists = lists

    def process(self, group: ListGroup, _: list[str]) -> Iterator[str]:
        """Write the group's rows unless they are there; yield their key."""
        key = self.lists.joined_key(group)
        if not self.lists.knn.vectors.work.has("cells", key):
            with count_time("join"):
                self._join(key, group)
        yield key

    def _join(self, key: str, group: ListGroup) -> None:
        lists, work = self.lists, self.lists.knn.vectors.work
        number, routed = lists.groups().index(group), [lists.list_shard_key(each) for each in lists.blocks()]
        counts = [work.metadata("cells", each)["rows"] for each in routed]
        rows, stop = lists.room(sum(each[number] for each in counts)), 0
        for each, in_groups in zip(routed, counts, strict=True):
            place = sum(map(pieces, in_groups[:number]))
            with work.sealed("cells", each) as file:
                first, stop = stop, rows.read(file, range(place, place + pieces(in_groups[number])), stop)
            lists.knn.check_positions("cells", each, rows.positions[first:stop])
        by_list = rows.by_list()
        numbers = [number for number, places in by_list for _ in range(pieces(len(places)))]
        with work.writer("cells", key, rows.schema, {"lists": numbers}) as writer:
            for _, places in by_list:
                rows.write(writer, places)


class SearchGroup(beam.DoFn):
    """Searches for the rows of a group of lists; what it finds is in the work directory."""

    def __init__(self, lists: InvertedLists) -> None:
        self.lists = lists

    def process(self, group: ListGroup, _: list[str]) -> Iterator[None]:
        """Write the group's shard unless it is there."""
        knn = self.lists.knn
        key = self.lists.group_key(group)
        if not knn.vectors.work.has("neighbours", key):
            with count_time("neighbours"):
                self._search(key, group, knn.vectors.prepare_worker())
        yield from ()

    def _search(self, key: str, group: ListGroup, device: str) -> None:
        knn, lists = self.lists.knn, self.lists
        with knn.vectors.work.sealed("cells", lists.joined_key(group)) as file:
            own = lists.room(file.metadata.num_rows)
            own.read(file, range(file.metadata.num_row_groups))
        knn.check_positions("cells", lists.joined_key(group), own.positions)
        nearest = TopK.empty(len(own.positions), knn.k)
        duplicates = UnionFind(knn.vectors.n)
        lookers = _lookers(own.probes)
        for number, ids, rows in self._read(lookers):
            # Taken out and put back: most lists are probed by few of the group's rows.
            looking = lookers[number]
            own_parts = knn.vectors.whole_and_cut(own.positions[looking])
            for (mine, cut), (other, also) in product(own_parts, knn.vectors.whole_and_cut(ids)):
                taken = looking[mine]
                found = TopK(nearest.ids[taken], nearest.cosines[taken])
                queries = Queries(own.vectors[taken], own.positions[taken], found)
                threshold = np.inf if cut or also else knn.threshold
                search(queries, rows[other], ids[other], threshold, duplicates, device)
                nearest.ids[taken], nearest.cosines[taken] = found.ids, found.cosines
        knn.write(key, own.positions, nearest, duplicates)

    def _read(self, wanted: dict[int, np.ndarray]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield number, positions and vectors of the rows of wanted lists, overwritten by the next ones."""
        lists, room = self.lists, self.lists.room(PIECE)
        for group in lists.groups():
            if wanted.keys().isdisjoint(range(*group)):
                continue
            key = lists.joined_key(group)
            with lists.knn.vectors.work.sealed("cells", key) as file:
                for place, number in enumerate(metadata_of(file)["lists"]):
                    if number in wanted:
                        rows = room.first(room.read(file, range(place, place + 1)))
                        lists.knn.check_positions("cells", key, rows.positions)
                        yield number, rows.positions, rows.vectors


def _lookers(probes: np.ndarray) -> dict[int, np.ndarray]:
    """Return the ascending places of the rows that look into each list, from their (m, p) probes."""
    order = np.argsort(probes, axis=None, kind="stable")
    numbers, starts = np.unique(probes.ravel()[order], return_index=True)
    if not len(numbers):  # of lists without rows
        return {}
    return dict(zip(numbers.tolist(), np.split(order // probes.shape[1], starts[1:]), strict=True))


class SearchInvertedLists(beam.PTransform):
    """Routes all rows to their lists, joins and searches each group; what is there is passed over."""

    def __init__(self, lists: InvertedLists) -> None:
        super().__init__()
        self.lists = lists

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """Start from the blocks of rows; a side input is there once all before it is done."""
        groups = self.lists.groups()
        routed = beam.pvalue.AsList(pipeline | "Route" >> ForEach(self.lists.blocks(), Route(self.lists)))
        joined = beam.pvalue.AsList(pipeline | "Join" >> ForEach(groups, Join(self.lists), routed))
        return pipeline | "Search" >> ForEach(groups, SearchGroup(self.lists), joined)
