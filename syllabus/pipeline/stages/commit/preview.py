"""The tables of people: a preview of some rows on a plane, and the density of all of them on it."""

from __future__ import annotations

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

    Cost: two passes over the vectors, and one over those files of the source that hold a row of it.
    Memory: 60 bytes an example, and one group of chunks.
    """
    options = context.options
    if not options.preview:
        return {}
    axes = _plane(context, mean)
    found = [(index, block.astype(np.float32)) for index, block in centred_chunks(context, mean, axes)]
    index, points = (np.concatenate(column) for column in zip(*found, strict=True))
    x, y = _interval(points[:, 0]), _interval(points[:, 1])
    apart, rows = _write_density(context, writer, buckets, points, (x, y))
    chosen = choose_rows(context, buckets, index)
    taken = index[chosen.positions]
    texts: list[str | None] = [None] * len(taken)
    thumbnails: list[bytes | None] = [None] * len(taken)
    # Who names private rows does not want their like shown.
    if options.private is None:
        texts, thumbnails = read_contents(context.plan, context.work, taken, chosen.priority)
    columns = {
        "index": taken,
        "x": points[chosen.positions, 0],
        "y": points[chosen.positions, 1],
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


def _interval(values: np.ndarray) -> list[float]:
    """The range of the values, wider where they are all equal."""
    low, high = float(values.min()), float(values.max())
    return [low, high] if low < high else [low - 0.5, high + 0.5]


def _write_density(
    context: CommitContext,
    writer: ManifestWriter,
    buckets: Buckets,
    points: np.ndarray,
    bounds: tuple[list[float], list[float]],
) -> tuple[list[int], int]:
    """Count the (n, 2) points by partition and cell; return the partitions counted apart, and the rows."""
    sizes = by_partition(buckets.rows)
    apart = sorted(sorted(sizes, key=lambda number: (-sizes[number], number))[:COUNTED_APART])
    counts = np.zeros((len(apart) + 1, SIDE * SIDE), np.int64)
    first = 0
    for group in context.groups:
        _, partition = read_partitions(context.work, group)
        stop = first + len(partition)
        # Place 0 is of the others.
        places = np.searchsorted(apart, partition)
        inside = np.take(np.array([*apart, -1]), places) == partition
        cells = [
            np.clip(((points[first:stop, axis] - low) / (high - low) * SIDE).astype(np.int64), 0, SIDE - 1)
            for axis, (low, high) in enumerate(bounds)
        ]
        np.add.at(counts, (np.where(inside, places + 1, 0), cells[1] * SIDE + cells[0]), 1)
        first = stop
    place, cell = np.nonzero(counts)
    columns = {
        "partition": np.array([-1, *apart], np.int32)[place],
        "cell": cell.astype(np.int32),
        "examples": counts[place, cell],
    }
    writer.table(schema.DENSITY).write(pa.table(columns, schema=schema.DENSITY.schema))
    return apart, len(place)
