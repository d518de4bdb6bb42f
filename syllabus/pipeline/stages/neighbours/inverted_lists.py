"""The search by coarse lists: every row looks into the lists nearest to it.

Route writes the embeddings again, one row group a list. A searching worker takes some neighbouring lists,
whose rows look for their neighbours, and reads one by one the lists that any of them probes: what it finds
is final, and no vector goes through a shuffle.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from syllabus.pipeline.runtime.metrics import busy
from syllabus.pipeline.stages.neighbours.coarse_quantizer import Coarse
from syllabus.pipeline.stages.neighbours.vectors import Block, Wanted
from syllabus.pipeline.work_directory import Work, note_of, vectors_column, vectors_of
from syllabus.selectors.neighbours import Queries, TopK, search
from syllabus.selectors.numerics.union_find import UnionFind

ROUTED_ROWS = 65_536
BUNDLES = 16
BUNDLE_ROWS = 131_072


class Lists:
    """The keys and the elements of work of a search by lists."""

    def __init__(self, wanted: Wanted, coarse: Coarse, coarse_key: str) -> None:
        self.wanted, self.coarse, self.coarse_key = wanted, coarse, coarse_key

    def blocks(self) -> list[Block]:
        """Return the blocks that are routed."""
        return [block for block in self.wanted.vectors.blocks(ROUTED_ROWS) if block.rows]

    def routed_key(self, block: Block) -> str:
        """Return the key of a block's rows, one row group a list."""
        return self.wanted.key("cells", coarse=self.coarse_key, first=block.first, probes=self.coarse.probes)

    def truth_key(self, block: Block) -> str:
        """Return the key of the exact nearest in a block of the rows that the recall is measured on."""
        return self.wanted.key("truth", coarse=self.coarse_key, first=block.first)

    def bundles(self) -> list[tuple[int, int]]:
        """Return [first, last) numbers of the lists whose rows one worker searches for."""
        lists = len(self.coarse.centroids)
        count = max(BUNDLES, -(-self.wanted.vectors.n // BUNDLE_ROWS))
        edges = np.linspace(0, lists, min(count, lists) + 1).astype(int)
        return [(int(first), int(last)) for first, last in pairwise(edges)]

    def bundle_key(self, bundle: tuple[int, int]) -> str:
        """Return the key of what a bundle's rows find."""
        return self.wanted.key(
            "neighbours", coarse=self.coarse_key, probes=self.coarse.probes, lists=list(bundle)
        )


class Route(beam.DoFn):
    """Writes a block's rows by list, and finds the exact nearest of the measured rows in it."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists

    def process(self, block: Block) -> Iterator[str]:
        """Write the block's shards unless they are there; yield the key of the routed rows."""
        lists = self.lists
        work, routed, truth = lists.wanted.vectors.work, lists.routed_key(block), lists.truth_key(block)
        if not (work.has("cells", routed) and work.has("neighbours", truth)):
            device = lists.wanted.vectors.prepare_worker()
            with busy("route"):
                vectors = lists.wanted.vectors.read(block)
                if not work.has("neighbours", truth):
                    self._measure(truth, block, vectors, device)
                if not work.has("cells", routed):
                    self._write(routed, block, vectors)
        yield routed

    def _measure(self, key: str, block: Block, vectors: np.ndarray, device: str) -> None:
        wanted, coarse = self.lists.wanted, self.lists.coarse
        nearest = TopK.empty(len(coarse.queries), wanted.k)
        queries = Queries(coarse.query_vectors, coarse.queries, nearest)
        positions = np.arange(block.first, block.first + block.rows)
        search(queries, vectors, positions, np.inf, UnionFind(0), device)
        wanted.write(key, coarse.queries, nearest, UnionFind(0))

    def _write(self, key: str, block: Block, vectors: np.ndarray) -> None:
        ranked = self.lists.coarse.ranked(vectors)
        order = np.argsort(ranked[:, 0], kind="stable")
        homes, starts = np.unique(ranked[order, 0], return_index=True)
        bounds = [*starts.tolist(), len(order)]
        note = {"lists": homes.tolist()}
        width = ranked.shape[1] * 4
        schema = pa.schema(
            [
                ("position", pa.int64()),
                ("probes", pa.binary(width)),
                ("vector", pa.binary(vectors.shape[1] * 4)),
            ]
        )
        with self.lists.wanted.vectors.work.writer("cells", key, schema, note) as writer:
            for first, stop in pairwise(bounds):
                taken = order[first:stop]
                probes = pa.py_buffer(np.ascontiguousarray(ranked[taken], "<i4"))
                columns = [
                    pa.array(block.first + taken),
                    pa.Array.from_buffers(pa.binary(width), len(taken), [None, probes]),
                    vectors_column(vectors[taken]),
                ]
                table = pa.Table.from_arrays(columns, schema=schema)
                writer.write_table(table, row_group_size=len(taken))


class SearchBundle(beam.DoFn):
    """Searches for the rows of a bundle of lists; what it finds is in the work directory."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists

    def process(self, bundle: tuple[int, int], routed: list[str]) -> Iterator[None]:
        """Write the bundle's shard unless it is there."""
        wanted = self.lists.wanted
        key = self.lists.bundle_key(bundle)
        if not wanted.vectors.work.has("neighbours", key):
            with busy("neighbours"):
                self._search(key, bundle, sorted(routed), wanted.vectors.prepare_worker())
        yield from ()

    def _search(self, key: str, bundle: tuple[int, int], routed: list[str], device: str) -> None:
        wanted = self.lists.wanted
        with _Routed(wanted.vectors.work, routed) as files:
            own = [files.read(number) for number in range(*bundle)]
            positions, probes, vectors = (np.concatenate([part[place] for part in own]) for place in range(3))
            nearest = TopK.empty(len(positions), wanted.k)
            joins = UnionFind(wanted.vectors.n)
            for number in np.unique(probes):
                ids, _, rows = files.read(int(number))
                if not len(ids):
                    continue
                # Taken out and put back: most lists are probed by few of the bundle's rows.
                looking = np.flatnonzero((probes == number).any(axis=1))
                found = TopK(nearest.ids[looking], nearest.cosines[looking])
                search(
                    Queries(vectors[looking], positions[looking], found),
                    rows,
                    ids,
                    wanted.threshold,
                    joins,
                    device,
                )
                nearest.ids[looking], nearest.cosines[looking] = found.ids, found.cosines
        wanted.write(key, positions, nearest, joins)


class _Routed:
    """All routed shards, opened, with the row groups of each list."""

    def __init__(self, work: Work, keys: list[str]) -> None:
        self._work, self._keys, self._stack = work, keys, ExitStack()

    def __enter__(self) -> _Routed:
        self._files = []
        self._groups: dict[int, list[tuple[int, int]]] = {}
        for place, key in enumerate(self._keys):
            file = self._stack.enter_context(self._work.store.open(self._work.path("cells", key)))
            self._files.append(pq.ParquetFile(file))
            for group, number in enumerate(note_of(self._files[-1])["lists"]):
                self._groups.setdefault(number, []).append((place, group))
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def read(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return positions, probes and vectors of the rows of one list."""
        parts = [self._files[place].read_row_group(group) for place, group in self._groups.get(number, [])]
        if not parts:
            schema = self._files[0].schema_arrow
            parts = [schema.empty_table()]
        table = pa.concat_tables(parts)
        probes = vectors_of(table.column("probes")).view("<i4")
        return table.column("position").to_numpy(), probes, vectors_of(table.column("vector"))
