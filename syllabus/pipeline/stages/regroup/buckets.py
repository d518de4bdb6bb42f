"""Buckets as regroup leaves them: the row groups of each, wherever they lie."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from syllabus.pipeline.stages.plan import PlannedChunk
from syllabus.pipeline.work_directory import WorkDirectory, metadata_of, vectors_of

Bucket = tuple[int, int]
"""(partition, bucket in it)"""


def by_partition(held: dict[Bucket, int]) -> Counter[int]:
    """Return the sums over the buckets of each partition."""
    sums: Counter[int] = Counter()
    for (partition, _), count in held.items():
        sums[partition] += count
    return sums


@dataclass(frozen=True)
class Reference:
    """The place of some rows of a bucket: a regroup shard and the row group in it."""

    key: str
    row_group: int
    rows: int
    units: int
    """What budgets count: the rows, or what they weigh."""


def kernel_bytes(rows: int) -> int:
    """Return what the products of all pairs of `rows` rows take, a block in the making, and a little more."""
    return 4 * rows * (rows + 64) + (1 << 20)


def kernel_rows(memory: int) -> int:
    """Return the most rows of which `kernel_bytes` is at most `memory` bytes; 0 where it never is."""
    # r (r + 64) = (r + 32)² − 1024.
    return math.isqrt(max(0, memory - kernel_bytes(0)) // 4 + 1024) - 32


@dataclass(frozen=True)
class Group:
    """Consecutive chunks that become one file."""

    chunks: tuple[PlannedChunk, ...]
    key: str


def references(work: WorkDirectory, key: str) -> list[tuple[Bucket, Reference]]:
    """Return what a regroup shard holds, from its footer."""
    return [
        ((partition, bucket), Reference(key, number, rows, units[0] if units else rows))
        for number, (partition, bucket, rows, *units) in enumerate(work.metadata("regroup", key)["groups"])
    ]


class Sums:
    """The sums of the rows of partitions of several buckets, so exact that no grouping changes them.

    The sum over a chunk, which the plan fixes, is rounded to a multiple of `UNIT`; these are added as whole
    numbers. Memory 8 d bytes for each such partition that is met.
    """

    UNIT = 2.0**-30
    """Vectors of length 1 may be 2³³."""

    def __init__(self, buckets: tuple[int, ...]) -> None:
        self.divided = np.array(buckets) > 1
        self.sums: dict[int, np.ndarray] = {}

    def add(self, partitions: np.ndarray, vectors: np.ndarray) -> None:
        """Add the (m, d) vectors of a chunk, in these (m,) partitions."""
        for partition in np.unique(partitions[self.divided[partitions]]).tolist():
            rows = vectors[partitions == partition] if partitions.min() != partitions.max() else vectors
            total = np.rint(rows.sum(axis=0, dtype=np.float64) / self.UNIT).astype(np.int64)
            self.sums[partition] = self.sums.get(partition, 0) + total

    def table(self, dimension: int) -> pa.Table:
        """Return partition and whole numbers of each, by partition: binary, 8 d bytes."""
        partitions = sorted(self.sums)
        totals = np.array([self.sums[each] for each in partitions], "<i8").reshape(-1, dimension)
        column = pa.Array.from_buffers(pa.binary(8 * dimension), len(totals), [None, pa.py_buffer(totals)])
        return pa.table({"partition": pa.array(partitions, pa.int32()), "sum": column})


def partition_sums(work: WorkDirectory, key: str) -> list[tuple[int, np.ndarray]]:
    """Return (partition, (d,) int64 sum in units of `Sums.UNIT`) of the rows of a regroup shard."""
    found = work.read("sums", key).to_pydict()
    return [
        (partition, np.frombuffer(total, "<i8").astype(np.int64))
        for partition, total in zip(found["partition"], found["sum"], strict=True)
    ]


def read_references(work: WorkDirectory, found: list[Reference]) -> tuple[np.ndarray, np.ndarray]:
    """Return the (m,) ascending indices and (m, D) float32 vectors of the row groups referred to.

    Which file a row came from leaves no trace: they are sorted by index, whatever order Beam delivered.
    """
    groups = _by_key(found)
    index = np.concatenate([part.column("index").to_numpy() for part in _row_groups(work, groups, "index")])
    order = np.argsort(index)
    # Each row goes to its place as it is read: sorted afterwards, the vectors would be held twice.
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    vectors: np.ndarray | None = None
    first = 0
    for part in _row_groups(work, groups, "vector"):
        rows = vectors_of(part.column("vector"))
        if vectors is None:
            vectors = np.zeros((len(index), rows.shape[1]), np.float32)
        vectors[place[first : first + len(rows)]] = rows
        first += len(rows)
    assert vectors is not None
    return index[order], vectors


def read_weights(work: WorkDirectory, found: list[Reference]) -> np.ndarray:
    """Return the (m,) int64 weights of the same rows, by ascending index."""
    groups = _by_key(found)
    index, weights = (
        np.concatenate([part.column(name).to_numpy() for part in _row_groups(work, groups, name)])
        for name in ("index", "weight")
    )
    return weights[np.argsort(index)]


def _by_key(found: list[Reference]) -> list[tuple[str, list[int]]]:
    by_key: dict[str, list[int]] = {}
    for reference in found:
        by_key.setdefault(reference.key, []).append(reference.row_group)
    return [(key, sorted(by_key[key])) for key in sorted(by_key)]


def _row_groups(work: WorkDirectory, groups: list[tuple[str, list[int]]], column: str) -> Iterator[pa.Table]:
    for key, numbers in groups:
        with work.open("regroup", key) as parquet:
            for number in numbers:
                yield parquet.read_row_group(number, columns=[column])


def read_partitions(work: WorkDirectory, group: Group) -> tuple[np.ndarray, np.ndarray]:
    """Return the (m,) ascending indices of a group's accepted rows and their int32 partitions."""
    with work.open("regroup", group.key) as parquet:
        groups = metadata_of(parquet)["groups"]
        index = parquet.read(columns=["index"]).column("index").to_numpy()
    partitions = np.repeat([group[0] for group in groups], [group[2] for group in groups])
    order = np.argsort(index, kind="stable")
    return index[order], partitions[order].astype(np.int32)
