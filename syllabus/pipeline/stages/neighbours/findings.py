"""Findings of the neighbours stage: agreement with the label, duplicate groups, and their shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from syllabus.pipeline.stages.neighbours.agreement import agreement_section
from syllabus.pipeline.stages.neighbours.holdout import Holdout
from syllabus.pipeline.stages.neighbours.stage import NeighbourGraph


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
    index: np.ndarray,
    agreeing: Callable[[NeighbourGraph], np.ndarray] | None,
    kind: str,
) -> Findings:
    """Return what was found.

    Args:
      graph: of the examples, searched; None where none was wanted.
      holdout: the comparison with test data, done; None where none was wanted.
      index: (n,) int64, ascending.
      agreeing: computes the agreements from the graph; None without labels.
      kind: of the labels.
    """
    sections: dict[str, Any] = {} if holdout is None else {"holdout": holdout.section(index)}
    if graph is None:
        return Findings(None, None, sections)
    groups = graph.groups()
    # A single example has no neighbour to agree with.
    agreement = agreeing(graph) if agreeing is not None and len(index) > 1 else None
    sections["neighbours"] = {
        **graph.as_section(),
        "agreement": None if agreement is None else agreement_section(kind, agreement),
        "duplicates": _duplicates(groups, graph.knn.threshold),
    }
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
