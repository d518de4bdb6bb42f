"""Parquet files, read by the row group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from syllabus.manifests.errors import first_line
from syllabus.manifests.storage import sha256_of
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.nearest import suggestion
from syllabus.pipeline.sources.base import Source, most_common_width
from syllabus.pipeline.sources.cells import read_keys, records_of, reject_not_finite
from syllabus.pipeline.sources.labels import FLOAT_LABEL
from syllabus.pipeline.sources.records import UNIT_ROWS, Columns, Records, Unit
from syllabus.pipeline.sources.weights import weight_problem


class ParquetSource(Source):
    """Parquet files of one schema, as far as the columns asked for go."""

    suffixes = (".parquet", ".pq")

    def units(self, columns: Columns, unit_rows: int = UNIT_ROWS) -> Iterator[Unit]:  # noqa: D102
        for file in self.files:
            with self.opened(file) as handle:
                parquet = self._parquet(file, handle)
                self._check(file, columns, parquet.schema_arrow)
                rows = parquet.metadata.num_rows
            digest = sha256_of(self.store, file)
            for first in range(0, rows, unit_rows):
                yield Unit(file, first, min(unit_rows, rows - first), digest)

    def read(self, units: list[Unit], columns: Columns) -> Iterator[Records]:  # noqa: D102
        width = self.dimension(columns) if columns.kind == "embedding" else 0
        file, first, stop = units[0].file, units[0].first_row, units[-1].first_row + units[-1].rows
        with self.opened(file) as handle:
            parquet = self._parquet(file, handle)
            ends = np.cumsum([parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups)])
            if not len(ends) or ends[-1] < stop:
                raise UserError(f"{self.store.url(file)}: has changed since the job began")
            groups = [i for i, end in enumerate(ends) if end > first and (i == 0 or ends[i - 1] < stop)]
            skipped = int(ends[groups[0] - 1]) if groups[0] else 0
            batches = parquet.iter_batches(UNIT_ROWS, row_groups=groups, columns=columns.names)
            for table in _rows_from(self._decoded(file, batches), skipped, units):
                yield _records(columns, table, width)

    def dimension(self, columns: Columns) -> int:  # noqa: D102
        for file in self.files:
            with self.opened(file) as handle:
                parquet = self._parquet(file, handle)
                self._check(file, columns, parquet.schema_arrow)
                kind = parquet.schema_arrow.field(columns.content).type
                if pa.types.is_fixed_size_list(kind):
                    return int(kind.list_size)
                for batch in self._decoded(file, parquet.iter_batches(1000, columns=[columns.content])):
                    if width := most_common_width(batch.column(0).to_pylist()):
                        return width
                    break
        return 0

    def _parquet(self, file: str, handle: Any) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(handle)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._broken(file, error) from None

    def _decoded(self, file: str, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except (pa.ArrowException, OSError) as error:
            raise self._broken(file, error) from None

    def _broken(self, file: str, error: Exception) -> UserError:
        return UserError(f"{self.store.url(file)}: cannot be read as Parquet: {first_line(error)}")

    def _check(self, file: str, columns: Columns, schema: pa.Schema) -> None:
        where = self.store.url(file)
        for name in columns.names:
            if name not in schema.names:
                raise UserError(f"{where}: {suggestion('column', name, schema.names)}")
            if schema.names.count(name) > 1:
                raise UserError(f"{where}: has {schema.names.count(name)} columns {name!r}")
        kind = _plain(schema.field(columns.content).type)
        if not (pa.types.is_null(kind) or CONTENT[columns.kind](kind)):
            raise UserError(f"{where}: {columns.kind} {columns.content!r} is a column of {kind}")
        if columns.label is not None:
            problem = _label_problem(schema.field(columns.label).type, columns.numeric)
            if problem is not None:
                raise UserError(f"{where}: label {columns.label!r} {problem}")
        if columns.weight is not None:
            problem = weight_problem(_plain(schema.field(columns.weight).type))
            if problem is not None:
                raise UserError(f"{where}: weight {columns.weight!r} {problem}")
        for name in (columns.id, *(column for column, _ in columns.where)):
            if name is not None and pa.types.is_nested(_plain(schema.field(name).type)):
                option = "id" if name == columns.id else "where"
                raise UserError(f"{where}: {option} {name!r} is a column of {schema.field(name).type}")


def _label_problem(kind: pa.DataType, numeric: bool) -> str | None:
    """What speaks against a column of labels: classes, lists of classes, or numbers."""
    own = _plain(kind)
    if numeric:
        numbers = pa.types.is_integer(own) or pa.types.is_floating(own) or pa.types.is_decimal(own)
        return None if numbers or own == pa.null() else f"is a column of {kind}; --bins cuts numbers"
    listed = pa.types.is_list(own) or pa.types.is_large_list(own) or pa.types.is_fixed_size_list(own)
    inner = _plain(own.value_type) if listed else own
    if pa.types.is_floating(inner) or pa.types.is_decimal(inner):
        return FLOAT_LABEL
    if _is_text(inner) or pa.types.is_integer(inner) or pa.types.is_boolean(inner) or inner == pa.null():
        return None
    return f"is a column of {kind}; a class is a string, an integer or a truth value, or a list of them"


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_text(kind: pa.DataType) -> bool:
    return _is_string(kind) or _is_bytes(kind)


CONTENT = {
    "text": _is_text,
    "image": lambda kind: (
        _is_bytes(kind) or (pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0)
    ),
    # A list of any kind, such as a nested one, is looked at row by row.
    "embedding": lambda kind: pa.types.is_nested(kind) and not pa.types.is_struct(kind),
}


def _rows_from(batches: Iterator[pa.RecordBatch], position: int, units: list[Unit]) -> Iterator[pa.Table]:
    """Cut a stream of batches, which begins at row `position` of the file, into the rows of units."""
    held: list[pa.RecordBatch] = []
    for unit in units:
        wanted, stop = unit.first_row, unit.first_row + unit.rows
        parts = []
        while wanted < stop:
            if not held:
                held.append(next(batches))
            batch = held[0]
            end = position + batch.num_rows
            if end > wanted:
                part = batch.slice(wanted - position, min(end, stop) - wanted)
                parts.append(part)
                wanted += part.num_rows
            if end <= stop:
                held.clear()
                position = end
        yield pa.Table.from_batches(parts)


def _records(columns: Columns, table: pa.Table, width: int) -> Records:
    if columns.kind == "embedding":
        records = _vectors(table.column(columns.content), width)
        if records is not None:
            others = [name for name in columns.names if name != columns.content]
            read_keys(records, columns, {name: _values(table.column(name)) for name in others})
            return records
    values = {name: _values(table.column(name)) for name in columns.names}
    return records_of(columns, values, width)


def _vectors(column: pa.ChunkedArray, width: int) -> Records | None:
    """The records of a clean vector column without a Python object a value; None where a row is odd."""
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if array.null_count or not (
        pa.types.is_list(array.type)
        or pa.types.is_large_list(array.type)
        or pa.types.is_fixed_size_list(array.type)
    ):
        return None
    flat = array.flatten()
    if flat.null_count or not (pa.types.is_floating(flat.type) or pa.types.is_integer(flat.type)):
        return None
    if not pa.types.is_fixed_size_list(array.type):
        lengths = pc.list_value_length(array)
        if len(lengths) and not (pc.min(lengths).as_py() == pc.max(lengths).as_py() == width):
            return None
    elif array.type.list_size != width:
        return None
    # What is too large for float32 becomes infinite, and is rejected as such.
    with np.errstate(over="ignore"):
        vectors = flat.to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(array), width)
    records = Records(vectors, None, None)
    reject_not_finite(records)
    return records


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Python values; strings as bytes where the column holds some that are not UTF-8."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_struct(kind):
        # Of an image {"bytes": …, "path": …} only the bytes.
        column = pc.struct_field(column, "bytes")
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if _is_string(kind) or (listed and _is_string(kind.value_type)):
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            column = column.cast(pa.large_list(pa.large_binary()) if listed else pa.large_binary())
    return column.to_pylist()  # type: ignore[no-any-return]
