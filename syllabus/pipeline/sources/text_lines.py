"""The base class of formats that are read by the line.

A chunk is a byte range that begins and ends between records, found in one pass over the file that also
takes its digest; a worker reads just its range. Blank lines are no records. Of a compressed file the range is
one of its content, and a worker reads on to it from the beginning.
"""

from __future__ import annotations

import hashlib
import io
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from syllabus.manifests.errors import first_line
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.sources.base import Source, most_common_width
from syllabus.pipeline.sources.cells import records_of
from syllabus.pipeline.sources.compression import BROKEN, Decompressed, is_compressed
from syllabus.pipeline.sources.labels import FLOAT_LABEL, NotALabel, number_of
from syllabus.pipeline.sources.reasons import UNREADABLE_RECORD
from syllabus.pipeline.sources.records import CHUNK_ROWS, Chunk, Columns, Records

BUFFER = 1 << 20
HEAD = 1000
"""Records from whose beginning the columns of JSON lines, and the width of vectors, are found."""
BOM = b"\xef\xbb\xbf"

Parsed = dict[str, Any] | str
"""The values of a record by column, or what is wrong with it."""


class LineSource(Source):
    """Text files of one record a line, or a few lines where a quoted value goes on."""

    has_header = False

    @contextmanager
    def opened(self, file: str) -> Iterator[Any]:
        """Yield an open file, a compressed one as its content; what cannot be read is the user's to mend."""
        if not is_compressed(file):
            with super().opened(file) as handle:
                yield handle
            return
        try:
            content = Decompressed(file, lambda: self.store.open(file))
            try:
                yield content
            finally:
                content.close()
        except BROKEN as error:
            how = file.rpartition(".")[2].lower()
            raise UserError(
                f"{self.store.url(file)}: cannot be read as .{how}: {first_line(error)}"
            ) from None

    def chunks(self, columns: Columns, chunk_rows: int = CHUNK_ROWS) -> Iterator[Chunk]:  # noqa: D102
        for file in self.files:
            with self.opened(file) as handle:
                self._check(file, columns, *self._head(file, handle))
                handle.seek(0)
                digest = hashlib.sha256()
                cuts: list[tuple[int, int]] = []  # (byte where a chunk begins, its rows)
                position, header = 0, self.has_header
                for record in self._records(file, _hashed(lines_of(handle), digest)):
                    if not self._blank(record):
                        if not header:
                            if not cuts or cuts[-1][1] == chunk_rows:
                                cuts.append((position, 0))
                            cuts[-1] = (cuts[-1][0], cuts[-1][1] + 1)
                        header = False
                    position += len(record)
            first = 0
            for number, (start, rows) in enumerate(cuts, start=1):
                end = cuts[number][0] if number < len(cuts) else position
                yield Chunk(file, first, rows, digest.hexdigest(), start, end - start)
                first += rows

    def read(self, chunks: list[Chunk], columns: Columns) -> Iterator[Records]:  # noqa: D102
        width = self.dimension(columns) if columns.kind == "embedding" else 0
        file = chunks[0].file
        with self.opened(file) as handle:
            names = self._names(file, handle)
            for chunk in chunks:
                handle.seek(chunk.start)
                lines = iter(io.BytesIO(handle.read(chunk.length)))
                found = [self._parse(file, record, names) for record in self._filled(file, lines)]
                if len(found) != chunk.rows:
                    raise UserError(f"{self.store.url(file)}: has changed since the job began")
                values = {
                    name: [row.get(name) if isinstance(row, dict) else None for row in found]
                    for name in columns.names
                }
                records = records_of(columns, values, width)
                for row, record in enumerate(found):
                    if isinstance(record, str):
                        # What could not be read is the reason, not the nulls that it left.
                        records.excluded.discard(row)
                        records.bad.pop(row, None)
                        records.reject(row, UNREADABLE_RECORD, record)
                yield records

    def dimension(self, columns: Columns) -> int:  # noqa: D102
        for file in self.files:
            with self.opened(file) as handle:
                names, parsed = self._head(file, handle)
                self._check(file, columns, names, parsed)
            found = [row.get(columns.content) for row in parsed if isinstance(row, dict)]
            if width := most_common_width(found):
                return width
        return 0

    @abstractmethod
    def _records(self, file: str, lines: Iterator[bytes]) -> Iterator[bytes]:
        """Join lines into records; nothing is lost, so that lengths add up to positions."""

    @abstractmethod
    def _names(self, file: str, handle: Any) -> list[str]:
        """The columns of an open file; none where it is empty."""

    @abstractmethod
    def _parse(self, file: str, record: bytes, names: list[str]) -> Parsed:
        """The values of a record by column, or what is wrong with it."""

    @abstractmethod
    def _are_floats(self, labels: list[Any]) -> bool:
        """Whether the first labels are floating-point numbers, not classes."""

    def _blank(self, record: bytes) -> bool:
        return not record.removeprefix(BOM).strip()

    def _filled(self, file: str, lines: Iterator[bytes]) -> Iterator[bytes]:
        return (record for record in self._records(file, lines) if not self._blank(record))

    def _head(self, file: str, handle: Any) -> tuple[list[str], list[Parsed]]:
        """The columns and the first records of an open file."""
        names = self._names(file, handle)
        handle.seek(0)
        records = self._filled(file, lines_of(handle))
        if self.has_header:
            next(records, None)
        return names, [self._parse(file, record, names) for record, _ in zip(records, range(HEAD))]  # noqa: B905

    def _check(self, file: str, columns: Columns, names: list[str], head: list[Parsed]) -> None:
        if not names and not head:
            return
        where = self.store.url(file)
        columns.check_names(where, names)
        if columns.kind == "image":
            raise UserError(
                f"{where}: image={columns.content!r}: a file of lines holds no bytes of images; give a folder"
                " of images, or Parquet"
            )
        labels = [row.get(columns.label) for row in head if isinstance(row, dict)] if columns.label else []
        labels = [label for label in labels if label not in (None, b"")]
        if columns.numeric:
            if labels and not any(map(_is_number, labels)):
                raise UserError(
                    f"{self.store.url(file)}: label {columns.label!r} holds no number, such as"
                    f" {labels[0]!r:.60}; --bins cuts numbers"
                )
        elif self._are_floats(labels):
            raise UserError(f"{self.store.url(file)}: label {columns.label!r} {FLOAT_LABEL}")


def _is_number(value: Any) -> bool:
    try:
        number_of(value)
    except NotALabel:
        return False
    return True


class _Raw(io.RawIOBase):
    """A pyarrow file as a raw stream: its own readline is a Python call a byte."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._handle.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def lines_of(handle: Any) -> Iterator[bytes]:
    """Return the lines of a pyarrow file."""
    return iter(io.BufferedReader(_Raw(handle), BUFFER))


def _hashed(lines: Iterator[bytes], digest: Any) -> Iterator[bytes]:
    for line in lines:
        digest.update(line)
        yield line
