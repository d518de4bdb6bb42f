"""Findings of the neighbours stage: agreement with the label, duplicate groups, and their shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from syllabus.pipeline.stages.neighbours.agreement import agreement_section, label_agreement
from syllabus.pipeline.stages.neighbours.holdout import Holdout
from syllabus.pipeline.stages.neighbours.stage import NeighbourGraph
from syllabus.pipeline.stages.partitions import Partitioning
from syllabus.pipeline.stages.rows import AcceptedRows


@dataclass(frozen=True)
class Findings:
    """Columns of examples, and sections of manifest.json; None where neighbours were not searched."""

    agreement: np.ndarray | None
    """(n,) float32, NaN where no neighbour was found; None also without labels"""
    groups: np.ndarray | None
    """(n,) int64"""
    sections: dict[str, Any]

    def columns(self, first: int, stop: int) -> dict[str, Any]:
        """Return the two columns of examples at positions `first` to `stop`."""
        kinds = {"neighbour_agreement": pa.float32(), "duplicate_group": pa.int64()}
        values = (self.agreement, self.groups)
        return {
            name: pa.nulls(stop - first, kind)
            if column is None
            else pa.array(column[first:stop], kind, from_pandas=True)
            for (name, kind), column in zip(kinds.items(), values, strict=True)
        }


def findings(
    graph: NeighbourGraph | None,
    holdout: Holdout | None,
    rows: AcceptedRows,
    partitioning: Partitioning | None,
    index: np.ndarray,
    partitions: np.ndarray,
) -> Findings:
    """Return what was found.

    Args:
      graph: of the examples, searched; None where none was wanted.
      holdout: the comparison with test data, done; None where none was wanted.
      rows: the examples.
      partitioning: by their labels; None where they have none.
      index: (n,) int64, ascending.
      partitions: (n,) int32
    """
    sections: dict[str, Any] = {} if holdout is None else {"holdout": holdout.section(index)}
    if graph is None:
        return Findings(None, None, sections)
    groups = graph.groups()
    agreement = section = None
    # A single example has no neighbour to agree with.
    if partitioning is not None and len(index) > 1:
        agreement = label_agreement(graph, rows, partitioning, partitions)
        section = agreement_section(partitioning.kind, agreement)
    duplicates = _duplicates(groups, graph.knn.threshold)
    sections["neighbours"] = {**graph.as_section(), "agreement": section, "duplicates": duplicates}
    return Findings(agreement, index[groups], sections)


def _duplicates(groups: np.ndarray, threshold: float) -> dict[str, Any]:
    sizes = np.bincount(groups, minlength=len(groups))
    repeated = int(sizes[sizes > 1].sum())
    return {
        "threshold": threshold,
        "groups": int((sizes > 1).sum()),
        "examples": repeated,
        "share": repeated / len(groups),
    }
