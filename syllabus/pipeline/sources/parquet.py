"""Parquet files, read by the row group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from syllabus.manifests.storage import sha256_of
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.nearest import suggestion
from syllabus.pipeline.sources.base import Source, most_common_width
from syllabus.pipeline.sources.columns import records_of, reject_not_finite
from syllabus.pipeline.sources.records import UNIT_ROWS, Columns, Records, Unit


class ParquetSource(Source):
    """Parquet files of one schema, as far as the columns asked for go."""

    suffixes = (".parquet", ".pq")

    def units(self, columns: Columns) -> Iterator[Unit]:  # noqa: D102
        for file in self.files:
            with self.store.open(file) as handle:
                parquet = _open(handle, self.store.url(file))
                for name in columns.names:
                    if name not in parquet.schema_arrow.names:
                        line = suggestion("column", name, parquet.schema_arrow.names)
                        raise UserError(f"{self.store.url(file)}: {line}")
                if columns.label and pa.types.is_floating(parquet.schema_arrow.field(columns.label).type):
                    raise UserError(
                        f"{self.store.url(file)}: label {columns.label!r} holds floating-point numbers;"
                        " a label is a class. Leave --label out for k-means partitions (--clusters)"
                    )
                rows = parquet.metadata.num_rows
            digest = sha256_of(self.store, file)
            for first in range(0, rows, UNIT_ROWS):
                yield Unit(file, first, min(UNIT_ROWS, rows - first), digest)

    def read(self, units: list[Unit], columns: Columns) -> Iterator[Records]:  # noqa: D102
        width = self.dimension(columns) if columns.kind == "embedding" else 0
        first, stop = units[0].first_row, units[-1].first_row + units[-1].rows
        with self.store.open(units[0].file) as handle:
            parquet = pq.ParquetFile(handle)
            ends = np.cumsum([parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups)])
            groups = [i for i, end in enumerate(ends) if end > first and (i == 0 or ends[i - 1] < stop)]
            skipped = int(ends[groups[0] - 1]) if groups[0] else 0
            batches = _rows_from(
                parquet.iter_batches(UNIT_ROWS, row_groups=groups, columns=columns.names), skipped, units
            )
            for batch in batches:
                yield _records(columns, batch, width)

    def dimension(self, columns: Columns) -> int:  # noqa: D102
        with self.store.open(self.files[0]) as handle:
            parquet = pq.ParquetFile(handle)
            kind = parquet.schema_arrow.field(columns.content).type
            if pa.types.is_fixed_size_list(kind):
                return int(kind.list_size)
            for batch in parquet.iter_batches(1000, columns=[columns.content]):
                return most_common_width(batch.column(0).to_pylist())
        return 0


def _open(handle: Any, url: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(handle)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{url}: cannot be read as Parquet: {str(error).splitlines()[0]}") from None


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
            others = Columns("text", columns.content, columns.label, columns.id)
            values = {name: _values(table.column(name)) for name in (columns.label, columns.id) if name}
            read = records_of(others, {columns.content: [""] * table.num_rows, **values}, 0)
            records.labels, records.ids, records.bad_keys = read.labels, read.ids, read.bad_keys
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
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            binary = pa.large_binary() if pa.types.is_large_string(kind) else pa.binary()
            return [value for chunk in column.chunks for value in chunk.view(binary).to_pylist()]
    return column.to_pylist()
