"""Subsets and importances in numbers: gains by rank, overlaps, and how unequal the draws are."""

from __future__ import annotations

from typing import Any

import numpy as np

from syllabus.manifests import Manifest, schema

POINTS = 128
"""Values of a curve."""
MOST_SUBSETS = 16
"""Subsets of a fraction that are compared with one another."""


def subset_figures(manifest: Manifest) -> list[dict[str, Any]]:
    """Return, for each fraction, the figures of manifest.json, the curve of gains and the overlaps."""
    found = []
    for entry in manifest.description["subsets"]:
        fraction, names = entry["fraction"], ("objective", "greedy", "random", "upper_bound", "jaccard")
        found.append(
            {
                **{name: entry.get(name) for name in names},
                "fraction": fraction,
                "budget": entry["budget"],
                "count": entry["count"],
                "gain": entry.get("normalised_gain"),
                "covered": entry.get("covered"),
                "partitions": entry.get("partitions"),
                "gains": _gains(manifest, fraction),
                "overlaps": _overlaps(manifest, fraction),
            }
        )
    return found


def _gains(manifest: Manifest, fraction: float) -> list[list[float]]:
    """The curve of the first subset: share of a partition's picks, mean gain over the partitions there."""
    first, last = manifest.subset_rows(fraction, 0)
    columns = (manifest.column(schema.SUBSETS, name, first, last) for name in ("partition", "rank", "gain"))
    partition, rank, gain = columns
    order = np.lexsort((rank, partition))
    starts = np.flatnonzero(np.append(True, np.diff(partition[order]) != 0))
    places = (np.arange(POINTS) + 0.5) / POINTS
    mean = np.zeros(POINTS)
    for gains in np.split(gain[order], starts[1:]):
        cuts = np.unique(np.linspace(0, len(gains), min(POINTS, len(gains)), endpoint=False).astype(np.int64))
        sizes = np.diff([*cuts, len(gains)])
        middles = (cuts + sizes / 2) / len(gains)
        mean += np.interp(places, middles, np.add.reduceat(gains, cuts) / sizes) * len(gains) / len(gain)
    return [places.tolist(), mean.tolist()]


def _overlaps(manifest: Manifest, fraction: float) -> list[list[float]]:
    """The Jaccard index of each pair of the first subsets: a bit for each subset, counted by pattern."""
    count = min(MOST_SUBSETS, manifest.subset_count(fraction))
    patterns = np.zeros(manifest.source_rows, np.uint16)
    for subset in range(count):
        patterns[manifest.subset(fraction, subset)] |= np.uint16(1 << subset)
    sizes = np.bincount(patterns, minlength=1)
    kinds = np.flatnonzero(sizes)
    held = (kinds[:, None] >> np.arange(count) & 1).astype(np.float64)
    shared = held.T @ (sizes[kinds][:, None] * held)
    alone = np.diag(shared)
    jaccard: list[list[float]] = (shared / np.maximum(alone[:, None] + alone - shared, 1)).round(4).tolist()
    return jaccard


def importance_figures(manifest: Manifest) -> list[dict[str, Any]]:
    """Return, for each importance, its effective sample sizes and the quantiles of its probabilities.

    A probability is given as a multiple of that of a uniform draw from its partition.
    """
    found = []
    for name in manifest.importances:
        probability = manifest.column(schema.importance(name), "probability")
        # Sorted by (partition, rank): each partition's rows stand together.
        multiple = probability * np.repeat(manifest.partition_sizes, manifest.partition_sizes)
        multiple.sort()
        places = np.linspace(0, len(multiple) - 1, min(POINTS, len(multiple))).astype(np.int64)
        entry = manifest.description["importances"][name]
        found.append(
            {
                "name": name,
                "map": entry.get("map"),
                "ess": entry.get("ess"),
                "draws": entry.get("inclusion_ess", []),
                "shares": (places / max(1, len(multiple) - 1)).tolist(),
                "multiples": multiple[places].tolist(),
                "zero": float((multiple == 0).mean()),
            }
        )
    return found
