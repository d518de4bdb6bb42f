"""Formats that are read by the line: JSON lines and CSV.

A unit is a byte range that begins and ends between records, found in one pass over the file that also
takes its digest; a worker reads just its range.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

from syllabus.pipeline.errors import UserError
from syllabus.pipeline.nearest import suggestion
from syllabus.pipeline.sources.base import Source, most_common_width
from syllabus.pipeline.sources.columns import records_of
from syllabus.pipeline.sources.records import UNIT_ROWS, Columns, Records, Unit

BUFFER = 1 << 20


class LineSource(Source):
    """Text files of one record a line, or a few lines where a quoted value goes on."""

    header_lines = 0

    def units(self, columns: Columns) -> Iterator[Unit]:  # noqa: D102
        for file in self.files:
            self._check(file, columns)
            digest = hashlib.sha256()
            cuts: list[tuple[int, int]] = []  # (byte where a unit begins, its rows)
            position = 0
            with self.store.open(file) as handle:
                stream = io.BufferedReader(_Raw(handle), BUFFER)
                for number, record in enumerate(self._records(_hashed(stream, digest))):
                    if number >= self.header_lines and record.strip():
                        if not cuts or cuts[-1][1] == UNIT_ROWS:
                            cuts.append((position, 0))
                        cuts[-1] = (cuts[-1][0], cuts[-1][1] + 1)
                    position += len(record)
            first = 0
            for (start, rows), (end, _) in zip(cuts, [*cuts[1:], (position, 0)], strict=True):
                yield Unit(file, first, rows, digest.hexdigest(), start, end - start)
                first += rows

    def read(self, units: list[Unit], columns: Columns) -> Iterator[Records]:  # noqa: D102
        width = self.dimension(columns) if columns.kind == "embedding" else 0
        with self.store.open(units[0].file) as handle:
            names = self._names(handle)
            for unit in units:
                handle.seek(unit.start)
                lines = io.BytesIO(handle.read(unit.length))
                found = [self._parse(line, names) for line in self._records(iter(lines)) if line.strip()]
                values = {
                    name: [row.get(name) if isinstance(row, dict) else None for row in found]
                    for name in columns.names
                }
                records = records_of(columns, values, width)
                for row, record in enumerate(found):
                    if isinstance(record, str):
                        # What could not be read is the reason, not the nulls that it left.
                        records.bad[row] = ("unreadable record", record[:200])
                yield records

    def dimension(self, columns: Columns) -> int:  # noqa: D102
        with self.store.open(self.files[0]) as handle:
            names = self._names(handle)
            handle.seek(0)
            stream = io.BufferedReader(_Raw(handle), BUFFER)
            first = [record for _, record in zip(range(1000), self._records(iter(stream)), strict=False)]
        parsed = [self._parse(record, names) for record in first[self.header_lines :] if record.strip()]
        return most_common_width([row.get(columns.content) for row in parsed if isinstance(row, dict)])

    @abstractmethod
    def _records(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        """Join lines into records; nothing is lost, so that lengths add up to positions."""

    @abstractmethod
    def _names(self, handle: Any) -> list[str]:
        """The columns of an open file."""

    @abstractmethod
    def _parse(self, record: bytes, names: list[str]) -> dict[str, Any] | str:
        """The values of a record by column, or what is wrong with it."""

    def _check(self, file: str, columns: Columns) -> None:
        with self.store.open(file) as handle:
            names = self._names(handle)
        for name in columns.names:
            if names and name not in names:
                raise UserError(f"{self.store.url(file)}: {suggestion('column', name, names)}")


class JsonLinesSource(LineSource):
    """One JSON object a line."""

    suffixes = (".jsonl", ".ndjson", ".json")

    def _records(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        return lines

    def _names(self, handle: Any) -> list[str]:
        # The columns of JSON lines are what the first hundred objects hold.
        names: dict[str, None] = {}
        handle.seek(0)
        stream = io.BufferedReader(_Raw(handle), BUFFER)
        for line, _ in zip(stream, range(100), strict=False):
            record = self._parse(line, [])
            names.update(dict.fromkeys(record if isinstance(record, dict) else ()))
        return list(names)

    def _parse(self, record: bytes, names: list[str]) -> dict[str, Any] | str:  # noqa: ARG002
        try:
            values = json.loads(record)
        except UnicodeDecodeError:
            return _lenient(record)
        except ValueError as error:
            return f"{error}: {record[:100]!r}"
        return values if isinstance(values, dict) else f"not a JSON object: {record[:100]!r}"


def _lenient(record: bytes) -> dict[str, Any] | str:
    """A JSON object that holds invalid UTF-8: its strings come back as the bytes that they are."""
    try:
        values = json.loads(record.decode("utf-8", "surrogateescape"))
    except ValueError as error:
        return f"{error}: {record[:100]!r}"
    if not isinstance(values, dict):
        return f"not a JSON object: {record[:100]!r}"
    return {
        name: value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
        for name, value in values.items()
    }


class CsvSource(LineSource):
    """CSV with a header line, RFC 4180; tab-separated where the file ends in .tsv."""

    suffixes = (".csv", ".tsv")
    header_lines = 1

    def _records(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        held, quotes = b"", 0
        for line in lines:
            held += line
            quotes += line.count(b'"')
            # A record ends where every quote is closed.
            if quotes % 2 == 0:
                yield held
                held, quotes = b"", 0
        if held:
            yield held

    def _names(self, handle: Any) -> list[str]:
        handle.seek(0)
        stream = io.BufferedReader(_Raw(handle), BUFFER)
        header = next(self._records(iter(stream)), b"")
        return [value or "" for value in self._split(header.removeprefix(b"\xef\xbb\xbf"))]

    def _split(self, record: bytes) -> list[str]:
        text = record.decode("utf-8", "surrogateescape")
        tab = self.files[0].lower().endswith(".tsv")
        return next(csv.reader(io.StringIO(text, newline=""), delimiter="\t" if tab else ","), [])

    def _parse(self, record: bytes, names: list[str]) -> dict[str, Any] | str:
        try:
            cells = self._split(record)
        except csv.Error as error:
            return f"{error}: {record[:100]!r}"
        if len(cells) != len(names):
            return f"{len(cells)} values under {len(names)} columns: {record[:100]!r}"
        # An empty cell is a null: CSV has no other.
        return {
            name: cell.encode("utf-8", "surrogateescape") if cell else None
            for name, cell in zip(names, cells, strict=True)
        }


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


def _hashed(lines: Iterator[bytes], digest: Any) -> Iterator[bytes]:
    for line in lines:
        digest.update(line)
        yield line
