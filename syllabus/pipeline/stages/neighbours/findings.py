"""What the neighbours say: agreement with the label, duplicate groups, and their shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from syllabus.pipeline.stages.neighbours.agreement import described
from syllabus.pipeline.stages.neighbours.holdout import Holdout
from syllabus.pipeline.stages.neighbours.stage import Search


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
    search: Search | None,
    holdout: Holdout | None,
    index: np.ndarray,
    agreeing: Callable[[Search], np.ndarray] | None,
    kind: str,
) -> Findings:
    """Return what was found.

    Args:
      search: of the examples, done; None where none was wanted.
      holdout: the comparison with test data, done; None where none was wanted.
      index: (n,) int64, ascending.
      agreeing: computes the agreements from the search; None without labels.
      kind: of the labels.
    """
    sections: dict[str, Any] = {} if holdout is None else {"holdout": holdout.section(index)}
    if search is None:
        return Findings(None, None, sections)
    groups = search.groups()
    # A single example has no neighbour to agree with.
    agreement = agreeing(search) if agreeing is not None and len(index) > 1 else None
    sections["neighbours"] = {
        **search.described(),
        "agreement": None if agreement is None else described(kind, agreement),
        "duplicates": _duplicates(groups, search.wanted.threshold),
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
