"""From a column's raw values to records: what is broken is marked with its reason, the rest is kept."""

from __future__ import annotations

from typing import Any

import numpy as np

from syllabus.pipeline.sources.records import Columns, NotAClass, Records, label_text


def records_of(columns: Columns, values: dict[str, list[Any]], width: int) -> Records:
    """Return the records of a unit from lists of raw Python values by column name.

    Strings may come as bytes: they are decoded here, each on its own, so that one invalid row costs one row.
    """
    content = values[columns.content]
    labels = _strings(values[columns.label], label_text) if columns.label else None
    ids = _strings(values[columns.id], _key) if columns.id else None
    if columns.kind == "embedding":
        records = Records(np.zeros((len(content), width), np.float32), None, None)
        _fill_vectors(records, content)
    else:
        records = Records(list(content), None, None)
        _fill_content(records, columns.kind)
    for name, strings in ((columns.label, labels), (columns.id, ids)):
        for row, value in enumerate(strings or ()):
            if isinstance(value, bytes):
                records.reject_key(row, "invalid UTF-8", f"column {name}: {value!r}")
            elif isinstance(value, NotAClass):
                records.reject_key(row, "label is not a class", str(value))
            else:
                continue
            strings[row] = None  # type: ignore[index]
    records.labels, records.ids = labels, ids  # type: ignore[assignment]
    return records


def _strings(values: list[Any], convert: Any) -> list[Any]:
    """Text of each value, None for null, bytes for what is not UTF-8, the error for what is no class."""
    texts: list[Any] = []
    for value in values:
        try:
            texts.append(_decode(value) if isinstance(value, bytes) else convert(value))
        except NotAClass as error:
            texts.append(error)
    return texts


def _key(value: Any) -> str | None:
    return None if value is None else str(value)


def _decode(value: bytes) -> str | bytes:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value


def _fill_content(records: Records, kind: str) -> None:
    for row, value in enumerate(records.content):
        if isinstance(value, dict) and kind == "image":
            # Hugging Face data sets store an image as {"bytes": …, "path": …}.
            value = value.get("bytes")
        if isinstance(value, bytes) and kind == "text":
            value = _decode(value)
            if isinstance(value, bytes):
                records.reject(row, "invalid UTF-8", repr(value))
                value = None
        if value is None:
            records.reject(row, f"null {kind}")
        elif not isinstance(value, str if kind == "text" else bytes):
            records.reject(
                row,
                f"not {'text' if kind == 'text' else 'image bytes'}",
                f"{value!r} is a {type(value).__name__}",
            )
            value = None
        records.content[row] = value


def _fill_vectors(records: Records, values: list[Any]) -> None:
    width = records.content.shape[1]
    for row, value in enumerate(values):
        if value is None:
            records.reject(row, "null vector")
            continue
        try:
            vector = np.asarray(value, dtype=np.float32)
        except (TypeError, ValueError):
            records.reject(row, "not a vector", repr(value))
            continue
        if vector.shape != (width,):
            records.reject(row, "wrong width", f"{vector.size} values; expected {width}")
        else:
            records.content[row] = vector
    reject_not_finite(records)


def reject_not_finite(records: Records) -> None:
    """Reject the vectors that hold NaN or infinity, and clear them."""
    for row in np.flatnonzero(~np.isfinite(records.content).all(axis=1)):
        first = int(np.flatnonzero(~np.isfinite(records.content[row]))[0])
        records.reject(int(row), "NaN vector", f"value {first} is {records.content[row, first]}")
        records.content[row] = 0
