"""Formats that are read by the line: JSON lines and CSV.

A unit is a byte range that begins and ends between records, found in one pass over the file that also
takes its digest; a worker reads just its range. Blank lines are no records.
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
from syllabus.pipeline.sources.base import Source, first_line, most_common_width
from syllabus.pipeline.sources.columns import records_of
from syllabus.pipeline.sources.records import FLOAT_LABEL, UNIT_ROWS, Columns, Records, Unit

BUFFER = 1 << 20
HEAD = 1000
"""Records from whose beginning the columns of JSON lines, and the width of vectors, are found."""
FEW_LABELS = 50
BOM = b"\xef\xbb\xbf"

Parsed = dict[str, Any] | str
"""The values of a record by column, or what is wrong with it."""


class LineSource(Source):
    """Text files of one record a line, or a few lines where a quoted value goes on."""

    has_header = False

    def units(self, columns: Columns, unit_rows: int = UNIT_ROWS) -> Iterator[Unit]:  # noqa: D102
        for file in self.files:
            with self.opened(file) as handle:
                self._check(file, columns, *self._head(file, handle))
                handle.seek(0)
                digest = hashlib.sha256()
                cuts: list[tuple[int, int]] = []  # (byte where a unit begins, its rows)
                position, header = 0, self.has_header
                for record in self._records(file, _hashed(_lines(handle), digest)):
                    if not self._blank(record):
                        if not header:
                            if not cuts or cuts[-1][1] == unit_rows:
                                cuts.append((position, 0))
                            cuts[-1] = (cuts[-1][0], cuts[-1][1] + 1)
                        header = False
                    position += len(record)
            first = 0
            for number, (start, rows) in enumerate(cuts, start=1):
                end = cuts[number][0] if number < len(cuts) else position
                yield Unit(file, first, rows, digest.hexdigest(), start, end - start)
                first += rows

    def read(self, units: list[Unit], columns: Columns) -> Iterator[Records]:  # noqa: D102
        width = self.dimension(columns) if columns.kind == "embedding" else 0
        file = units[0].file
        with self.opened(file) as handle:
            names = self._names(file, handle)
            for unit in units:
                handle.seek(unit.start)
                lines = iter(io.BytesIO(handle.read(unit.length)))
                found = [self._parse(file, record, names) for record in self._filled(file, lines)]
                if len(found) != unit.rows:
                    raise UserError(f"{self.store.url(file)}: has changed since the job began")
                values = {
                    name: [row.get(name) if isinstance(row, dict) else None for row in found]
                    for name in columns.names
                }
                records = records_of(columns, values, width)
                for row, record in enumerate(found):
                    if isinstance(record, str):
                        # What could not be read is the reason, not the nulls that it left.
                        records.bad.pop(row, None)
                        records.reject(row, "unreadable record", record)
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
        records = self._filled(file, _lines(handle))
        if self.has_header:
            next(records, None)
        return names, [self._parse(file, record, names) for record, _ in zip(records, range(HEAD))]  # noqa: B905

    def _check(self, file: str, columns: Columns, names: list[str], head: list[Parsed]) -> None:
        if not names and not head:
            return
        for name in columns.names:
            if name not in names:
                raise UserError(f"{self.store.url(file)}: {suggestion('column', name, names)}")
            if names.count(name) > 1:
                raise UserError(f"{self.store.url(file)}: has {names.count(name)} columns {name!r}")
        labels = [row.get(columns.label) for row in head if isinstance(row, dict)] if columns.label else []
        if self._are_floats([label for label in labels if label is not None]):
            raise UserError(f"{self.store.url(file)}: label {columns.label!r} {FLOAT_LABEL}")


class JsonLinesSource(LineSource):
    """One JSON object a line."""

    suffixes = (".jsonl", ".ndjson", ".json")

    def _records(self, file: str, lines: Iterator[bytes]) -> Iterator[bytes]:  # noqa: ARG002
        return lines

    def _names(self, file: str, handle: Any) -> list[str]:
        # The columns of JSON lines are those of the first objects: one that is absent is a null.
        handle.seek(0)
        names: dict[str, None] = {}
        first = wrong = None
        for record, _ in zip(self._filled(file, _lines(handle)), range(HEAD)):  # noqa: B905
            first = self._parse(file, record, [])
            if isinstance(first, dict):
                names.update(dict.fromkeys(first))
            else:
                wrong = wrong or first
        if wrong is not None and not names:
            raise UserError(f"{self.store.url(file)}: holds no JSON object a line: {wrong}")
        return list(names)

    def _parse(self, file: str, record: bytes, names: list[str]) -> Parsed:  # noqa: ARG002
        record = record.removeprefix(BOM)
        try:
            text = record.decode("utf-8")
        except UnicodeDecodeError:
            text = None
        try:
            values = json.loads(record.decode("utf-8", "surrogateescape") if text is None else text)
        except (ValueError, RecursionError) as error:
            return f"{error}: {record[:100]!r}"
        if not isinstance(values, dict):
            return f"not a JSON object: {record[:100]!r}"
        if text is None:
            return {name: _as_bytes(value) for name, value in values.items()}
        return values

    def _are_floats(self, labels: list[Any]) -> bool:
        return any(isinstance(label, float) for label in labels)


def _as_bytes(value: Any) -> Any:
    """A string of a record that holds invalid UTF-8, as the bytes that it was."""
    try:
        return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    except UnicodeEncodeError:
        return value  # half a surrogate pair, spelled out; found where all strings are checked


class CsvSource(LineSource):
    """CSV with a header line, RFC 4180; tab-separated where the file ends in .tsv."""

    suffixes = (".csv", ".tsv")

    def format_of(self, file: str) -> str:  # noqa: D102
        return "tsv" if file.lower().endswith(".tsv") else "csv"

    has_header = True

    def _records(self, file: str, lines: Iterator[bytes]) -> Iterator[bytes]:
        held: list[bytes] = []

        def texts() -> Iterator[str]:
            for line in lines:
                held.append(line)
                yield line.removeprefix(BOM).decode("utf-8", "surrogateescape")

        reader, number = self._reader(file, texts()), 0
        while True:
            try:
                next(reader)
            except StopIteration:
                return
            except csv.Error:
                pass  # told when the record is parsed
            if len(held) > 1 and self._open_ended(file, held):
                # It went on to the end of the file: rows would be lost without a word.
                raise UserError(
                    f"{self.store.url(file)}: record {number}: a quote is opened and never closed:"
                    f" {held[0][:100]!r}"
                )
            yield b"".join(held)
            held.clear()
            number += 1

    def _names(self, file: str, handle: Any) -> list[str]:
        handle.seek(0)
        header = next(self._filled(file, _lines(handle)), b"")
        try:
            return self._split(file, header.removeprefix(BOM))
        except csv.Error as error:
            raise UserError(
                f"{self.store.url(file)}: the header is not CSV: {first_line(error)}: {header[:100]!r}"
            ) from None

    def _parse(self, file: str, record: bytes, names: list[str]) -> Parsed:
        try:
            cells = self._split(file, record)
        except csv.Error as error:
            return f"{error}: {record[:100]!r}"
        if len(cells) != len(names):
            return f"{len(cells)} values under {len(names)} columns: {record[:100]!r}"
        if self._open_ended(file, [record]):
            return f"a quote is opened and never closed: {record[:100]!r}"
        # An empty cell is a null: CSV has no other.
        return {
            name: cell.encode("utf-8", "surrogateescape") if cell else None
            for name, cell in zip(names, cells, strict=True)
        }

    def _are_floats(self, labels: list[Any]) -> bool:
        # A cell has no type: a few values, such as 1.0 or 3.11, may well be classes.
        if len(set(labels)) <= FEW_LABELS:
            return False
        try:
            return not all(float(label).is_integer() for label in labels)
        except (ValueError, OverflowError):
            return False

    def _blank(self, record: bytes) -> bool:
        # Spaces and tabs are values.
        return not record.removeprefix(BOM).strip(b"\r\n")

    def _split(self, file: str, record: bytes) -> list[str]:
        return next(self._reader(file, iter([record.decode("utf-8", "surrogateescape")])), [])

    def _open_ended(self, file: str, lines: list[bytes]) -> bool:
        """Whether a record that ends here would take in a line that came after it."""
        texts = [line.decode("utf-8", "surrogateescape") for line in lines]
        try:
            return b'"' in lines[0] and len(list(self._reader(file, iter([*texts, "after"])))) == 1
        except csv.Error:
            return False

    def _reader(self, file: str, texts: Iterator[str]) -> Any:
        # A text may be longer than csv's own limit of 131,072 characters.
        csv.field_size_limit(2**31 - 1)
        return csv.reader(texts, delimiter="\t" if self.format_of(file) == "tsv" else ",")


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


def _lines(handle: Any) -> Iterator[bytes]:
    return iter(io.BufferedReader(_Raw(handle), BUFFER))


def _hashed(lines: Iterator[bytes], digest: Any) -> Iterator[bytes]:
    for line in lines:
        digest.update(line)
        yield line
