"""The tables of people: a preview of some rows on a plane, and the density of all of them on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from syllabus.manifests import ManifestWriter, schema
from syllabus.pipeline.stages.commit.centred import centred_chunks, even_sample
from syllabus.pipeline.stages.commit.chosen import choose_rows
from syllabus.pipeline.stages.commit.contents import read_contents
from syllabus.pipeline.stages.commit.context import Buckets, CommitContext
from syllabus.pipeline.stages.regroup.buckets import by_partition, read_partitions
from syllabus.pipeline.work_directory import digest_of, vectors_column, vectors_of

SAMPLE = 8192
"""Rows that the plane is fitted to."""
OVERSAMPLES, POWER_ITERATIONS = 6, 8
SIDE = 128
COUNTED_APART = 32
"""Partitions, the largest, that the density is counted of one by one."""


def write_preview(
    context: CommitContext, writer: ManifestWriter, buckets: Buckets, mean: np.ndarray
) -> dict[str, Any]:
    """Write both tables; return their section of manifest.json, or none where none are wanted.

    Args:
      context: everything that the stages have made.
      writer: of the manifest.
      buckets: what each holds.
      mean: (d,) float64 of all embeddings.

    Cost: two passes over the vectors, and one over those files of the source that hold a row of it. Points of
    all examples lie in the work directory for the time. Memory: one group of chunks.
    """
    options = context.options
    if not options.preview:
        return {}
    axes = _plane(context, mean)
    chosen = choose_rows(context, buckets)
    taken = context.index[chosen.positions].astype(np.int64)
    with _points(context, centred_chunks(context, mean, axes)) as (bounds, points):
        x, y = bounds
        apart, rows, shown = _write_density(context, writer, buckets, points, bounds, chosen.positions)
    texts: list[str | None] = [None] * len(taken)
    thumbnails: list[bytes | None] = [None] * len(taken)
    # Who names private rows does not want their like shown.
    if options.private is None:
        texts, thumbnails = read_contents(context.plan, context.work, taken, chosen.priority)
    columns = {
        "index": taken,
        "x": shown[:, 0],
        "y": shown[:, 1],
        "drawn": chosen.drawn,
        "text": pa.array(texts, pa.string()),
        "thumbnail": pa.array(thumbnails, pa.binary()),
    }
    writer.table(schema.PREVIEW).write(pa.table(columns, schema=schema.PREVIEW.schema))
    return {
        "preview": {
            "rows": len(taken),
            "drawn": int(chosen.drawn.sum()),
            "projection": "pca",
            "texts": sum(text is not None for text in texts),
            "thumbnails": sum(image is not None for image in thumbnails),
            "grid": {"side": SIDE, "rows": rows, "x": x, "y": y, "partitions": apart},
        }
    }


def _plane(context: CommitContext, mean: np.ndarray) -> np.ndarray:
    """Return the (2, d) float64 leading principal axes of a sample; zeros where there are fewer.

    Halko, Martinsson and Tropp, "Finding structure with randomness" (2011): a full decomposition would take
    minutes at a thousand dimensions.
    """
    sample = even_sample(context, mean, SAMPLE)
    axes = np.zeros((2, len(mean)))
    with threadpool_limits(context.options.threads_per_worker):
        # Written out: scikit-learn's, the same, takes longer to import than a small job.
        start = np.random.default_rng(0).standard_normal((len(mean), 2 + OVERSAMPLES), np.float32)
        basis = np.linalg.qr(sample @ start)[0]
        for _ in range(POWER_ITERATIONS):
            basis = np.linalg.qr(sample @ np.linalg.qr(sample.T @ basis)[0])[0]
        leading = np.linalg.svd(basis.T @ sample, full_matrices=False)[2][:2]
    # The largest number of each is positive: the picture does not depend on the library.
    largest = np.take_along_axis(leading, np.abs(leading).argmax(axis=1, keepdims=True), axis=1)
    axes[: len(leading)] = np.where(largest < 0, -leading, leading)
    return axes


@contextmanager
def _points(
    context: CommitContext, chunks: Iterator[tuple[np.ndarray, np.ndarray]]
) -> Iterator[tuple[list[list[float]], Iterator[np.ndarray]]]:
    """Yield the intervals of x and y, and the (m, 2) float32 points chunk by chunk, from (index, points)."""
    low, high = np.full(2, np.inf, np.float32), np.full(2, -np.inf, np.float32)
    # Of this job alone: no other writes to its output.
    key = digest_of([context.ordering.selecting.groups, context.options.output])[:40]
    try:
        with context.work.writer("points", key, pa.schema({"point": pa.binary(8)})) as writer:
            for _, block in chunks:
                points = block.astype(np.float32)
                np.minimum(low, points.min(axis=0), out=low)
                np.maximum(high, points.max(axis=0), out=high)
                writer.write(pa.table({"point": vectors_column(points)}))
        intervals = [_interval(float(low[axis]), float(high[axis])) for axis in range(2)]
        pieces = context.work.pieces("points", key)
        yield intervals, (vectors_of(piece.column("point")) for piece in pieces)
    finally:
        context.work.remove("points", key)


def _interval(low: float, high: float) -> list[float]:
    """The interval, wider where it is empty."""
    return [low, high] if low < high else [low - 0.5, high + 0.5]


def _write_density(
    context: CommitContext,
    writer: ManifestWriter,
    buckets: Buckets,
    points: Iterator[np.ndarray],
    bounds: list[list[float]],
    chosen: np.ndarray,
) -> tuple[list[int], int, np.ndarray]:
    """Count the points by partition and cell.

    Returns the partitions that are counted apart, the rows of the table, and the (m, 2) points of the rows at
    the (m,) ascending positions `chosen`.
    """
    sizes = by_partition(buckets.rows)
    apart = sorted(sorted(sizes, key=lambda number: (-sizes[number], number))[:COUNTED_APART])
    counts = np.zeros((len(apart) + 1, SIDE * SIDE), np.int64)
    shown = np.empty((len(chosen), 2), np.float32)
    first = 0
    for group in context.groups:
        _, partition = read_partitions(context.work, group)
        stop = first + len(partition)
        place = np.empty((stop - first, 2), np.float32)
        filled = 0
        while filled < len(place):  # a group is whole chunks
            piece = next(points)
            place[filled : filled + len(piece)] = piece
            filled += len(piece)
        inside = slice(*np.searchsorted(chosen, [first, stop]))
        shown[inside] = place[chosen[inside] - first]
        # Place 0 is of the others.
        places = np.searchsorted(apart, partition)
        inside = np.take(np.array([*apart, -1]), places) == partition
        cells = [
            np.clip(((place[:, axis] - low) / (high - low) * SIDE).astype(np.int64), 0, SIDE - 1)
            for axis, (low, high) in enumerate(bounds)
        ]
        np.add.at(counts, (np.where(inside, places + 1, 0), cells[1] * SIDE + cells[0]), 1)
        first = stop
    number, cell = np.nonzero(counts)
    columns = {
        "partition": np.array([-1, *apart], np.int32)[number],
        "cell": cell.astype(np.int32),
        "examples": counts[number, cell],
    }
    writer.table(schema.DENSITY).write(pa.table(columns, schema=schema.DENSITY.schema))
    return apart, len(number), shown
