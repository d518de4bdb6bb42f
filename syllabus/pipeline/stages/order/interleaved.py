"""The order of data too large for one worker: parts of it are ordered on their own, and interleaved.

A part is as many buckets as a worker may hold: the fewer parts, the better the order. What is measured of it
are the prefixes at `POINTS` evenly spaced places, whose sums are sums over parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from syllabus.pipeline.runtime.metrics import count_time
from syllabus.pipeline.runtime.torch_setup import limit_threads
from syllabus.pipeline.stages.order.stage import (
    PART,
    PIECE_ROWS,
    RANDOM_ORDERS,
    RANDOM_PARTS,
    Ordering,
    figures,
    parts_of,
    write_order,
)
from syllabus.pipeline.stages.regroup.buckets import Bucket, Reference, read_references
from syllabus.pipeline.work_directory import WorkDirectory
from syllabus.selectors import herding

POINTS = 128


class ToParts(beam.DoFn):
    """Yields (part, reference) for (bucket, reference)."""

    def __init__(self, ordering: Ordering) -> None:
        self.ordering = ordering
        self._parts: dict[Bucket, int] = {}

    def process(
        self, element: tuple[Bucket, Reference], counts: dict[Bucket, int]
    ) -> Iterator[tuple[int, Reference]]:
        """Look the bucket up; the table is made once."""
        if not self._parts:
            self._parts = parts_of(counts, self.ordering.capacity)
        yield self._parts[element[0]], element[1]


class OrderParts(beam.DoFn):
    """Orders one part, and adds up what its prefixes contribute; yields the part."""

    def __init__(self, ordering: Ordering, work: WorkDirectory) -> None:
        self.ordering, self.work = ordering, work

    def process(self, element: tuple[int, Iterable[Reference]]) -> Iterator[tuple[int, int]]:
        """Write the part's two shards unless they are there."""
        part, found = element
        ordering, work = self.ordering, self.work
        limit_threads(ordering.options.threads_per_worker)
        order_key, sums_key = ordering.part_key(part), ordering.sums_key(part)
        if not (work.has("order", sums_key) and work.has("order", order_key)):
            with count_time("order"):
                index, vectors = read_references(work, list(found))
                order = ordering.balanced(vectors, PART, part)
                work.write("order", sums_key, self._sums(part, vectors, order))
                write_order(work, order_key, {"index": index}, order)
        yield 0, part

    def _sums(self, part: int, vectors: np.ndarray, order: np.ndarray) -> pa.Table:
        """The counts and sums of the prefixes: of this order, then of random ones."""
        n = len(order)
        ends = np.floor(np.arange(1, POINTS + 1) / POINTS * n + 0.5).astype(np.int64)
        tables = [_prefixes(vectors, order, ends)]
        draws = self.ordering.generator(RANDOM_PARTS, part)
        for _ in range(RANDOM_ORDERS):
            # Sorted by uniform numbers, the rows of all parts are in a random order; its prefixes are
            # those below a threshold, whichever part they lie in.
            numbers = draws.random(n)
            shuffled = np.argsort(numbers)
            ends = np.searchsorted(numbers[shuffled], np.arange(1, POINTS + 1) / POINTS)
            tables.append(_prefixes(vectors, shuffled, ends))
        return pa.concat_tables(tables)


class Interleave(beam.DoFn):
    """Writes the order of the whole data from those of its parts."""

    def __init__(self, ordering: Ordering, work: WorkDirectory) -> None:
        self.ordering, self.work = ordering, work

    def process(self, element: tuple[int, Iterable[int]]) -> None:
        """Write the shard unless it is there; a piece of each part's order in memory."""
        key, work = self.ordering.full_key(), self.work
        if work.has("order", key):
            return
        with count_time("order"):
            parts = sorted(element[1])
            orders = [_PartOrder(work, self.ordering.part_key(part)) for part in parts]
            schema, measured = pa.schema({"index": pa.int64()}), self._measured(parts)
            with work.writer("order", key, schema, measured) as writer:
                for bounds, order in herding.interleaved([len(each) for each in orders], PIECE_ROWS):
                    slices = [each.rows(*bound) for each, bound in zip(orders, bounds, strict=True)]
                    writer.write(pa.table({"index": np.concatenate(slices)[order]}))

    def _measured(self, parts: list[int]) -> dict[str, Any]:
        counts, sums = None, None
        for part in parts:
            rows = self.work.read("order", self.ordering.sums_key(part))
            width = rows.schema.field("sum").type.byte_width // 8
            own = np.frombuffer(b"".join(rows.column("sum").to_pylist())).reshape(-1, POINTS, width)
            held = rows.column("count").to_numpy().reshape(-1, POINTS)
            counts, sums = (held, own) if counts is None or sums is None else (counts + held, sums + own)
        assert counts is not None
        assert sums is not None
        # The last prefix is everything.
        centred = sums - counts[:, :, None] * (sums[0, -1] / counts[0, -1])
        l2, linf = np.sqrt(np.square(centred).sum(axis=2)), np.abs(centred).max(axis=2)
        return {"interleaved": len(parts), **figures(l2.max(axis=1), linf.max(axis=1), l2[0], l2[1])}


class _PartOrder:
    """The order of one part, read from its shard a row group at a time, from the first to the last."""

    def __init__(self, work: WorkDirectory, key: str) -> None:
        self._work, self._key = work, key
        with work.open("order", key) as parquet:
            metadata = parquet.metadata
        sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        self._stops = np.cumsum(sizes)
        self._group, self._held = -1, np.empty(0, np.int64)

    def __len__(self) -> int:
        return int(self._stops[-1])

    def rows(self, first: int, stop: int) -> np.ndarray:
        """Return the indices of the places from `first` to `stop`."""
        found = [np.empty(0, np.int64)]
        while first < stop:
            group = int(np.searchsorted(self._stops, first, side="right"))
            if group != self._group:
                with self._work.open("order", self._key) as parquet:
                    self._held = parquet.read_row_group(group, columns=["index"]).column("index").to_numpy()
                self._group = group
            end = int(self._stops[group])
            begin = end - len(self._held)
            found.append(self._held[first - begin : stop - begin])
            first = min(end, stop)
        return np.concatenate(found)


class OrderInParts(beam.PTransform):
    """Orders data too large for one worker, from (bucket, reference); `rows` counts those of each bucket."""

    def __init__(self, ordering: Ordering, work: WorkDirectory, rows: beam.PCollection) -> None:
        super().__init__()
        self.ordering, self.work, self.rows = ordering, work, beam.pvalue.AsDict(rows)

    def expand(self, references: beam.PCollection) -> beam.PCollection:
        """Give each part to one worker, then all their orders to one."""
        parts = references | beam.ParDo(ToParts(self.ordering), self.rows) | "By part" >> beam.GroupByKey()
        ordered = parts | beam.ParDo(OrderParts(self.ordering, self.work))
        return ordered | "All parts" >> beam.GroupByKey() | beam.ParDo(Interleave(self.ordering, self.work))


def _prefixes(vectors: np.ndarray, order: np.ndarray, ends: np.ndarray) -> pa.Table:
    """The counts and (d,) float64 sums of the prefixes that end at `ends`."""
    sums = np.zeros((len(ends), vectors.shape[1]))
    start = 0
    for place, end in enumerate(ends.tolist()):
        sums[place] = vectors[order[start:end]].sum(axis=0, dtype=np.float64)
        start = end
    sums = np.cumsum(sums, axis=0)
    column = pa.Array.from_buffers(pa.binary(8 * sums.shape[1]), len(sums), [None, pa.py_buffer(sums)])
    return pa.table({"count": pa.array(ends, pa.int64()), "sum": column})
