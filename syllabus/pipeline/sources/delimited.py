"""CSV and tab-separated values, with a header line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

from syllabus.manifests.errors import first_line
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.sources.compression import without_compression
from syllabus.pipeline.sources.labels import FEW_LABELS
from syllabus.pipeline.sources.records import Columns
from syllabus.pipeline.sources.text_lines import BOM, LineSource, LongLine, Parsed, lines_of


class CsvSource(LineSource):
    """CSV with a header line, RFC 4180; tab-separated where the file ends in .tsv."""

    suffixes = (".csv", ".tsv")

    def format_of(self, file: str) -> str:  # noqa: D102
        return "tsv" if without_compression(file).endswith(".tsv") else "csv"

    has_header = True

    def _records(self, file: str, lines: Iterator[bytes], most: int) -> Iterator[bytes]:
        held: list[bytes] = []

        def texts() -> Iterator[str]:
            size = 0
            for line in lines:
                # A quote that is never closed would take in the rest of the file.
                size = len(line) + (size if held else 0)
                if size > most or isinstance(line, LongLine):
                    raise UserError(
                        f"{self.store.url(file)}: record {number}: is longer than max_record_bytes={most:,};"
                        f" is a quote opened and never closed? {(held or [line])[0][:100]!r}"
                    )
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

    def _names(self, file: str, handle: Any, most: int) -> list[str]:
        handle.seek(0)
        header = next(self._filled(file, lines_of(handle, most), most), b"")
        try:
            return self._split(file, header.removeprefix(BOM))
        except csv.Error as error:
            raise UserError(
                f"{self.store.url(file)}: the header is not CSV: {first_line(error)}: {header[:100]!r}"
            ) from None

    def _check(self, file: str, columns: Columns, names: list[str], head: list[dict[str, Any]]) -> None:
        foreign = [name.encode("utf-8", "surrogateescape") for name in names if not _is_unicode(name)]
        missing = next((name for name in columns.names_among(names) if name not in names), None)
        if foreign and missing is not None:
            raise UserError(
                f"{self.store.url(file)}: column {missing!r} is unknown, and the header is not UTF-8:"
                f" {foreign[0][:100]!r}; write the file as UTF-8"
            )
        super()._check(file, columns, names, head)

    def _parse(self, file: str, record: bytes, names: list[str]) -> Parsed:
        try:
            cells = self._split(file, record)
        except csv.Error as error:
            return f"{error}: {record[:100]!r}"
        if len(cells) != len(names):
            return f"{len(cells)} values under {len(names)} columns: {record[:100]!r}"
        if self._open_ended(file, [record]):
            return f"a quote is opened and never closed: {record[:100]!r}"
        return {
            name: cell.encode("utf-8", "surrogateescape") for name, cell in zip(names, cells, strict=True)
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


def _is_unicode(name: str) -> bool:
    """Whether a name was UTF-8: else some of its bytes are kept as halves of surrogate pairs."""
    return not any("\udc80" <= character <= "\udcff" for character in name)
