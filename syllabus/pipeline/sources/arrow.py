"""Arrow's own files: the stream format, which Hugging Face's ``save_to_disk`` writes, and the file format.

Both are batches of rows as they lie in memory, so that nothing is decoded: what a damaged file holds is
looked at before it is used. The chunks of a file know where their first batch lies; a worker goes there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pyarrow as pa

from syllabus.pipeline.sources.byte_ranges import COUNTED_BYTES
from syllabus.pipeline.sources.columnar import HEAD_ROWS, ColumnarSource, rows_from
from syllabus.pipeline.sources.records import CHUNK_BYTES, Chunk
from syllabus.pipeline.sources.row_groups import MOST_ROWS, PIECE_BYTES

MAGIC = b"ARROW1"
CONTINUED = b"\xff\xff\xff\xff"
END = b"\0\0\0\0"


class Batch(NamedTuple):
    """A batch of some columns: its place in the file, and the first row of it that is there."""

    place: int
    rows: pa.RecordBatch
    first: int = 0


class ArrowSource(ColumnarSource):
    """Arrow files, of either format."""

    suffixes = (".arrow", ".feather", ".ipc")
    form = "Arrow"

    def _table(self, handle: Any) -> Any:
        beginning = handle.read(len(MAGIC))
        handle.seek(0)
        return FileBatches(handle) if beginning == MAGIC else StreamBatches(handle)

    def _cut(self, table: Any, chunk: Chunk, names: list[str], chunk_rows: int) -> Iterator[Chunk]:
        row = rows = held = place = skipped = 0
        for batch in table.batches(names):
            each = max(1, batch.rows.nbytes // max(1, batch.rows.num_rows))
            taken = 0
            while taken < batch.rows.num_rows:
                if not rows:
                    place, skipped = batch.place, batch.first + taken
                fitting = max((CHUNK_BYTES - held) // each, 0 if rows else 1)
                more = min(batch.rows.num_rows - taken, chunk_rows - rows, fitting)
                taken, rows, held = taken + more, rows + more, held + more * each
                if taken < batch.rows.num_rows or rows == chunk_rows:
                    yield replace(chunk, first_row=row, rows=rows, start=place, skipped=skipped)
                    row, rows, held = row + rows, 0, 0
        if rows:
            yield replace(chunk, first_row=row, rows=rows, start=place, skipped=skipped)

    def _tables(self, table: Any, chunks: list[Chunk], names: list[str]) -> Iterator[pa.Table]:
        first = chunks[0]
        batches = (piece for batch in table.batches(names, first.start) for piece in _pieces(batch.rows))
        return rows_from(batches, first.first_row - first.skipped, chunks)

    def _head(self, table: Any, names: list[str]) -> pa.RecordBatch | None:
        batches = (batch.rows for batch in table.batches(names) if batch.rows.num_rows)
        first = next(batches, None)
        return None if first is None else first.slice(0, HEAD_ROWS)

    def _count(self, table: Any, size: int) -> tuple[int, bool]:
        rows = held = 0
        for batch in table.batches(table.schema.names):
            rows, held = rows + batch.rows.num_rows, held + batch.rows.nbytes
            if held >= COUNTED_BYTES:  # of the rest it is judged
                return round(rows * max(1.0, size / held)), False
        return rows, True

    def _may_lack(self, table: Any, struct: str, field: str) -> bool:  # noqa: ARG002
        return True


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A batch in slices that are small enough to be made Python objects of."""
    size = max(1, min(MOST_ROWS, PIECE_BYTES * batch.num_rows // max(1, batch.nbytes)))
    for first in range(0, batch.num_rows, size):
        yield batch.slice(first, size)


class FileBatches:
    """The file format: a footer says where each batch lies."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self.schema: pa.Schema = pa.ipc.open_file(handle).schema

    def batches(self, names: list[str], place: int = 0) -> Iterator[Batch]:
        """Yield the batches of some columns, from the one with number `place` on."""
        # Of columns that nobody asked for nothing is read.
        fields = [self.schema.get_field_index(name) for name in names]
        reader = pa.ipc.open_file(self._handle, options=pa.ipc.IpcReadOptions(included_fields=sorted(fields)))
        for number in range(place, reader.num_record_batches):
            yield Batch(number, _checked(reader.get_batch(number).select(names)))


class StreamBatches:
    """The stream format: batches one after the other, and a mark at the end.

    Where the schema has dictionaries, which come between the batches, it can only be read from its beginning:
    all chunks have their place there.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self.schema: pa.Schema = pa.ipc.open_stream(handle).schema
        self._from_beginning = any(_has_dictionary(kind) for kind in self.schema.types)

    def batches(self, names: list[str], place: int = 0) -> Iterator[Batch]:
        """Yield the batches of some columns, from the one at byte `place` on.

        Raises:
          ArrowInvalid: the stream ends without its mark, as one that was cut short, or goes on after it.
        """
        if self._from_beginning:
            yield from self._sequential(names)
            return
        for position, message in self._messages(place):
            if message.type == "record batch":
                batch = pa.ipc.read_record_batch(message, self.schema)
                yield Batch(position, _checked(batch.select(names)))

    def _sequential(self, names: list[str]) -> Iterator[Batch]:
        for _ in self._messages(0):
            pass
        self._handle.seek(0)
        row = 0
        for batch in pa.ipc.open_stream(self._handle):
            yield Batch(0, _checked(batch.select(names)), row)
            row += batch.num_rows

    def _messages(self, place: int) -> Iterator[tuple[int, Any]]:
        while True:
            self._handle.seek(place)
            mark = self._handle.read(8)
            if not mark:
                raise pa.ArrowInvalid("ends without the mark of its end; was it cut short?")
            end = 8 if mark == CONTINUED + END else 4 if mark[:4] == END else 0
            if end:
                if self._handle.size() > place + end:
                    raise pa.ArrowInvalid("goes on after the mark of its end")
                return
            self._handle.seek(place)
            try:
                message = pa.ipc.read_message(self._handle)
            except EOFError:
                raise pa.ArrowInvalid("ends in the middle of a batch") from None
            yield place, message
            place = self._handle.tell()


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch whose offsets and indices lead to what is there; texts may yet be no UTF-8.

    Raises:
      ArrowInvalid: they do not.
    """
    for column in batch.columns:
        _check(column)
    return batch


def _check(array: pa.Array) -> None:
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        _check(array.dictionary)
        array = array.indices
        array.validate(full=True)
        return
    # Each text that is no UTF-8 is a reject of its own.
    array.validate()
    if _has_dictionary(array.type):
        array.validate(full=True)
        return
    array.view(_as_bytes(array.type)).validate(full=True)


def _has_dictionary(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _has_dictionary(kind.storage_type)
    inner = (kind.field(number).type for number in range(kind.num_fields))
    return bool(pa.types.is_dictionary(kind)) or any(map(_has_dictionary, inner))


def _as_bytes(kind: pa.DataType) -> pa.DataType:
    """A type whose layout is the same, with bytes in the place of texts."""
    if isinstance(kind, pa.BaseExtensionType):
        return _as_bytes(kind.storage_type)
    if pa.types.is_string(kind):
        return pa.binary()
    if pa.types.is_large_string(kind):
        return pa.large_binary()
    if pa.types.is_string_view(kind):
        return pa.binary_view()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_as_bytes(field.type)) for field in kind.fields])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_as_bytes(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_as_bytes(kind.value_type)))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_as_bytes(kind.value_type)), kind.list_size)
    return kind
