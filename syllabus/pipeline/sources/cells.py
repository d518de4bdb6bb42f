"""Records from a column's raw values: what is broken is marked with its reason, the rest is kept."""

from __future__ import annotations

from typing import Any

import numpy as np

from syllabus.manifests.ids import id_text
from syllabus.pipeline.sources import reasons
from syllabus.pipeline.sources.blanks import is_blank
from syllabus.pipeline.sources.filters import NoPythonValue, holds
from syllabus.pipeline.sources.joined import text_of
from syllabus.pipeline.sources.labels import read_labels
from syllabus.pipeline.sources.records import Columns, Records
from syllabus.pipeline.sources.referenced_images import NotRead
from syllabus.pipeline.sources.sizes import above, size_above
from syllabus.pipeline.sources.weights import NotAWeight, weight_of


def records_of(columns: Columns, values: dict[str, list[Any]], width: int) -> Records:
    """Return the records of a chunk from lists of raw Python values by column name.

    Strings may come as bytes: they are decoded here, each on its own, so that one invalid row costs one row.
    """
    content = values[columns.content]
    if columns.kind == "text":
        content = [text_of(value) if isinstance(value, list) else value for value in content]
    if columns.kind == "embedding":
        records = Records(np.zeros((len(content), width), np.float32), None, None)
        _fill_vectors(records, content, columns.content)
    else:
        records = Records(list(content), None, None)
        _fill_content(records, columns)
    read_keys(records, columns, values)
    return records


def read_keys(records: Records, columns: Columns, values: dict[str, list[Any]]) -> None:
    """Give records their labels, ids and weights, and leave out what the filter does not let through."""
    if columns.label:
        records.labels = read_labels(
            values[columns.label], columns.label, columns.numeric, columns.limits.max_label_bytes
        )
        for row, reason in records.labels.bad.items():
            records.reject_key(row, *reason)
    if columns.id:
        records.ids = [_id(records, columns, row, value) for row, value in enumerate(values[columns.id])]
    if columns.weight:
        records.weights = [None] * len(values[columns.weight])
        for row, value in enumerate(values[columns.weight]):
            try:
                records.weights[row] = weight_of(value)
            except NotAWeight as error:
                records.reject_key(row, reasons.BAD_WEIGHT, f"column {columns.weight}: {error}")
    for condition in columns.where:
        cells = values[condition.column]
        records.exclude(row for row, value in enumerate(cells) if not holds(condition, value))


def _id(records: Records, columns: Columns, row: int, value: Any) -> str | None:
    """The id of a row; a bad one is None, and its row is rejected."""
    column, most = columns.id, columns.limits.max_id_bytes
    if (size := size_above(value, most)) is not None:
        records.reject_key(row, *above("max_id_bytes", column, size, most))
        return None
    if isinstance(value, NoPythonValue):
        records.reject_key(row, reasons.BAD_ID, f"column {column}: {value}")
        return None
    try:
        text = id_text(value)
    except TypeError as error:
        records.reject_key(row, reasons.BAD_ID, f"column {column}: {error}")
        return None
    except UnicodeError:
        shown = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
        records.reject_key(row, reasons.INVALID_UTF8, f"column {column}: {shown[:100]!r}")
        return None
    if text is not None and is_blank(text):
        records.reject_key(row, reasons.BLANK["id"], f"column {column}: {text!r:.100}")
    return text


def _decode(value: bytes) -> str | bytes:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value


def _checked(text: str) -> str | bytes:
    """`text`, or its bytes where it holds half a surrogate pair: JSON can spell that, UTF-8 cannot."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def _fill_content(records: Records, columns: Columns) -> None:
    kind, column = columns.kind, columns.content
    bound = f"max_{kind}_bytes"
    most = getattr(columns.limits, bound)
    for row, value in enumerate(records.content):
        if (size := size_above(value, most)) is not None:
            records.reject(row, *above(bound, column, size, most))
            value = None
        if kind == "text" and isinstance(value, bytes | str):
            value = _decode(value) if isinstance(value, bytes) else _checked(value)
            if isinstance(value, bytes):
                records.reject(row, reasons.INVALID_UTF8, f"column {column}: {value[:100]!r}")
                value = None
            elif is_blank(value):
                records.reject(row, reasons.BLANK["text"], f"column {column}: {value!r:.100}")
        if value is None:
            records.reject(row, reasons.NULL[kind], f"column {column} is null")
        elif isinstance(value, NotRead):
            records.reject(row, reasons.PATH_WITHOUT_BYTES, f"column {column}: {value}")
            value = None
        elif not isinstance(value, str if kind == "text" else bytes):
            records.reject(
                row,
                reasons.NOT_OF_KIND[kind],
                f"column {column}: {value!r:.100} is a {type(value).__name__}",
            )
            value = None
        records.content[row] = value


def _fill_vectors(records: Records, values: list[Any], column: str) -> None:
    width = records.content.shape[1]
    for row, value in enumerate(values):
        if value is None:
            records.reject(row, reasons.NULL["embedding"], f"column {column} is null")
            continue
        if isinstance(value, list) and None in value:
            records.reject(
                row, reasons.NULL["embedding"], f"column {column}: value {value.index(None)} is null"
            )
            continue
        try:
            # What is too large for float32 becomes infinite, and is rejected as such.
            with np.errstate(over="ignore"):
                vector = np.asarray(value, dtype=np.float32)
        except (TypeError, ValueError, OverflowError):
            records.reject(row, reasons.NOT_OF_KIND["embedding"], f"column {column}: {value!r:.150}")
            continue
        if vector.shape != (width,):
            records.reject(row, reasons.WRONG_WIDTH, f"{vector.size} values; expected {width}")
        else:
            records.content[row] = vector
    reject_not_finite(records)


def reject_not_finite(records: Records) -> None:
    """Reject the vectors that hold NaN or infinity, and clear them."""
    for row in np.flatnonzero(~np.isfinite(records.content).all(axis=1)):
        first = int(np.flatnonzero(~np.isfinite(records.content[row]))[0])
        records.reject(int(row), reasons.NOT_FINITE, f"value {first} is {records.content[row, first]}")
        records.content[row] = 0
