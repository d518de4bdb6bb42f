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

from syllabus.pipeline.errors import UserError
from syllabus.pipeline.sources.base import Source, most_common_width
from syllabus.pipeline.sources.byte_ranges import cut, head
from syllabus.pipeline.sources.cells import records_of
from syllabus.pipeline.sources.compression import opened_content
from syllabus.pipeline.sources.joined import joined
from syllabus.pipeline.sources.reasons import ABOVE, UNREADABLE_RECORD
from syllabus.pipeline.sources.records import CHUNK_ROWS, Chunk, Columns, Records
from syllabus.pipeline.sources.sampling import Head, Sample, sample_of
from syllabus.pipeline.sources.sizes import UNBOUNDED
from syllabus.pipeline.sources.untyped import are_floats, check_untyped

BUFFER = 1 << 20
HEAD, HEAD_BYTES = 1000, 32 << 20
"""Records, and bytes of them, from which the columns of JSON lines and the width of vectors are found."""
LONG_HEAD = 200
BOM = b"\xef\xbb\xbf"


class LongLine(bytes):
    """The beginning of a line that has more bytes than a record may have; the rest of it is looked at."""

    length: int
    blank: bool


Parsed = dict[str, Any] | str
"""The values of a record by column, or what is wrong with it."""


class LineSource(Source):
    """Text files of one record a line, or a few lines where a quoted value goes on."""

    has_header = False

    @contextmanager
    def opened(self, file: str) -> Iterator[Any]:
        """Yield an open file, a compressed one as its content; what cannot be read is the user's to mend."""
        with super().opened(file) as handle, opened_content(self.store, file, handle) as content:
            yield content

    def names(self, columns: Columns) -> list[str]:  # noqa: D102
        with self.opened(self.files[0]) as handle:
            return self._names(self.files[0], handle, columns.limits.max_record_bytes)

    def check(self, columns: Columns) -> None:  # noqa: D102
        with self.opened(self.files[0]) as handle:
            self._check(self.files[0], columns, *self._head(self.files[0], handle, columns))

    def chunks(self, columns: Columns, chunk_rows: int = CHUNK_ROWS) -> Iterator[Chunk]:  # noqa: D102
        for file in self.files:
            with self.opened(file) as handle:
                most = columns.limits.max_record_bytes
                self._check(file, columns, *self._head(file, handle, columns))
                handle.seek(0)
                digest = hashlib.sha256()
                starts = self._starts(file, lines_of(handle, most, digest=digest), most)
                chunks = cut(file, starts, digest.hexdigest, chunk_rows)
            yield from chunks

    def sample(self, columns: Columns, rows: int) -> Sample:  # noqa: D102
        return sample_of(self.stamps, rows, lambda file, each: self._first(file, columns, each))

    def _first(self, file: str, columns: Columns, rows: int) -> Head:
        most = columns.limits.max_record_bytes
        with self.opened(file) as handle:
            self._check(file, columns, *self._head(file, handle, columns))
            handle.seek(0)
            return head(file, self._starts(file, lines_of(handle, most), most), rows, handle.size)

    def _starts(self, file: str, lines: Iterator[bytes], most: int) -> Iterator[int]:
        """The byte at which each record begins."""
        position, header = 0, self.has_header
        for record in self._records(file, lines, most):
            if self._is_filled(record):
                if not header:
                    yield position
                header = False
            position += record.length if isinstance(record, LongLine) else len(record)

    def read(self, chunks: list[Chunk], columns: Columns) -> Iterator[Records]:  # noqa: D102
        width = self.dimension(columns) if columns.kind == "embedding" else 0
        file, most = chunks[0].file, columns.limits.max_record_bytes
        with self.opened(file) as handle:
            names = self._names(file, handle, most)
            for chunk in chunks:
                handle.seek(chunk.start)
                lines = lines_of(handle, most, chunk.length or UNBOUNDED)
                values: dict[str, list[Any]] = {name: [] for name in columns.names_among(names)}
                bad: dict[int, tuple[str, str]] = {}
                count = 0
                for count, record in enumerate(self._filled(file, lines, most), start=1):
                    parsed = self._parse_bounded(file, record, names, most)
                    if not isinstance(parsed, dict):
                        bad[count - 1], parsed = parsed, {}
                    for name, found in values.items():
                        found.append(parsed.get(name))
                if count != chunk.rows:
                    raise UserError(f"{self.store.url(file)}: has changed since the job began")
                if len(parts := columns.parts(names)) > 1:
                    values[columns.content] = joined(columns.kind, [values[part] for part in parts])
                records = records_of(columns, values, width)
                for row, reason in bad.items():
                    # What could not be read is the reason, not the nulls that it left.
                    records.excluded.discard(row)
                    records.bad.pop(row, None)
                    records.reject(row, *reason)
                yield records

    def dimension(self, columns: Columns) -> int:  # noqa: D102
        for file in self.files:
            with self.opened(file) as handle:
                names, parsed = self._head(file, handle, columns)
                self._check(file, columns, names, parsed)
            if len(parts := columns.parts(names)) > 1:
                return len(parts)
            if width := most_common_width([row[columns.content] for row in parsed]):
                return width
        return 0

    @abstractmethod
    def _records(self, file: str, lines: Iterator[bytes], most: int) -> Iterator[bytes]:
        """Join lines into records; nothing is lost, so that lengths add up to positions."""

    @abstractmethod
    def _names(self, file: str, handle: Any, most: int) -> list[str]:
        """The columns of an open file; none where it is empty."""

    @abstractmethod
    def _parse(self, file: str, record: bytes, names: list[str]) -> Parsed:
        """The values of a record by column, or what is wrong with it."""

    def _are_floats(self, labels: list[Any]) -> bool:
        """Whether the first labels are floating-point numbers, not classes."""
        return are_floats(labels)

    def _blank(self, record: bytes) -> bool:
        return not record.removeprefix(BOM).strip()

    def _is_filled(self, record: bytes) -> bool:
        return not (record.blank if isinstance(record, LongLine) else self._blank(record))

    def _filled(self, file: str, lines: Iterator[bytes], most: int) -> Iterator[bytes]:
        return filter(self._is_filled, self._records(file, lines, most))

    def _parse_bounded(self, file: str, record: bytes, names: list[str], most: int) -> Any:
        """The values of a record by column, or reason and detail of its reject."""
        if isinstance(record, LongLine):
            size = f"{record.length:,} bytes; max_record_bytes is {most:,}"
            return ABOVE["max_record_bytes"], f"{size}: {bytes(record[:100])!r}"
        parsed = self._parse(file, record, names)
        return parsed if isinstance(parsed, dict) else (UNREADABLE_RECORD, parsed)

    def _head(self, file: str, handle: Any, columns: Columns) -> tuple[list[str], list[dict[str, Any]]]:
        """The columns of an open file, and of its first records the values that are asked for."""
        most = columns.limits.max_record_bytes
        names = self._names(file, handle, most)
        handle.seek(0)
        records = self._filled(file, lines_of(handle, most), most)
        if self.has_header:
            next(records, None)
        wanted = columns.names_among(names)
        parsed = (self._parse_bounded(file, record, names, most) for record in first_records(records))
        return names, [{name: row.get(name) for name in wanted} for row in parsed if isinstance(row, dict)]

    def _check(self, file: str, columns: Columns, names: list[str], head: list[dict[str, Any]]) -> None:
        if not names and not head:
            return
        where = self.store.url(file)
        columns.check_names(where, names)
        if columns.kind == "image":
            raise UserError(
                f"{where}: image={columns.content!r}: a file of lines holds no bytes of images; give a folder"
                " of images, or Parquet"
            )
        check_untyped(
            where,
            columns,
            {name: [row[name] for row in head] for name in columns.key_names},
            self._are_floats,
        )


class _Raw(io.RawIOBase):
    """The next `length` bytes of a pyarrow file as a raw stream: its own readline is a Python call a byte."""

    def __init__(self, handle: Any, length: int, digest: Any) -> None:
        self._handle, self._left, self._digest = handle, length, digest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._handle.read(min(len(buffer), self._left))
        self._left -= len(data)
        if self._digest is not None:
            self._digest.update(data)
        buffer[: len(data)] = data
        return len(data)


def lines_of(
    handle: Any, most: int = UNBOUNDED, length: int = UNBOUNDED, digest: Any = None
) -> Iterator[bytes]:
    """Yield the lines of the next `length` bytes of a pyarrow file; of one above `most` a `LongLine`.

    What is read is added to `digest`. Memory: a line of at most `most` bytes.
    """
    stream = io.BufferedReader(_Raw(handle, length, digest), BUFFER)
    while line := stream.readline(most + 1):
        if len(line) > most:
            long = LongLine(line[:LONG_HEAD])
            long.length, long.blank = len(line), not line.strip()
            while not line.endswith(b"\n") and (line := stream.readline(BUFFER)):
                long.length += len(line)
                long.blank = long.blank and not line.strip()
            line = long
        yield line


def first_records(records: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the first `HEAD` records, or fewer of `HEAD_BYTES`; one at least."""
    held = 0
    for record, _ in zip(records, range(HEAD)):  # noqa: B905
        yield record
        held += len(record)
        if held >= HEAD_BYTES:
            return
