"""Approximate search by inverted lists: every row looks into the lists nearest to it.

Route writes the embeddings again, one row group a band of neighbouring lists. A searching worker takes a
group of neighbouring lists, whose rows look for their neighbours, and reads one by one the bands of the lists
that any of them probes: what it finds is final, and no vector goes through a shuffle.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from syllabus.pipeline.runtime.for_each import ForEach
from syllabus.pipeline.runtime.metrics import count_time
from syllabus.pipeline.stages.neighbours.coarse_quantizer import CoarseQuantizer, read_quantizer
from syllabus.pipeline.stages.neighbours.vectors import Block, NeighbourSearch
from syllabus.pipeline.work_directory import metadata_of, vectors_column, vectors_of
from syllabus.selectors.neighbours import Queries, TopK, search
from syllabus.selectors.numerics.union_find import UnionFind

ROUTED_ROWS = 65_536
BAND_ROWS = 1024
"""Rows in a row group, about: a list has a few dozen in each file, and reading them is a call as well."""
GROUPS = 16
GROUP_ROWS = 131_072

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
        rows = self.knn.vectors.most_rows(ROUTED_ROWS)
        return [block for block in self.knn.vectors.blocks(rows) if block.rows]

    def list_shard_key(self, block: Block) -> str:
        """Return the key of a block's rows, one row group a list."""
        return self.knn.key("cells", **self._of_block(block), probes=self.coarse.probes)

    def truth_key(self, block: Block) -> str:
        """Return the key of the exact nearest in a block of the rows that the recall is measured on."""
        return self.knn.key("truth", **self._of_block(block))

    def _of_block(self, block: Block) -> dict[str, Any]:
        return {"coarse": self.coarse_key, "first": block.first, "rows": block.rows}

    @property
    def band(self) -> int:
        """How many consecutive lists are one row group."""
        return max(1, BAND_ROWS * len(self.coarse.centroids) // ROUTED_ROWS)

    def groups(self) -> list[ListGroup]:
        """Cut the lists into groups."""
        lists = len(self.coarse.centroids)
        count = max(GROUPS, -(-self.knn.vectors.n // self.knn.vectors.most_rows(GROUP_ROWS)))
        edges = np.linspace(0, lists, min(count, lists) + 1).astype(int)
        return [(int(first), int(last)) for first, last in pairwise(edges)]

    def group_key(self, group: ListGroup) -> str:
        """Return the key of what a group's rows find."""
        return self.knn.key(
            "neighbours", coarse=self.coarse_key, probes=self.coarse.probes, lists=list(group)
        )


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
        ranked = self.lists.coarse.ranked(vectors, device)
        order = np.argsort(ranked[:, 0], kind="stable")
        bands, starts = np.unique(ranked[order, 0] // self.lists.band, return_index=True)
        bounds = [*starts.tolist(), len(order)]
        metadata = {"bands": bands.tolist()}
        width = ranked.shape[1] * 4
        schema = pa.schema(
            [
                ("position", pa.int64()),
                ("probes", pa.binary(width)),
                ("vector", pa.binary(vectors.shape[1] * 4)),
            ]
        )
        with self.lists.knn.vectors.work.writer("cells", key, schema, metadata) as writer:
            for first, stop in pairwise(bounds):
                taken = order[first:stop]
                probes = pa.py_buffer(np.ascontiguousarray(ranked[taken], "<i4"))
                columns = [
                    pa.array(block.first + taken),
                    pa.Array.from_buffers(pa.binary(width), len(taken), [None, probes]),
                    vectors_column(vectors[taken]),
                ]
                table = pa.Table.from_arrays(columns, schema=schema)
                writer.write(table)


class SearchGroup(beam.DoFn):
    """Searches for the rows of a group of lists; what it finds is in the work directory."""

    def __init__(self, lists: InvertedLists) -> None:
        self.lists = lists

    def process(self, group: ListGroup, routed: list[str]) -> Iterator[None]:
        """Write the group's shard unless it is there."""
        knn = self.lists.knn
        key = self.lists.group_key(group)
        if not knn.vectors.work.has("neighbours", key):
            with count_time("neighbours"):
                self._search(key, group, sorted(routed), knn.vectors.prepare_worker())
        yield from ()

    def _search(self, key: str, group: ListGroup, routed: list[str], device: str) -> None:
        knn = self.lists.knn
        with _ListShards(self.lists, routed) as files:
            found = files.read_all(range(*group))
            if found is None:
                knn.write(key, np.empty(0, np.int64), TopK.empty(0, knn.k), UnionFind(0))
                return
            positions, probes, vectors = found
            nearest = TopK.empty(len(positions), knn.k)
            duplicates = UnionFind(knn.vectors.n)
            lookers = _lookers(probes)
            for band in files.bands(lookers):
                for number, ids, _, rows in files.read(band, lookers):
                    # Taken out and put back: most lists are probed by few of the group's rows.
                    looking = lookers[number]
                    own_parts = knn.vectors.whole_and_cut(positions[looking])
                    for (mine, cut), (other, also) in product(own_parts, knn.vectors.whole_and_cut(ids)):
                        taken = looking[mine]
                        found = TopK(nearest.ids[taken], nearest.cosines[taken])
                        queries = Queries(vectors[taken], positions[taken], found)
                        threshold = np.inf if cut or also else knn.threshold
                        search(queries, rows[other], ids[other], threshold, duplicates, device)
                        nearest.ids[taken], nearest.cosines[taken] = found.ids, found.cosines
        knn.write(key, positions, nearest, duplicates)


def _lookers(probes: np.ndarray) -> dict[int, np.ndarray]:
    """Return the ascending places of the rows that look into each list, from their (m, p) probes."""
    order = np.argsort(probes, axis=None, kind="stable")
    numbers, starts = np.unique(probes.ravel()[order], return_index=True)
    return dict(zip(numbers.tolist(), np.split(order // probes.shape[1], starts[1:]), strict=True))


class SearchInvertedLists(beam.PTransform):
    """Routes all rows to their lists, then searches each group; what is already there is passed over."""

    def __init__(self, lists: InvertedLists) -> None:
        super().__init__()
        self.lists = lists

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """Start from the blocks of rows; the side input is there once every block is routed."""
        routed = beam.pvalue.AsList(pipeline | "Route" >> ForEach(self.lists.blocks(), Route(self.lists)))
        return pipeline | "Search" >> ForEach(self.lists.groups(), SearchGroup(self.lists), routed)


class _ListShards:
    """All list shards, opened, with the row groups of each band."""

    def __init__(self, lists: InvertedLists, keys: list[str]) -> None:
        self._knn, self._band, self._keys, self._stack = lists.knn, lists.band, keys, ExitStack()

    def __enter__(self) -> _ListShards:
        self._files = []
        self._groups: dict[int, list[tuple[int, int]]] = {}
        for place, key in enumerate(self._keys):
            self._files.append(self._stack.enter_context(self._knn.vectors.work.open("cells", key)))
            for group, number in enumerate(metadata_of(self._files[-1])["bands"]):
                self._groups.setdefault(number, []).append((place, group))
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def bands(self, wanted: Iterable[int]) -> list[int]:
        """Return the bands of these lists that have rows, ascending."""
        return sorted({number // self._band for number in wanted} & self._groups.keys())

    def read_all(self, wanted: range) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Return positions, probes and vectors of the rows of all these lists; None where they are empty."""
        # What they are joined from is gone when this returns: a search is long.
        parts = [part for band in self.bands(wanted) for _, *part in self.read(band, wanted)]
        if not parts:
            return None
        positions, probes, vectors = map(np.concatenate, zip(*parts, strict=True))
        return positions, probes, vectors

    def read(
        self, band: int, wanted: Container[int]
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """Yield number, positions, probes and vectors of the rows of each list of a band that is wanted."""
        found: dict[int, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}
        for place, group in self._groups[band]:
            table = self._files[place].read_row_group(group)
            positions = table.column("position").to_numpy()
            self._knn.check_positions("cells", self._keys[place], positions)
            probes, vectors = (vectors_of(table.column(name)) for name in ("probes", "vector"))
            probes = probes.view("<i4")
            # A row group has its rows by list: those of one are copied once, where all files' are joined.
            edges = np.flatnonzero(np.diff(probes[:, 0])) + 1
            for first, stop in pairwise([0, *edges.tolist(), len(positions)]):
                number = int(probes[first, 0])
                if number in wanted:
                    rows = slice(first, stop)
                    found.setdefault(number, []).append((positions[rows], probes[rows], vectors[rows]))
        for number in sorted(found):
            positions, probes, vectors = map(np.concatenate, zip(*found.pop(number), strict=True))
            yield number, positions, probes, vectors
