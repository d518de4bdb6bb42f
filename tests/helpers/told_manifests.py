"""Manifests that say what a test wants them to say of neighbours, subsets and importances."""

from __future__ import annotations

import copy

import numpy as np
import pyarrow as pa
from curricula import manifest

from syllabus.manifests import Manifest


def told(
    neighbours: dict | None = None,
    subsets: dict | None = None,
    ess: float | None = None,
    columns: dict[str, np.ndarray] | None = None,
) -> Manifest:
    """A manifest that says other things of itself than it measured, and has other columns of examples."""
    other = manifest(240, 12, 6, neighbours=True)
    description = copy.deepcopy(other.description)
    description.pop("neighbours")
    if neighbours:
        description["neighbours"] = neighbours
    for entry in description["subsets"]:
        entry.update(subsets or {})
    if ess is not None:
        description["importances"]["radius"]["ess"] = {"mean": ess}
    return Manifest(other.store, description) if columns is None else Told(other, description, columns)


class Told(Manifest):
    """A manifest of which some columns of the examples are others."""

    def __init__(self, other: Manifest, description: dict, columns: dict[str, np.ndarray]) -> None:
        super().__init__(other.store, description)
        self.columns = columns
        self.n = len(columns["index"])

    def column(self, table, name, start=0, stop=None):
        found = self.columns.get(name) if str(getattr(table, "directory", table)) == "examples" else None
        return super().column(table, name, start, stop) if found is None else found[start:stop]

    def batches(self, table, columns=None, rows=1000):  # noqa: ARG002
        whole = pa.table({name: self.columns[name] for name in columns})
        return (whole.slice(first, rows) for first in range(0, self.n, rows))


def section(kind: str = "class", left_out: int = 0, against: tuple[str, ...] = ()) -> dict:
    return {
        "k": 10,
        "agreement": {"kind": kind, "median": 0.8, "zero_share": None if kind == "number" else 0.2},
        "duplicates": {
            "share": 0.3,
            "groups": 9,
            "cover": {"threshold": 0.96, "left_out": left_out, "separation": {"against": list(against)}},
        },
    }


def data(wrong: float = 0.0, copies: float = 0.0, n: int = 4000) -> dict[str, np.ndarray]:
    """Columns of examples in four classes: a share agrees with no neighbour, a share is a copy."""
    draw = np.random.default_rng(0)
    agreement = np.where(draw.random(n) < wrong, 0.0, draw.choice([0.7, 0.8, 0.9, 1.0], n))
    index = np.arange(n)
    covers = np.where(draw.random(n) < copies, index % 4, index)
    covers[:4] = index[:4]
    agreement[:4] = 1
    return {
        "index": index,
        "partition": (index % 4).astype(np.int32),
        "neighbour_agreement": agreement.astype(np.float32),
        "duplicate_of": covers,
    }


def left_out(columns: dict[str, np.ndarray]) -> int:
    return int((columns["duplicate_of"] != columns["index"]).sum())


NOISY, CLEAN = data(0.2), data(0.02)
