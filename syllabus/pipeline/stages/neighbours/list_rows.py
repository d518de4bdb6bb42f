"""Rows of lists in files: row groups of one list, or of one group of lists, copied from where they lie.

A searching worker reads all vectors, over and over. A row group of fixed-size values is one page: its bytes
are copied into an array that is there, on the thread that asks, and nothing is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from syllabus.pipeline.work_directory import SealedFile, SealedWriter

PIECE = 8192
"""Rows in a row group at most."""


def pieces(rows: int) -> int:
    """Return how many row groups so many rows are."""
    return -(-rows // PIECE)


@dataclass(frozen=True, eq=False)
class ListRows:
    """Rows with the lists that they look into."""

    positions: np.ndarray
    """(m,) int64"""
    probes: np.ndarray
    """(m, p) int32, the list that a row is in first"""
    vectors: np.ndarray
    """(m, D) float32"""

    @staticmethod
    def empty(rows: int, probes: int, dimension: int) -> ListRows:
        """Return room for so many rows."""
        shape = ((rows, probes), (rows, dimension))
        return ListRows(np.empty(rows, "<i8"), np.empty(shape[0], "<i4"), np.empty(shape[1], "<f4"))

    def first(self, rows: int) -> ListRows:
        """Return the first rows, not a copy."""
        return ListRows(self.positions[:rows], self.probes[:rows], self.vectors[:rows])

    def read(self, file: SealedFile, groups: range, first: int = 0) -> int:
        """Fill the rows from `first` on with those of some row groups; return where they end."""
        for group in groups:
            for array, values in zip(self._columns(), file.fixed_size_values(group), strict=True):
                found = np.frombuffer(values, np.uint8)
                stop = first + found.size // array[:1].nbytes
                array[first:stop].reshape(-1).view(np.uint8)[:] = found
            first = stop
        return first

    def write(self, writer: SealedWriter, places: np.ndarray) -> None:
        """Write the rows at some places, as `pieces` of them."""
        for first in range(0, len(places), PIECE):
            taken = places[first : first + PIECE]
            arrays = [
                pa.Array.from_buffers(field.type, len(taken), [None, pa.py_buffer(column[taken])])
                for field, column in zip(self.schema, self._columns(), strict=True)
            ]
            writer.write(pa.Table.from_arrays(arrays, schema=self.schema))

    @property
    def schema(self) -> pa.Schema:
        """The columns of a file: bytes, and never null."""
        widths = {"position": 8, "probes": 4 * self.probes.shape[1], "vector": 4 * self.vectors.shape[1]}
        return pa.schema([pa.field(name, pa.binary(width), nullable=False) for name, width in widths.items()])

    def by_list(self) -> list[tuple[int, np.ndarray]]:
        """Return each list that rows are in, ascending, and their places, in the order that they have."""
        order = np.argsort(self.probes[:, 0], kind="stable")
        lists, starts = np.unique(self.probes[order, 0], return_index=True)
        return list(zip(lists.tolist(), np.split(order, starts[1:]), strict=True)) if len(order) else []

    def _columns(self) -> tuple[np.ndarray, ...]:
        return self.positions, self.probes, self.vectors
