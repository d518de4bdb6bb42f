"""The maps of a report: where the live points lie, and a count by cell behind them.

The manifest's own is by the two leading principal axes and counts every example. A map by UMAP is made here,
of the live points alone: UMAP's bytes differ between machines, and a manifest's may not.
"""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import numpy as np

from syllabus.manifests import Manifest, schema
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.reporting.sketch_neighbours import sketch_neighbours

STEPS = 65_535
"""Coordinates are whole steps of the map."""
MOST_CELLS = 200_000
NEIGHBOURS = 15
"""UMAP's own default, which counts the point itself."""
UMAP_SIDE, EDGE = 64, 0.05
"""Cells along a side, and the share of it that stays free around the points."""
WIDEST = 0.04
"""Share of a side that no point may lie in."""


def read_maps(manifest: Manifest, umap: bool | None) -> list[dict[str, Any]]:
    """Return the maps, the one to be shown first in front; none where the manifest has no preview.

    Args:
      manifest: an open one.
      umap: as in `write_report`.

    Each has its name, x and y of the rows of the preview in steps, and counts: their side, the examples that
    they count, and of each partition the cells, as differences, and their counts.
    """
    lacking = _lacking(manifest)
    if umap and lacking:
        raise UserError(f"report: umap: {lacking}")
    if "preview" not in manifest.description:
        return []
    preview = manifest.description["preview"]
    places = np.stack([manifest.column(schema.PREVIEW, name) for name in ("x", "y")], axis=1)
    bounds = np.array([preview["grid"]["x"], preview["grid"]["y"]]).T
    maps = [{"name": "pca", **_steps(places, *bounds), **_density(manifest)}]
    if umap is not False and not lacking:
        layout = _layout(manifest, places)
        room = EDGE * np.ptp(layout, axis=0)
        bounds = np.stack([layout.min(axis=0) - room, layout.max(axis=0) + room])
        maps.insert(0, {"name": "umap", **_steps(layout, *bounds), **_counts(manifest, layout, *bounds)})
    return maps


def _lacking(manifest: Manifest) -> str | None:
    """What a map by UMAP lacks, if anything."""
    preview = manifest.description.get("preview")
    if preview is None:
        return "the manifest has no preview: prepare it without --no-preview"
    if manifest.sketch_dimension is None:
        return "the manifest holds no vectors: it was prepared with sketch_dim=0"
    if preview["rows"] <= NEIGHBOURS:
        return f"the manifest has {preview['rows']} points; UMAP takes more than {NEIGHBOURS}"
    if importlib.util.find_spec("umap") is None:
        return "umap-learn is missing: pip install 'syllabus[umap]'"
    return None


def _layout(manifest: Manifest, start: np.ndarray) -> np.ndarray:
    """The (m, 2) places of the preview's rows by UMAP (McInnes, Healy and Melville, arXiv 1802.03426).

    It begins from the principal axes, so that what lies far apart in the data tends to on the map (Kobak and
    Linderman, doi 10.1038/s41587-020-00809-z).
    """
    index = manifest.column(schema.PREVIEW, "index")
    ids, cosines = sketch_neighbours(manifest, index, NEIGHBOURS - 1)
    own = np.arange(len(index))
    near = np.column_stack([own, ids])
    far = np.column_stack([np.zeros(len(index)), np.clip(1 - cosines, 0, 2)]).astype(np.float32)
    with warnings.catch_warnings():
        # Of TensorFlow and of new points, which nobody asks for: the neighbours are all it needs.
        warnings.simplefilter("ignore")
        from umap import UMAP

        umap = UMAP(
            n_neighbors=NEIGHBOURS,
            init=start.astype(np.float32),
            precomputed_knn=(near, far),
            force_approximation_algorithm=True,
            random_state=0,
            n_jobs=1,
        )
        return _narrowed(np.asarray(umap.fit_transform(start.astype(np.float32)), np.float64))


def _narrowed(places: np.ndarray) -> np.ndarray:
    """The (m, 2) places with wide empty bands made narrow: a few points far away would squeeze the others.

    How far apart groups lie says nothing on such a map. The order along each axis stays.
    """
    narrowed = np.empty_like(places)
    for axis in range(2):
        order = np.argsort(places[:, axis], kind="stable")
        gaps = np.diff(places[order, axis], prepend=places[order[0], axis])
        narrowed[order, axis] = np.cumsum(np.minimum(gaps, WIDEST * np.ptp(places[:, axis])))
    return narrowed


def _steps(places: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, list[int]]:
    """The (m, 2) places in steps of the map."""
    steps = np.clip(np.rint((places - low) / (high - low) * STEPS), 0, STEPS).astype(int)
    return {"x": steps[:, 0].tolist(), "y": steps[:, 1].tolist()}


def _counts(manifest: Manifest, places: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, Any]:
    """The rows that chance drew, by partition and cell: those that were picked would weigh too much."""
    drawn = manifest.table(schema.PREVIEW, ["index", "drawn"])
    chosen = drawn.column("drawn").to_numpy(zero_copy_only=False)
    index = drawn.column("index").to_numpy()[chosen]
    partition = manifest.records(index, ["partition"]).column("partition").to_numpy().astype(np.int64)
    apart = manifest.description["preview"]["grid"]["partitions"]
    partition = np.where(np.isin(partition, apart), partition, -1)
    cells = np.clip((places[chosen] - low) / (high - low) * UMAP_SIDE, 0, UMAP_SIDE - 1).astype(np.int64)
    cell = cells[:, 1] * UMAP_SIDE + cells[:, 0]
    return _by_partition(*_summed(partition, cell, np.ones(len(index)), UMAP_SIDE), UMAP_SIDE)


def _density(manifest: Manifest) -> dict[str, Any]:
    """All examples by partition and cell.

    Four cells become one where there are so many that the contents would have no room.
    """
    names = ("partition", "cell", "examples")
    partition, cell, examples = (manifest.column(schema.DENSITY, name).astype(np.int64) for name in names)
    side = int(manifest.description["preview"]["grid"]["side"])
    keys, sums = _summed(partition, cell, examples, side)
    while len(keys) > MOST_CELLS and side % 2 == 0:
        cell, side = cell // side // 2 * (side // 2) + cell % side // 2, side // 2
        keys, sums = _summed(partition, cell, examples, side)
    return _by_partition(keys, sums, side)


def _summed(
    partition: np.ndarray, cell: np.ndarray, examples: np.ndarray, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sums of `examples` by key, which is (partition + 1) · side² + cell."""
    keys, where = np.unique((partition + 1) * side * side + cell, return_inverse=True)
    return keys, np.bincount(where, examples).astype(np.int64)


def _by_partition(keys: np.ndarray, sums: np.ndarray, side: int) -> dict[str, Any]:
    """Counts of the cells of each partition, cells as differences: they take fewer bytes."""
    numbers, starts = np.unique(keys // (side * side) - 1, return_index=True)
    parts = zip(
        numbers.tolist(),
        np.split(keys % (side * side), starts[1:]),
        np.split(sums, starts[1:]),
        strict=True,
    )
    return {
        "side": side,
        "counted": int(sums.sum()),
        "partitions": [
            {"partition": number, "cells": np.diff(cells, prepend=0).tolist(), "counts": counts.tolist()}
            for number, cells, counts in parts
        ],
    }
