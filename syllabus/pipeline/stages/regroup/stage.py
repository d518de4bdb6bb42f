"""The regroup stage: the embeddings again, one row group a (partition, bucket).

Embed wrote the vectors in the order of the source; a selecting worker wants those of one bucket. Regroup
reads a few chunks, applies the transform, leaves out the rejects, and writes one file that is sorted by
(partition, bucket, index). What goes on through the shuffle is (bucket → file, row group).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from syllabus.pipeline.errors import UserError, working_on
from syllabus.pipeline.options import Options
from syllabus.pipeline.runtime.metrics import count_time
from syllabus.pipeline.runtime.torch_setup import limit_threads
from syllabus.pipeline.stages.census import Census
from syllabus.pipeline.stages.partitions import Partitioning, RowLabels
from syllabus.pipeline.stages.plan import Plan, PlannedChunk
from syllabus.pipeline.stages.regroup.buckets import (
    Bucket,
    Group,
    Reference,
    Sums,
    kernel_rows,
    partition_sums,
    references,
)
from syllabus.pipeline.stages.rows import AcceptedRows
from syllabus.pipeline.stages.transform import Transform
from syllabus.pipeline.work_directory import WorkDirectory, digest_of, key_of, vectors_column
from syllabus.selectors import kmeans

HELD = 20
"""Files whose vectors the memory of a worker would hold: 32,000 rows of 384 columns each at 1 GB. More memory
makes fewer of them, each of which every bucket opens."""
LEAST_BUCKET = 16
"""The smallest `bucket_size`."""
LEAST_ROW_GROUP = 2000


@dataclass(frozen=True)
class Layout:
    """The partitions of the accepted rows, and the buckets in each."""

    partitioning: Partitioning | None
    """The partitions by label; None where k-means cuts them."""
    buckets: tuple[int, ...]
    """Buckets of each partition."""
    seed: int
    shares: tuple[float, ...] = ()
    """Of the clusters in the sample that they were fitted on."""
    limited: int | None = None
    """Most examples of a bucket, where `memory_per_worker` asks for more buckets than `bucket_size` does."""

    def all_buckets(self) -> list[Bucket]:
        """Return every bucket that may have rows."""
        return [
            (partition, bucket) for partition, count in enumerate(self.buckets) for bucket in range(count)
        ]

    @property
    def divided(self) -> bool:
        """Whether any partition has several buckets."""
        return max(self.buckets, default=1) > 1

    @property
    def labels(self) -> tuple[str | None, ...]:
        """The label of each partition; None for a cluster."""
        return (None,) * len(self.buckets) if self.partitioning is None else self.partitioning.labels

    def sizes(self, accepted: int) -> tuple[int, ...]:
        """Return the examples of each partition, of `accepted` in all; of clusters as their sample says."""
        if self.partitioning is not None:
            return self.partitioning.sizes
        return tuple(round(share * accepted) for share in self.shares)

    def largest(self, accepted: int, most: int) -> int:
        """Return about how many rows the largest bucket has, of `accepted` in all and `most` in a bucket."""
        if self.partitioning is None:
            return min(accepted, most)
        return max(
            -(-size // count) for size, count in zip(self.partitioning.sizes, self.buckets, strict=True)
        )

    def partition_of(self, labels: RowLabels, vectors: np.ndarray, transform: Transform) -> np.ndarray:
        """Return the (rows,) int32 partitions of rows with these labels and embeddings."""
        if not len(vectors):
            return np.zeros(0, np.int32)
        if self.partitioning is None:
            assert transform.centroids is not None
            return kmeans.assign(vectors, transform.centroids)
        return self.partitioning.of(labels)

    def bucket_of(self, ids: list[str], partitions: np.ndarray) -> np.ndarray:
        """Return the (rows,) int32 bucket of each row in its partition, by a stable hash of (seed, id)."""
        counts = np.asarray(self.buckets, np.uint64)[partitions]
        if counts.max(initial=1) == 1:
            return np.zeros(len(ids), np.int32)
        salt = self.seed.to_bytes(8, "little")
        digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8, key=salt).digest() for name in ids)
        return np.asarray(np.frombuffer(digests, "<u8") % counts, np.int32)


def bucket_rows(options: Options, dimension: int) -> int:
    """Return how many examples a bucket has at most: `bucket_size`, as far as a worker may hold them.

    It holds their vectors, and for some rankings the products of all pairs.

    Raises:
      UserError: fewer than the smallest bucket that may be asked for.
    """
    memory = options.memory_per_worker * 1e9
    held = int(memory) // (4 * dimension)
    if any(each.base == "facility_location" for each in options.importances):
        held = min(held, kernel_rows(int(memory)))
    if held < LEAST_BUCKET:
        raise UserError(
            f"memory_per_worker={options.memory_per_worker:g}: a bucket of {LEAST_BUCKET} examples of"
            f" {dimension} dimensions does not fit; give more"
        )
    return min(options.bucket_size, held)


def make_layout(options: Options, census: Census, transform: Transform, dimension: int) -> Layout:
    """Return the layout; k-means partitions are sized by their shares of the sample."""
    sizes = Layout(census.partitioning, (), options.seed, transform.shares).sizes(census.accepted)
    most = bucket_rows(options, dimension)
    buckets = tuple(max(1, -(-size // most)) for size in sizes)
    wanted = tuple(max(1, -(-size // options.bucket_size)) for size in sizes)
    limited = most if buckets != wanted else None
    return Layout(census.partitioning, buckets, options.seed, transform.shares, limited)


def make_groups(
    plan: Plan, layout: Layout, dimension: int, memory: float, fitted: str, census: Census
) -> list[Group]:
    """Cut the plan's chunks into groups: about 2,000 rows a row group, as far as `memory` GB let them."""
    affordable = int(memory * 1e9 / HELD) // (4 * dimension)
    wanted = min(LEAST_ROW_GROUP * sum(layout.buckets), max(1, affordable))
    groups: list[list[PlannedChunk]] = [[]]
    for planned in plan.chunks:
        held = sum(planned.chunk.rows for planned in groups[-1])
        if groups[-1] and held + planned.chunk.rows > wanted:
            groups.append([])
        groups[-1].append(planned)
    described = {
        # Not the sizes: a row more in another file leaves the group as it is.
        "labels": layout.labels,
        "edges": layout.partitioning and layout.partitioning.edges,
        "vocabulary": layout.partitioning and layout.partitioning.vocabulary,
        "buckets": layout.buckets,
        "seed": layout.seed,
        "fitted": fitted,
    }
    return [Group(tuple(chunks), _group_key(chunks, described, census)) for chunks in groups]


def _group_key(chunks: list[PlannedChunk], layout: dict[str, object], census: Census) -> str:
    first = chunks[0].first_index
    stop = chunks[-1].first_index + chunks[-1].chunk.rows
    return key_of(
        "regroup",
        units=[[planned.embed_key, planned.rows_key, planned.first_index] for planned in chunks],
        duplicates=[index for index in census.duplicates if first <= index < stop],
        layout=layout,
    )


def groups_digest(groups: list[Group]) -> str:
    """Return the digest that every selection's key begins with: all the vectors it may see."""
    return digest_of([group.key for group in groups])


class RegroupChunks(beam.DoFn):
    """Writes a file for each group, and one of its sums; yields (bucket, reference) for each row group.

    On `SUMS` it yields (partition, sum of the group's rows in it) for partitions of several buckets.
    """

    SUMS = "sums"

    def __init__(self, rows: AcceptedRows, layout: Layout, transform: Transform, threads: int) -> None:
        self.rows, self.layout, self.transform, self.threads = rows, layout, transform, threads

    def process(self, group: Group) -> Iterator[tuple[Bucket, Reference] | beam.pvalue.TaggedOutput]:
        """Write the group's file unless it is there."""
        limit_threads(self.threads)
        stages = ["regroup", "sums"] if self.layout.divided else ["regroup"]
        if not all(self.rows.work.has(stage, group.key) for stage in stages):
            with count_time("regroup"), working_on(f"{group.chunks[0]}, and what follows"):
                self._write(group)
        yield from references(self.rows.work, group.key)
        for each in partition_sums(self.rows.work, group.key) if self.layout.divided else ():
            yield beam.pvalue.TaggedOutput(self.SUMS, each)

    def _write(self, group: Group) -> None:
        index, partitions, buckets, weights, sums = [], [], [], [], []
        divided = Sums(self.layout.buckets)
        chunks = [self.rows.of(planned) for planned in group.chunks]
        count = sum(len(rows.index) for rows in chunks)
        vectors: np.ndarray | None = None
        first = 0
        for rows in chunks:
            embedded = self.rows.vectors(rows, self.transform.apply)
            if vectors is None:
                vectors = np.empty((count, embedded.shape[1]), np.float32)
            # In its place at once: joined afterwards, all would be held twice.
            vectors[first : first + len(embedded)] = embedded
            first += len(embedded)
            of_rows = self.layout.partition_of(rows.accepted_labels, embedded, self.transform)
            index.append(rows.index)
            partitions.append(of_rows)
            buckets.append(self.layout.bucket_of(rows.accepted_ids.to_pylist(), of_rows))
            if rows.weights is not None:
                weights.append(rows.weights[rows.accepted])
            sums.append(embedded.sum(axis=0, dtype=np.float64).tolist())
            divided.add(of_rows, embedded)
        assert vectors is not None
        places = np.stack([np.concatenate(partitions), np.concatenate(buckets)], axis=1)
        carried = np.concatenate(weights) if weights else None
        # Of each chunk, so that their total does not depend on how chunks were grouped.
        _write_file(
            self.rows.work, group.key, np.concatenate(index), vectors, places, carried, {"sums": sums}
        )
        if self.layout.divided:
            # Apart: every bucket reads the footer of every file, and these are d numbers a partition.
            self.rows.work.write("sums", group.key, divided.table(vectors.shape[1]))


def _write_file(
    work: WorkDirectory,
    key: str,
    index: np.ndarray,
    vectors: np.ndarray,
    places: np.ndarray,
    weights: np.ndarray | None,
    more: dict[str, Any],
) -> None:
    order = np.lexsort((index, places[:, 1], places[:, 0]))
    places = places[order]
    edges = np.flatnonzero(np.any(places[1:] != places[:-1], axis=1)) + 1
    bounds = [0, *edges.tolist(), len(order)] if len(order) else [0]
    groups = [
        [int(places[first, 0]), int(places[first, 1]), stop - first] for first, stop in pairwise(bounds)
    ]
    fields = [("index", pa.int64()), ("vector", pa.binary(vectors.shape[1] * 4))]
    if weights is not None:
        fields.append(("weight", pa.int64()))
        for group, (first, stop) in zip(groups, pairwise(bounds), strict=True):
            group.append(int(weights[order[first:stop]].sum()))
    metadata = {
        "groups": groups,
        **more,
        # Least and greatest of each dimension: what the steps of the sketches must reach.
        "extremes": [vectors.min(axis=0).tolist(), vectors.max(axis=0).tolist()] if len(vectors) else [],
    }
    schema = pa.schema(fields)
    with work.writer("regroup", key, schema, metadata) as writer:
        for first, stop in pairwise(bounds):
            taken = order[first:stop]
            columns = [pa.array(index[taken]), vectors_column(vectors[taken])]
            columns += [] if weights is None else [pa.array(weights[taken])]
            writer.write(pa.Table.from_arrays(columns, schema=schema))
