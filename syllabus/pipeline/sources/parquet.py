"""Parquet files, read by the row group."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from syllabus.manifests.errors import first_line
from syllabus.manifests.storage import sha256_of
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.sources.base import Source, most_common_width
from syllabus.pipeline.sources.cells import read_keys, records_of
from syllabus.pipeline.sources.column_types import column_problem, is_image_struct, plain
from syllabus.pipeline.sources.column_values import field_of, values_of, vectors_of
from syllabus.pipeline.sources.records import CHUNK_BYTES, CHUNK_ROWS, Chunk, Columns, Records
from syllabus.pipeline.sources.referenced_images import with_images
from syllabus.pipeline.sources.row_groups import RowGroups

HEAD_ROWS = 1000
"""Rows from whose beginning the width of lists is found."""


class ParquetSource(Source):
    """Parquet files of one schema, as far as the columns asked for go."""

    suffixes = (".parquet", ".pq")

    @contextmanager
    def opened(self, file: str) -> Iterator[Any]:
        """Yield an open file; what Arrow finds wrong in it, wherever it is met, is the user's to mend."""
        with super().opened(file) as handle:
            try:
                yield handle
            except (pa.ArrowException, UnicodeDecodeError) as error:  # names in a damaged footer
                raise self._broken(file, error) from None

    def check(self, columns: Columns) -> None:  # noqa: D102
        with self.opened(self.files[0]) as handle:
            self._check(self.files[0], columns, self._parquet(self.files[0], handle).schema)

    def chunks(self, columns: Columns, chunk_rows: int = CHUNK_ROWS) -> Iterator[Chunk]:  # noqa: D102
        for file in self.files:
            with self.opened(file) as handle:
                parquet = self._parquet(file, handle)
                self._check(file, columns, parquet.schema)
                digest = sha256_of(self.store, file)
                chunks, first = [], 0
                for rows in parquet.pieces(chunk_rows, CHUNK_BYTES, columns.content):
                    chunks.append(Chunk(file, first, rows, digest))
                    first += rows
                yield from self._with_images(parquet, columns, chunks)

    def read(self, chunks: list[Chunk], columns: Columns) -> Iterator[Records]:  # noqa: D102
        width = self.dimension(columns) if columns.kind == "embedding" else 0
        file = chunks[0].file
        with self.opened(file) as handle:
            parquet = self._parquet(file, handle)
            if parquet.metadata.num_rows < chunks[-1].first_row + chunks[-1].rows:
                raise UserError(f"{self.store.url(file)}: has changed since the job began")
            tables = self._tables(parquet, chunks, columns.names)
            for chunk, table in zip(chunks, tables, strict=True):
                yield self._records(chunk, columns, table, width)

    def schema(self) -> dict[str, str]:  # noqa: D102
        with self.opened(self.files[0]) as handle:
            schema = self._parquet(self.files[0], handle).schema
            return {field.name: str(field.type) for field in schema}

    def dimension(self, columns: Columns) -> int:  # noqa: D102
        for file in self.files:
            with self.opened(file) as handle:
                parquet = self._parquet(file, handle)
                self._check(file, columns, parquet.schema)
                kind = plain(parquet.schema.field(columns.content).type)
                if pa.types.is_fixed_size_list(kind):
                    return int(kind.list_size)
                groups = list(range(parquet.metadata.num_row_groups))
                batches = self._decoded(file, parquet.read(groups, [columns.content], HEAD_ROWS))
                for batch in batches:
                    if width := most_common_width(batch.column(0).to_pylist()):
                        return width
                    break
        return 0

    def _parquet(self, file: str, handle: Any) -> RowGroups:
        try:
            return RowGroups(handle)
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
        columns.check_names(where, schema.names)
        if (problem := column_problem(columns, schema)) is not None:
            raise UserError(f"{where}: {problem}")

    def _tables(self, parquet: RowGroups, chunks: list[Chunk], names: list[str]) -> Iterator[pa.Table]:
        """The rows of chunks, which lie in one file in ascending order."""
        first, stop = chunks[0].first_row, chunks[-1].first_row + chunks[-1].rows
        ends = np.cumsum(parquet.rows())
        groups = [i for i, end in enumerate(ends) if end > first and (i == 0 or ends[i - 1] < stop)]
        skipped = int(ends[groups[0] - 1]) if groups[0] else 0
        batches = self._decoded(chunks[0].file, parquet.read(groups, names))
        return _rows_from(batches, skipped, chunks)

    def _records(self, chunk: Chunk, columns: Columns, table: pa.Table, width: int) -> Records:
        keys = {name: values_of(table.column(name), columns.most_bytes(name)) for name in columns.key_names}
        column = table.column(columns.content)
        if columns.kind == "embedding":
            records = vectors_of(column, width, columns.content)
            if records is not None:
                read_keys(records, columns, keys)
                return records
        if not is_image_struct(plain(column.type)):
            content = values_of(column, columns.most_bytes(columns.content))
            return records_of(columns, {**keys, columns.content: content}, width)
        content, digest = self._images(chunk, column, columns.limits.max_image_bytes)
        if digest != chunk.images:
            raise UserError(
                f"{self.store.url(chunk.file)}: an image that rows {chunk.first_row:,} to"
                f" {chunk.first_row + chunk.rows - 1:,} name has changed; run again"
            )
        return records_of(columns, {**keys, columns.content: content}, width)

    def _images(self, chunk: Chunk, column: pa.ChunkedArray, most: int) -> tuple[list[Any], str]:
        """The bytes of a column of images, and the digest of those that only have a path."""
        contents = field_of(column, "bytes", most)
        return with_images(self.store, chunk.file, contents, field_of(column, "path"), most)

    def _with_images(self, parquet: RowGroups, columns: Columns, chunks: list[Chunk]) -> Iterator[Chunk]:
        """Put the images that rows name by their paths into the digests of chunks, since they are content."""
        name = columns.content
        kind = plain(parquet.schema.field(name).type)
        if not (chunks and is_image_struct(kind) and parquet.may_lack(name, "bytes")):
            yield from chunks
            return
        for chunk, table in zip(chunks, self._tables(parquet, chunks, [name]), strict=True):
            _, digest = self._images(chunk, table.column(name), columns.limits.max_image_bytes)
            both = hashlib.sha256((chunk.digest + digest).encode()).hexdigest()
            yield replace(chunk, digest=both, images=digest) if digest else chunk


def _rows_from(batches: Iterator[pa.RecordBatch], position: int, chunks: list[Chunk]) -> Iterator[pa.Table]:
    """Cut a stream of batches, which begins at row `position` of the file, into the rows of chunks."""
    held: list[pa.RecordBatch] = []
    for chunk in chunks:
        wanted, stop = chunk.first_row, chunk.first_row + chunk.rows
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
