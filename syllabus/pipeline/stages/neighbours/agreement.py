"""Agreement of each example's label with those of its nearest neighbours.

Classes: the share of the neighbours with the same one. Lists of classes: the mean Jaccard index with theirs,
|A ∩ B| / |A ∪ B|, 1 where both are empty. Numbers: the distance from the neighbours' mean, in standard
deviations of that distance over all examples; their own spread would be 0 where ten neighbours are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
    """Return the (n,) float32 agreements.

    Args:
      graph: searched; an example whose lists held no other has no neighbour, and NaN here.
      rows: the examples.
      partitioning: by their labels.
      partitions: (n,) whole numbers, which are the classes where a label is one.

    Memory: classes, nothing beside the result; numbers, 25 bytes an example; lists, 20 and 8 a class.
    """
    n = graph.knn.vectors.n
    if partitioning.kind == "class":
        means = np.empty(n, np.float32)
        return _write_means(graph, lambda own, theirs: partitions[own] == partitions[theirs], means)
    labels = (each.accepted_labels for each in rows.all())
    if partitioning.kind == "list":
        return _write_means(graph, _jaccard(labels, partitioning.vocabulary), np.empty(n, np.float32))
    numbers, first = np.empty(n), 0
    for each in labels:
        numbers[first : first + len(each.numbers)] = each.numbers.to_numpy()
        first += len(each.numbers)
    distance = _write_means(graph, lambda own, theirs: numbers[theirs], np.empty(n))  # noqa: ARG005
    np.subtract(numbers, distance, out=distance)
    distance /= np.nanstd(distance) or 1.0
    return distance.astype(np.float32)


def agreement_section(kind: str, values: np.ndarray) -> dict[str, Any]:
    """Return what manifest.json says of the agreements, NaN left out."""
    missing = np.isnan(values)
    if missing.any():
        values = values[~missing]
    zero = None if kind == "number" else float((values == 0).mean())
    median = np.median(np.abs(values), overwrite_input=True)
    return {"kind": kind, "median": float(median), "zero_share": zero}


def _write_means(graph: NeighbourGraph, term: Term, means: np.ndarray) -> np.ndarray:
    """Return `means`, (n,), with the mean over each example's neighbours; NaN where there are none."""
    for positions, nearest in graph.found():
        total = np.zeros(len(positions))
        for rank in range(nearest.ids.shape[1]):
            there = np.flatnonzero(nearest.ids[:, rank] >= 0)
            total[there] += term(positions[there], nearest.ids[there, rank])
        found = (nearest.ids >= 0).sum(axis=1)
        means[positions] = np.divide(total, found, out=np.full(len(total), np.nan), where=found > 0)
    return means


def _jaccard(labels: Iterable[RowLabels], vocabulary: tuple[str, ...]) -> Term:
    from scipy import sparse  # takes long to import, for labels that are lists alone

    names = pa.array(vocabulary, pa.string())
    parts = []
    for lists in map(lists_of, labels):
        counted = pc.list_value_length(lists).to_numpy()
        parts.append((counted, pc.index_in(lists.flatten(), names).to_numpy()))
    counts, classes = (np.concatenate(column) for column in zip(*parts, strict=True))
    shape = (len(counts), len(vocabulary))
    starts = np.concatenate([[0], np.cumsum(counts)])
    held = sparse.csr_matrix((np.ones(len(classes), np.int32), classes, starts), shape)
    # A class that stands twice in a list counts once.
    held.sum_duplicates()
    held.data[:] = 1
    sizes = np.diff(held.indptr)

    def term(own: np.ndarray, theirs: np.ndarray) -> np.ndarray:
        shared = np.asarray(held[own].multiply(held[theirs]).sum(axis=1)).ravel()
        either = sizes[own] + sizes[theirs] - shared
        return np.where(either == 0, 1.0, shared / np.maximum(either, 1))

    return term
