"""The base class of files of typed columns, which Arrow reads: Parquet and Arrow's own."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any

import pyarrow as pa

from syllabus.manifests.errors import first_line
from syllabus.manifests.storage import sha256_of
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.sources.base import Source, most_common_width
from syllabus.pipeline.sources.cells import read_keys, records_of
from syllabus.pipeline.sources.column_types import column_problem, is_image_struct, plain
from syllabus.pipeline.sources.column_values import field_of, lacks_field, values_of, vectors_of
from syllabus.pipeline.sources.features import class_names, names_of_classes
from syllabus.pipeline.sources.joined import joined
from syllabus.pipeline.sources.records import CHUNK_ROWS, Chunk, Columns, Records
from syllabus.pipeline.sources.referenced_images import with_images
from syllabus.pipeline.sources.sampling import Head, Sample, sample_of

HEAD_ROWS = 1000
"""Rows from whose beginning the width of lists is found."""
BROKEN = (pa.ArrowException, OSError, ValueError, MemoryError)
"""What Arrow raises where a file is damaged; memory, where a damaged length asks for it."""


class FewerRows(Exception):
    """A file has fewer rows than when it was cut into chunks."""


class ColumnarSource(Source):
    """Files of one schema, as far as the columns asked for go."""

    form = ""
    """What the files are, for messages."""

    @abstractmethod
    def _table(self, handle: Any) -> Any:
        """What reads an open file; it has a `schema`."""

    @abstractmethod
    def _cut(self, table: Any, chunk: Chunk, names: list[str], chunk_rows: int) -> Iterator[Chunk]:
        """Cut a file, given as a chunk of no rows, into chunks by rows and by the bytes of some columns."""

    @abstractmethod
    def _tables(self, table: Any, chunks: list[Chunk], names: list[str]) -> Iterator[pa.Table]:
        """The rows of chunks, which lie in one file in ascending order."""

    @abstractmethod
    def _head(self, table: Any, names: list[str]) -> pa.RecordBatch | None:
        """The first `HEAD_ROWS` rows, fewer where there are not as many; None for a file without rows."""

    @abstractmethod
    def _count(self, table: Any, size: int) -> tuple[int, bool]:
        """The rows of a file of `size` bytes, and whether they were counted: else judged by its beginning."""

    @abstractmethod
    def _may_lack(self, table: Any, struct: str, field: str) -> bool:
        """Whether a field of a struct may be null or absent."""

    @contextmanager
    def opened(self, file: str) -> Iterator[Any]:
        """Yield an open file; what Arrow finds wrong in it, wherever it is met, is the user's to mend."""
        with super().opened(file) as handle:
            try:
                yield handle
            except (pa.ArrowException, UnicodeDecodeError) as error:  # names in a damaged footer
                raise self._broken(file, error) from None

    def names(self, columns: Columns) -> list[str]:  # noqa: ARG002, D102
        with self.opened(self.files[0]) as handle:
            return list(self._read_table(self.files[0], handle).schema.names)

    def check(self, columns: Columns) -> None:  # noqa: D102
        with self.opened(self.files[0]) as handle:
            self._check(self.files[0], columns, self._read_table(self.files[0], handle).schema)

    def chunks(self, columns: Columns, chunk_rows: int = CHUNK_ROWS) -> Iterator[Chunk]:  # noqa: D102
        for file in self.files:
            with self.opened(file) as handle:
                table = self._read_table(file, handle)
                self._check(file, columns, table.schema)
                whole = Chunk(file, 0, 0, sha256_of(self.store, file))
                parts = list(columns.parts(table.schema.names))
                chunks = list(self._decoded(file, self._cut(table, whole, parts, chunk_rows)))
                yield from self._with_images(table, columns, chunks)

    def sample(self, columns: Columns, rows: int) -> Sample:  # noqa: D102
        return sample_of(self.stamps, rows, lambda file, each: self._first(file, columns, each))

    def _first(self, file: str, columns: Columns, rows: int) -> Head:
        with self.opened(file) as handle:
            table = self._read_table(file, handle)
            self._check(file, columns, table.schema)
            parts, none = list(columns.parts(table.schema.names)), Chunk(file, 0, 0, "")
            chunks = list(islice(self._decoded(file, self._cut(table, none, parts, rows)), 1))
            (total,) = self._decoded(file, iter([self._count(table, handle.size())]))
            return Head(next(self._with_images(table, columns, chunks), none), *total)

    def read(self, chunks: list[Chunk], columns: Columns) -> Iterator[Records]:  # noqa: D102
        width = self.dimension(columns) if columns.kind == "embedding" else 0
        file = chunks[0].file
        with self.opened(file) as handle:
            table = self._read_table(file, handle)
            names = columns.names_among(table.schema.names)
            for chunk, rows in zip(
                chunks, self._decoded(file, self._tables(table, chunks, names)), strict=True
            ):
                yield self._records(chunk, columns, rows, width, table.schema)

    def schema(self) -> dict[str, str]:  # noqa: D102
        with self.opened(self.files[0]) as handle:
            schema = self._read_table(self.files[0], handle).schema
            return {field.name: str(field.type) for field in schema}

    def dimension(self, columns: Columns) -> int:  # noqa: D102
        for file in self.files:
            with self.opened(file) as handle:
                table = self._read_table(file, handle)
                self._check(file, columns, table.schema)
                parts = columns.parts(table.schema.names)
                if len(parts) > 1:
                    return len(parts)
                kind = plain(table.schema.field(columns.content).type)
                if pa.types.is_fixed_size_list(kind):
                    return int(kind.list_size)
                batch = self._head(table, list(parts))
                if batch is not None and (width := most_common_width(batch.column(0).to_pylist())):
                    return width
        return 0

    def classes(self, columns: Columns) -> tuple[str, ...] | None:  # noqa: D102
        if columns.label is None:
            return None
        with self.opened(self.files[0]) as handle:
            return class_names(self._read_table(self.files[0], handle).schema, columns.label)

    def _read_table(self, file: str, handle: Any) -> Any:
        try:
            return self._table(handle)
        except BROKEN as error:
            raise self._broken(file, error) from None

    def _decoded(self, file: str, found: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from found
        except FewerRows:
            raise UserError(f"{self.store.url(file)}: has changed since the job began") from None
        except (pa.ArrowException, OSError, MemoryError) as error:
            raise self._broken(file, error) from None

    def _broken(self, file: str, error: BaseException) -> UserError:
        why = first_line(error) or type(error).__name__
        return UserError(f"{self.store.url(file)}: cannot be read as {self.form}: {why}")

    def _check(self, file: str, columns: Columns, schema: pa.Schema) -> None:
        where = self.store.url(file)
        columns.check_names(where, schema.names)
        if (problem := column_problem(columns, schema)) is not None:
            raise UserError(f"{where}: {problem}")
        if columns.numeric and columns.label and (names := class_names(schema, columns.label)) is not None:
            kind = f"a column of classes, such as {names[0]!r:.60}"
            raise UserError(f"{where}: label {columns.label!r} is {kind}; --bins cuts numbers")
        for condition in columns.where:
            if (names := class_names(schema, condition.column)) is not None:
                for value in condition.values:
                    if value not in names:
                        shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
                        raise UserError(
                            f"{where}: where: {value!r} is no class of {condition.column!r}; it has {shown}"
                        )

    def _records(
        self, chunk: Chunk, columns: Columns, table: pa.Table, width: int, schema: pa.Schema
    ) -> Records:
        keys = {name: values_of(table.column(name), columns.most_bytes(name)) for name in columns.key_names}
        for name in {columns.label, *(condition.column for condition in columns.where)} - {None}:
            if (classes := class_names(schema, str(name))) is not None:
                keys[str(name)] = names_of_classes(keys[str(name)], classes)
        for name in {condition.column for condition in columns.where}:
            if pa.types.is_float16(kind := plain(schema.field(name).type)) or pa.types.is_float32(kind):
                # 0.1 in single precision is not Python's 0.1.
                single = kind.to_pandas_dtype()
                keys[name] = [None if value is None else single(value) for value in keys[name]]
        parts = columns.parts(schema.names)
        if len(parts) > 1:
            most = columns.most_bytes(columns.content)
            content = joined(columns.kind, [values_of(table.column(part), most) for part in parts])
            return records_of(columns, {**keys, columns.content: content}, width)
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

    def _with_images(self, table: Any, columns: Columns, chunks: list[Chunk]) -> Iterator[Chunk]:
        """Put the images that rows name by their paths into the digests of chunks, since they are content."""
        name = columns.content
        if not (
            chunks
            and columns.kind == "image"
            and is_image_struct(plain(table.schema.field(name).type))
            and self._may_lack(table, name, "bytes")
        ):
            yield from chunks
            return
        tables = self._decoded(chunks[0].file, self._tables(table, chunks, [name]))
        for chunk, rows in zip(chunks, tables, strict=True):
            if not lacks_field(rows.column(name), "bytes"):
                yield chunk
                continue
            _, digest = self._images(chunk, rows.column(name), columns.limits.max_image_bytes)
            both = hashlib.sha256((chunk.digest + digest).encode()).hexdigest()
            yield replace(chunk, digest=both, images=digest) if digest else chunk


def rows_from(batches: Iterator[pa.RecordBatch], position: int, chunks: list[Chunk]) -> Iterator[pa.Table]:
    """Cut a stream of batches, which begins at row `position` of the file, into the rows of chunks.

    Raises:
      FewerRows: the batches end before the chunks do.
    """
    held: list[pa.RecordBatch] = []
    for chunk in chunks:
        wanted, stop = chunk.first_row, chunk.first_row + chunk.rows
        parts = []
        while wanted < stop:
            if not held:
                if (found := next(batches, None)) is None:
                    raise FewerRows
                held.append(found)
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
