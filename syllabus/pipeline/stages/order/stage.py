"""The order stage: a position for every row of each subset, and an order of the whole data.

Each is a seeded shuffle that balance-and-reorder passes smooth out. What one worker could not hold is
ordered in parts, and the orders are interleaved (`interleaved.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from syllabus.manifests import budget
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.options import Options
from syllabus.pipeline.runtime.metrics import count_time
from syllabus.pipeline.runtime.torch_setup import limit_threads
from syllabus.pipeline.stages.regroup.buckets import Bucket, Reference, read_references
from syllabus.pipeline.stages.select.selecting import Selecting
from syllabus.pipeline.work_directory import WorkDirectory, key_of, vectors_of
from syllabus.selectors import herding

RANDOM_ORDERS = 3
ORDER_SHARE = 8
"""An order takes this part of a worker's memory: a few parts are little worse, and two cores work on them."""
PIECE_ROWS = 16_384
"""Rows of an order's shard that are read at once."""
WHOLE, SUBSET, RANDOM, PART, RANDOM_PARTS = range(5)
"""Purposes of random numbers: each has a stream of its own."""


@dataclass(frozen=True)
class Ordering:
    """The options of the stage, and the keys of its shards."""

    selecting: Selecting
    rows: int
    """n"""
    dimension: int

    def apart(self, rows: int) -> bool:
        """Whether so many vectors are more than a worker may hold, and are ordered in parts."""
        return self.options.order != "none" and rows > self.capacity

    @property
    def capacity(self) -> int:
        """The number of vectors that a worker orders at once."""
        return int(self.options.memory_per_worker * 1e9 / ORDER_SHARE) // (4 * self.dimension)

    @property
    def options(self) -> Options:
        """The job's options."""
        return self.selecting.options

    def full_key(self) -> str:
        """Return the key of the order of the whole data."""
        return key_of("order", groups=self.selecting.groups, **self._read(self.rows))

    def part_key(self, part: int) -> str:
        """Return the key of the order of one part of data too large for a worker."""
        return key_of("order", groups=self.selecting.groups, part=part, **self._read(self.rows))

    def sums_key(self, part: int) -> str:
        """Return the key of what a part's prefixes add to those of the whole."""
        return "s" + self.part_key(part)

    def subset_key(self, fraction: int, subset: int) -> str:
        """Return the key of one subset with its positions."""
        whole = self.selecting.subsets_key((-1, -1))
        # With weights a subset may have any number of rows: until it is made, no more is known than all.
        weighted = self.options.weight is not None
        size = self.rows if weighted else budget(self.options.fraction[fraction], self.rows)
        return key_of("order", subsets=whole, fraction=fraction, subset=subset, **self._read(size))

    def _read(self, rows: int) -> dict[str, Any]:
        read = {"order": self.options.order, "passes": self.options.passes, "seed": self.options.seed}
        return {**read, "capacity": self.capacity} if self.apart(rows) else read

    def subsets(self) -> list[tuple[int, int]]:
        """Return all (number of the fraction, subset)."""
        options = self.options
        return [(f, s) for f in range(len(options.fraction)) for s in range(options.subset_count)]

    def subsets_ordered(self, work: WorkDirectory) -> bool:
        """Whether every subset has its order."""
        return {self.subset_key(*subset) for subset in self.subsets()} <= work.keys("order")

    def discard_chosen(self, work: WorkDirectory, buckets: Iterable[Bucket]) -> None:
        """Remove the vectors of the subsets' rows: once ordered, they are read by nobody."""
        selecting = self.selecting
        keys = {selecting.chosen_key(selecting.holder(bucket)) for bucket in buckets}
        for key in keys & work.keys("chosen"):
            work.remove("chosen", key)

    def generator(self, *purpose: int) -> np.random.Generator:
        """Return the random numbers for a purpose, keyed by it and the seed."""
        return np.random.Generator(np.random.Philox(np.random.SeedSequence([self.options.seed, *purpose])))

    def balanced(self, vectors: np.ndarray, *purpose: int) -> np.ndarray:
        """Return an order of the rows of `vectors`: a seeded shuffle, balanced `passes` times."""
        shuffled = self.generator(*purpose).permutation(len(vectors))
        if self.options.order == "none":
            return shuffled
        return herding.balance(vectors, passes=self.options.passes, start=shuffled)


def parts_of(counts: dict[Bucket, int], capacity: int) -> dict[Bucket, int]:
    """Return the part that each bucket belongs to: first fit, the largest bucket first.

    No part has more than `capacity` rows but one that is a single bucket.
    """
    parts: dict[Bucket, int] = {}
    sizes: list[int] = []
    for bucket in sorted(counts, key=lambda each: (-counts[each], each)):
        fitting = (part for part, size in enumerate(sizes) if size + counts[bucket] <= capacity)
        part = next(fitting, len(sizes))
        if part == len(sizes):
            sizes.append(0)
        sizes[part] += counts[bucket]
        parts[bucket] = part
    return parts


def write_order(
    work: WorkDirectory,
    key: str,
    columns: dict[str, np.ndarray],
    order: np.ndarray,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Write the shard of an order of the rows of `columns`, in row groups that are read one by one."""
    first = {name: pa.array(values[:0]) for name, values in columns.items()}
    with work.writer("order", key, pa.table(first).schema, metadata) as writer:
        for start in range(0, len(order), PIECE_ROWS):
            taken = order[start : start + PIECE_ROWS]
            writer.write(pa.table({name: values[taken] for name, values in columns.items()}))


class OrderSubset(beam.DoFn):
    """Writes one subset in the order of its positions."""

    def __init__(self, ordering: Ordering, work: WorkDirectory) -> None:
        self.ordering, self.work = ordering, work

    def process(self, element: tuple[int, int, list[Bucket]]) -> None:
        """Write the subset's shard unless it is there."""
        fraction, subset, buckets = element
        key = self.ordering.subset_key(fraction, subset)
        limit_threads(self.ordering.options.threads_per_worker)
        if not self.work.has("order", key):
            with count_time("order"):
                columns, order = self._order(fraction, subset, buckets)
                write_order(self.work, key, columns, order)

    def _order(
        self, fraction: int, subset: int, buckets: list[Bucket]
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        ordering = self.ordering
        picks = {bucket: self._picks(fraction, subset, bucket) for bucket in sorted(buckets)}
        picks = {bucket: found for bucket, found in picks.items() if len(found["index"])}
        if not picks:
            raise UserError(
                f"fraction={self.ordering.options.fraction[fraction]:g}: no class or bucket has an example"
                f" that is as light as its share of {self.ordering.options.weight}; raise the fraction"
            )
        sizes = {bucket: len(found["index"]) for bucket, found in picks.items()}
        starts = dict(zip(sizes, np.cumsum([0, *sizes.values()]).tolist(), strict=False))
        names = list(next(iter(picks.values())))
        # One after the other, and no longer held apart.
        columns = {name: np.concatenate([found.pop(name) for found in picks.values()]) for name in names}
        columns["rank"] = _merged_ranks(columns["partition"], columns["rank"], columns.pop("bucket"))
        apart = ordering.apart(sum(sizes.values()))
        parts = parts_of(sizes, ordering.capacity) if apart else dict.fromkeys(sizes, 0)
        orders = []
        for part in range(max(parts.values()) + 1):
            members = [bucket for bucket in picks if parts[bucket] == part]
            rows = np.concatenate([starts[bucket] + np.arange(sizes[bucket]) for bucket in members])
            # By index: the order does not depend on how the rows lie.
            rows = rows[np.argsort(columns["index"][rows])]
            vectors = self._vectors(members, columns["index"][rows])
            purpose = (fraction, subset, part) if apart else (fraction, subset)
            orders.append(rows[ordering.balanced(vectors, SUBSET, *purpose)])
        return columns, herding.interleave(orders)

    def _vectors(self, buckets: list[Bucket], index: np.ndarray) -> np.ndarray:
        """The vectors of rows of these buckets, by their ascending indices."""
        vectors, left = np.empty((len(index), self.ordering.dimension), np.float32), len(index)
        keys = [self.ordering.selecting.chosen_key(bucket) for bucket in buckets]
        for key in keys:
            held = self.work.read("chosen", key)
            chosen = held.column("index").to_numpy()
            places = np.searchsorted(index, chosen)
            taken = np.flatnonzero(index[np.minimum(places, len(index) - 1)] == chosen)
            vectors[places[taken]] = vectors_of(held.column("vector"))[taken]
            left -= len(taken)
        if left:  # of subsets that were made otherwise: all of these shards go
            refused = [
                self.work.reject("chosen", key, f"{left:,} rows of a subset are missing") for key in keys
            ]
            raise refused[0]
        return vectors

    def _picks(self, fraction: int, subset: int, bucket: Bucket) -> dict[str, np.ndarray]:
        table = self.work.read("subsets", self.ordering.selecting.subsets_key(bucket))
        mask = (table.column("fraction").to_numpy() == fraction) & (
            table.column("subset").to_numpy() == subset
        )
        names = [name for name in table.column_names if name not in ("fraction", "subset")]
        picks = {name: table.column(name).to_numpy()[mask] for name in names}
        count = len(picks["index"])
        return {
            "partition": np.full(count, bucket[0], np.int32),
            "bucket": np.full(count, bucket[1], np.int32),
            **picks,
        }


def _merged_ranks(partitions: np.ndarray, ranks: np.ndarray, buckets: np.ndarray) -> np.ndarray:
    """Ranks inside each partition, 0, 1, …: the picks of its buckets by (rank in the bucket, bucket)."""
    order = np.lexsort((buckets, ranks, partitions))
    ordered = partitions[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    merged = np.empty(len(order), np.int32)
    merged[order] = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return merged


class OrderRows(beam.DoFn):
    """Writes the order of the whole data, with its discrepancy beside that of random orders."""

    def __init__(self, ordering: Ordering, work: WorkDirectory) -> None:
        self.ordering, self.work = ordering, work

    def process(self, element: tuple[int, Iterable[Reference]]) -> None:
        """Write the shard unless it is there."""
        key = self.ordering.full_key()
        limit_threads(self.ordering.options.threads_per_worker)
        if not self.work.has("order", key):
            with count_time("order"):
                index, vectors = read_references(self.work, list(element[1]))
                order = self.ordering.balanced(vectors, WHOLE)
                measured = self._measured(vectors, order)
                write_order(self.work, key, {"index": index}, order, measured)

    def _measured(self, vectors: np.ndarray, order: np.ndarray) -> dict[str, Any]:
        draws = self.ordering.generator(RANDOM)
        found = [herding.discrepancy(vectors, order)]
        for _ in range(RANDOM_ORDERS):
            found.append(herding.discrepancy(vectors, draws.permutation(len(vectors))))
        l2, linf = [each.l2 for each in found], [each.linf for each in found]
        return figures(l2, linf, found[0].curve, found[1].curve)


def figures(l2: Any, linf: Any, curve: np.ndarray, random_curve: np.ndarray) -> dict[str, Any]:
    """Return the figures of an order, from the discrepancies of it and, behind it, of random orders."""
    return {
        "discrepancy": {"l2": float(l2[0]), "linf": float(linf[0])},
        "random": {"l2": float(np.mean(l2[1:])), "linf": float(np.mean(linf[1:]))},
        "curve": [float(value) for value in curve],
        "random_curve": [float(value) for value in random_curve],
    }


class OrderSubsets(beam.PTransform):
    """Orders every subset, once all buckets are there."""

    def __init__(self, ordering: Ordering, work: WorkDirectory) -> None:
        super().__init__()
        self.ordering, self.work = ordering, work

    def expand(self, buckets: beam.PCollection) -> beam.PCollection:
        """Give each subset to one worker, with all buckets that it has rows of."""
        together = buckets | beam.Map(_together) | beam.GroupByKey()
        subsets = together | beam.FlatMap(_subsets, self.ordering.subsets()) | beam.Reshuffle()
        return subsets | beam.ParDo(OrderSubset(self.ordering, self.work))


class OrderAll(beam.PTransform):
    """Orders the whole data on one worker, from (bucket, reference)."""

    def __init__(self, ordering: Ordering, work: WorkDirectory) -> None:
        super().__init__()
        self.ordering, self.work = ordering, work

    def expand(self, references: beam.PCollection) -> beam.PCollection:
        """Give all references to one worker."""
        together = references | beam.Values() | beam.Map(_together) | beam.GroupByKey()
        return together | beam.ParDo(OrderRows(self.ordering, self.work))


def _together(element: Any) -> tuple[int, Any]:
    return 0, element


def _subsets(
    element: tuple[int, Iterable[Bucket]], subsets: list[tuple[int, int]]
) -> Iterator[tuple[int, int, list[Bucket]]]:
    buckets = sorted(element[1])
    for fraction, subset in subsets:
        yield fraction, subset, buckets
