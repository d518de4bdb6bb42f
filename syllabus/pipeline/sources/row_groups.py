"""Row groups of a Parquet file in pieces whose bytes are bounded, whatever a row weighs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from syllabus.pipeline.sources.column_types import holds_fixed_lists

MOST_ROWS = 8192
PIECE_BYTES = 64 << 20
"""Bytes that a piece aims at. Arrow cannot give a nested column in pieces of 2 GiB and more."""
HIDDEN_ROWS = 256
"""Rows of a piece where a dictionary may hide what a row weighs."""
BUFFER_BYTES = 8 << 20
"""A column of a row group is read from the file in pieces too, not whole."""


class RowGroups:
    """An open Parquet file.

    Lists of a fixed size are read as lists: Arrow refuses the whole file where one of fixed size is null.
    """

    def __init__(self, handle: Any) -> None:
        self._file = pq.ParquetFile(handle, buffer_size=BUFFER_BYTES)
        self.schema: pa.Schema = self._file.schema_arrow
        self.metadata: pq.FileMetaData = self._file.metadata
        self._fixed = {field.name for field in self.schema if holds_fixed_lists(field.type)}
        self._lists = self._file
        if self._fixed:
            self._lists = pq.ParquetFile(
                handle, metadata=_without_arrow_schema(handle), buffer_size=BUFFER_BYTES
            )

    def rows(self) -> list[int]:
        """Return the rows of each row group."""
        return [self.metadata.row_group(number).num_rows for number in range(self.metadata.num_row_groups)]

    def pieces(self, most_rows: int, size: int, names: list[str]) -> Iterator[int]:
        """Yield the rows of consecutive pieces: `most_rows`, fewer where columns of them take `size` bytes.

        What a row takes is the mean of its row group: one group of heavy rows makes no other pieces smaller.
        A dictionary may hide what a row weighs; a piece has one row at least.
        """
        taken, held = 0, 0.0
        for number, rows in enumerate(self.rows()):
            weight = sum(column.total_uncompressed_size for column in self._columns(number, names))
            each, left = weight / max(rows, 1), rows
            while left:
                fitting = int((size - held) / each) if each else left
                more = min(left, most_rows - taken, max(fitting, 0 if taken else 1))
                taken, held, left = taken + more, held + more * each, left - more
                if left:
                    yield taken
                    taken, held = 0, 0.0
        if taken:
            yield taken

    def may_lack(self, struct: str, field: str) -> bool:
        """Return whether a field of a struct may be null or absent, as far as the statistics tell."""
        for number in range(self.metadata.num_row_groups):
            columns = list(self._columns(number, [f"{struct}.{field}"]))
            known = [column.statistics for column in columns if column.statistics is not None]
            if not known or any(each.null_count != 0 for each in known):
                return True
        return False

    def read(
        self, groups: list[int], names: list[str], most_rows: int = MOST_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of row groups, in order, in batches of at most `most_rows`, of `PIECE_BYTES` about.

        Cost: memory of a few pieces; where a piece turns out far too heavy, the row group is begun again with
        smaller ones, and what was given of it is passed over.
        """
        for group in groups:
            total = self.metadata.row_group(group).num_rows
            size, done = self._piece_rows(group, names, most_rows), 0
            while done < total:
                before = done
                try:
                    for part in self._batches(group, names, size, done):
                        done += part.num_rows
                        yield part
                        fitting = max(1, PIECE_BYTES * part.num_rows // max(1, part.nbytes))
                        if fitting * 4 < size:
                            size = fitting
                            break
                except pa.ArrowNotImplementedError:  # a nested column above 2 GiB after all
                    if size == 1:
                        raise
                    size = max(1, size // 8)
                    continue
                if done == before:
                    raise pa.ArrowInvalid(f"row group {group} ends after {done} of {total} rows")

    def _batches(self, group: int, names: list[str], rows: int, skipped: int) -> Iterator[pa.RecordBatch]:
        """The rows of a row group from `skipped` on, `rows` at a time."""
        position = 0
        for batch in self._whole_batches(group, names, rows):
            stop = position + batch.num_rows
            if stop > skipped:
                yield batch.slice(max(0, skipped - position))
            position = stop

    def _whole_batches(self, group: int, names: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        fixed = [name for name in names if name in self._fixed]
        others = [name for name in names if name not in self._fixed]
        if not fixed or not others:
            file = self._lists if fixed else self._file
            yield from file.iter_batches(rows, row_groups=[group], columns=names)
            return
        pairs = zip(
            self._lists.iter_batches(rows, row_groups=[group], columns=fixed),
            self._file.iter_batches(rows, row_groups=[group], columns=others),
            strict=True,
        )
        for one, other in pairs:
            arrays = [*one.columns, *other.columns]
            yield pa.RecordBatch.from_arrays(arrays, [*one.schema.names, *other.schema.names])

    def _columns(self, group: int, names: list[str]) -> Iterator[Any]:
        described = self.metadata.row_group(group)
        for number in range(described.num_columns):
            column = described.column(number)
            path = column.path_in_schema
            if any(path == name or path.startswith(name + ".") for name in names):
                yield column

    def _piece_rows(self, group: int, names: list[str], most_rows: int) -> int:
        """The rows of a piece of a row group, as far as the footer tells what they weigh."""
        columns = list(self._columns(group, names))
        weight = sum(column.total_uncompressed_size for column in columns)
        rows = self.metadata.row_group(group).num_rows
        size = max(1, min(most_rows, PIECE_BYTES * rows // max(weight, 1)))
        # One value of a dictionary may stand in every row.
        hidden = any(
            column.physical_type == "BYTE_ARRAY"
            and column.has_dictionary_page
            and column.total_uncompressed_size * size > PIECE_BYTES
            for column in columns
        )
        return min(size, HIDDEN_ROWS) if hidden else size


def _without_arrow_schema(handle: Any) -> pq.FileMetaData:
    """The footer of a file without the types that Arrow noted in it: no list is of a fixed size."""
    size = handle.size()
    tail = handle.read_at(8, size - 8)
    length = int.from_bytes(tail[:4], "little")
    footer = handle.read_at(length, size - 8 - length)
    renamed = footer.replace(b"ARROW:schema", b"ARROW_schema")  # as long, so that the footer stays sound
    return pq.read_metadata(pa.BufferReader(b"PAR1" + renamed + tail))
