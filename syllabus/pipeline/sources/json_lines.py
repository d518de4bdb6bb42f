"""JSON lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from syllabus.pipeline.errors import UserError
from syllabus.pipeline.sources.text_lines import BOM, LineSource, Parsed, first_records, lines_of


class JsonLinesSource(LineSource):
    """One JSON object a line."""

    suffixes = (".jsonl", ".ndjson", ".json")

    def _records(self, file: str, lines: Iterator[bytes], most: int) -> Iterator[bytes]:  # noqa: ARG002
        return lines

    def _names(self, file: str, handle: Any, most: int) -> list[str]:
        # The columns of JSON lines are those of the first objects: one that is absent is a null.
        handle.seek(0)
        names: dict[str, None] = {}
        first = wrong = None
        for record in first_records(self._filled(file, lines_of(handle, most), most)):
            first = self._parse_bounded(file, record, [], most)
            if isinstance(first, dict):
                names.update(dict.fromkeys(first))
            else:
                wrong = wrong or first[1]
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


def _as_bytes(value: Any) -> Any:
    """A string of a record that holds invalid UTF-8, as the bytes that it was."""
    try:
        return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    except UnicodeEncodeError:
        return value  # half a surrogate pair, spelled out; found where all strings are checked
