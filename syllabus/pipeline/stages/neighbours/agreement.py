"""Agreement of each example's label with those of its nearest neighbours.

Classes: the share of the neighbours with the same one. Lists of classes: the mean Jaccard index with theirs,
|A ∩ B| / |A ∪ B|, 1 where both are empty. Numbers: the distance from the neighbours' mean, in standard
deviations of that distance over all examples; their own spread would be 0 where ten neighbours are equal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syllabus.pipeline.stages.neighbours.stage import NeighbourGraph
from syllabus.pipeline.stages.partitions import Partitioning, RowLabels, lists_of
from syllabus.pipeline.stages.rows import AcceptedRows

Term = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(positions, their neighbours of one rank) to what each pair adds to the mean."""


def label_agreement(
    graph: NeighbourGraph, rows: AcceptedRows, partitioning: Partitioning, partitions: np.ndarray
) -> np.ndarray:
    """Return the (n,) float32 agreements; labels are held for all examples at once.

    Args:
      graph: searched; an example whose lists held no other has no neighbour, and NaN here.
      rows: the examples.
      partitioning: by their labels.
      partitions: (n,) int32, which are the classes where a label is one.
    """
    if partitioning.kind == "class":
        return _mean(graph, lambda own, theirs: partitions[own] == partitions[theirs]).astype(np.float32)
    labels = [each.accepted_labels for each in rows.all()]
    if partitioning.kind == "list":
        return _mean(graph, _jaccard(labels, partitioning.vocabulary)).astype(np.float32)
    numbers = np.concatenate([each.numbers.to_numpy() for each in labels])
    distance = numbers - _mean(graph, lambda own, theirs: numbers[theirs])  # noqa: ARG005
    spread = np.nanstd(distance)
    return (distance / (spread or 1.0)).astype(np.float32)


def agreement_section(kind: str, values: np.ndarray) -> dict[str, Any]:
    """Return what manifest.json says of the agreements, NaN left out."""
    values = values[~np.isnan(values)]
    zero = None if kind == "number" else float((values == 0).mean())
    return {"kind": kind, "median": float(np.median(np.abs(values))), "zero_share": zero}


def _mean(graph: NeighbourGraph, term: Term) -> np.ndarray:
    """Mean over each example's neighbours, (n,) float64; NaN where there are none."""
    means = np.zeros(graph.knn.vectors.n)
    for positions, nearest in graph.found():
        total = np.zeros(len(positions))
        for rank in range(nearest.ids.shape[1]):
            there = np.flatnonzero(nearest.ids[:, rank] >= 0)
            total[there] += term(positions[there], nearest.ids[there, rank])
        found = (nearest.ids >= 0).sum(axis=1)
        means[positions] = np.divide(total, found, out=np.full(len(total), np.nan), where=found > 0)
    return means


def _jaccard(labels: list[RowLabels], vocabulary: tuple[str, ...]) -> Term:
    from scipy import sparse  # takes long to import, for labels that are lists alone

    lists = [lists_of(each) for each in labels]
    counts = np.concatenate([pc.list_value_length(each).to_numpy() for each in lists])
    names = pa.array(vocabulary, pa.string())
    classes = np.concatenate([pc.index_in(each.flatten(), names).to_numpy() for each in lists])
    shape = (len(counts), len(vocabulary))
    held = sparse.csr_matrix(
        (np.ones(len(classes), np.int32), classes, np.concatenate([[0], np.cumsum(counts)])), shape
    )
    # A class that stands twice in a list counts once.
    held.sum_duplicates()
    held.data[:] = 1
    sizes = np.diff(held.indptr)

    def term(own: np.ndarray, theirs: np.ndarray) -> np.ndarray:
        shared = np.asarray(held[own].multiply(held[theirs]).sum(axis=1)).ravel()
        either = sizes[own] + sizes[theirs] - shared
        return np.where(either == 0, 1.0, shared / np.maximum(either, 1))

    return term
