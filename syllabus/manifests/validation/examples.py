"""The accepted examples that other tables refer to, and checks that several tables share."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from syllabus.manifests.format import schema
from syllabus.manifests.reading.manifest import Manifest

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Examples:
    """The index, partition and weight (None where budgets count examples) of each accepted example."""

    index: Indices
    partition: npt.NDArray[np.int32]
    weight: Indices | None

    @classmethod
    def of(cls, manifest: Manifest) -> "Examples":
        """Read them."""
        rows = manifest.table(schema.EXAMPLES, ["index", "partition"])
        return cls(rows.column("index").to_numpy(), rows.column("partition").to_numpy(), manifest.weights())

    def places(self, index: Indices) -> tuple[Indices, npt.NDArray[np.bool_]]:
        """Return the place of each index among the accepted ones, and whether it is one of them."""
        places = np.searchsorted(self.index, index)
        places[places == len(self.index)] = 0
        return places, self.index[places] == index

    def weights(self, places: Indices) -> Indices:
        """Return the units that the examples at these places count for."""
        return np.ones(len(places), np.int64) if self.weight is None else self.weight[places]


def membership(
    columns: dict[str, Any], places: Indices, inside: npt.NDArray[np.bool_], examples: Examples
) -> Iterator[str]:
    """Yield a line if an index is no accepted example, or has another partition than there."""
    row = first(~inside)
    if row is not None:
        yield f"index {columns['index'][row]} is no accepted example"
        return
    row = first(examples.partition[places] != columns["partition"])
    if row is not None:
        yield (
            f"index {columns['index'][row]} has partition {columns['partition'][row]}, "
            f"the examples say {examples.partition[places[row]]}"
        )


def arrays(rows: pa.Table) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of a table by name."""
    return {name: column.to_numpy() for name, column in zip(rows.column_names, rows.columns, strict=True)}


def first(mask: npt.NDArray[np.bool_]) -> int | None:
    """Return the first place where `mask` holds, None if nowhere."""
    place = int(mask.argmax()) if mask.size else 0
    return place if mask.size and mask[place] else None
