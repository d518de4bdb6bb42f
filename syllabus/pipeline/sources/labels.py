"""Labels of a source: classes, numbers that are to be cut into bins, or lists of classes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from syllabus.pipeline.sources.blanks import is_blank
from syllabus.pipeline.sources.reasons import BLANK, INVALID_UTF8, NOT_A_CLASS, NOT_A_NUMBER
from syllabus.pipeline.sources.sizes import UNBOUNDED, TooLarge, above, size_above

FEW_LABELS = 50
"""Distinct values that a label may have, however few the examples."""
FLOAT_LABEL = (
    "holds floating-point numbers; a label is a class: store it as integers or strings, cut it into quantiles"
    " with --bins, or leave --label out for k-means partitions (--clusters)"
)


class NotAClass(str):
    """Why a value is none of a column's classes."""

    __slots__ = ()


class NotALabel(ValueError):
    """A label that is no class, or no number where one is asked for."""


@dataclass
class Labels:
    """The labels of one chunk.

    `texts` holds each as the manifest has it: a class by its name, a number in its shortest form, a list as
    a JSON array; None where it is null or bad. `numbers` is there where numbers are asked for, `lists`
    where any row has a list. `bad` maps a row to (reason, detail), and raw bytes are not UTF-8.
    """

    texts: list[str | None]
    numbers: list[float | None] | None = None
    lists: list[list[str] | None] | None = None
    bad: dict[int, tuple[str, str]] = field(default_factory=dict)


def read_labels(values: list[Any], column: str, numeric: bool, most: int = UNBOUNDED) -> Labels:
    """Return the labels in a column's raw values, of at most `most` bytes; each bad one costs its row."""
    labels = Labels([None] * len(values), [None] * len(values) if numeric else None)
    for row, value in enumerate(values):
        try:
            if value is None or (numeric and value == b""):  # an empty cell of CSV holds no number
                continue
            if numeric and not isinstance(value, TooLarge):
                number = number_of(value)
                assert labels.numbers is not None
                labels.numbers[row], labels.texts[row] = number, number_text(number)
            elif (size := size_above(value, most)) is not None:
                labels.bad[row] = above("max_label_bytes", column, size, most)
            elif isinstance(value, list):
                if labels.lists is None:
                    labels.lists = [None] * len(values)
                found = list(dict.fromkeys(_members(value)))
                text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
                if (size := size_above(text, most)) is not None:
                    labels.bad[row] = above("max_label_bytes", column, size, most)
                    continue
                labels.lists[row], labels.texts[row] = found, text
                if any(map(is_blank, found)):
                    labels.bad[row] = (BLANK["label"], f"column {column}: {found!r:.100}")
            else:
                text = labels.texts[row] = label_text(value)
                if text is not None and is_blank(text):
                    labels.bad[row] = (BLANK["label"], f"column {column}: {text!r:.100}")
        except UnicodeError:
            shown = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
            labels.bad[row] = (INVALID_UTF8, f"column {column}: {shown[:100]!r}")
        except NotALabel as error:
            reason = NOT_A_NUMBER if numeric else NOT_A_CLASS
            labels.bad[row] = (reason, f"column {column}: {error}")
    return labels


def label_text(value: Any) -> str | None:
    """Return a label as text: a class is a string, an integer or a truth value.

    Raises:
      NotALabel: it is of another type.
      UnicodeError: it has no form in UTF-8.
    """
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, NotAClass):
        raise NotALabel(str(value))
    if value is None or isinstance(value, str):
        if value is not None and not value.isascii():
            value.encode("utf-8")  # half a surrogate pair: JSON can spell that
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        raise NotALabel(f"{value!r} is a floating-point number")
    raise NotALabel(f"{value!r} is a {type(value).__name__}")


def number_of(value: Any) -> float:
    """Return a finite number; CSV has it as text.

    Raises:
      NotALabel: it is none, or is not finite.
    """
    try:
        if isinstance(value, bool | list):
            raise ValueError
        number = float(value.decode("ascii") if isinstance(value, bytes) else value)
    except (TypeError, ValueError, OverflowError):
        raise NotALabel(f"{value!r:.100} is no number") from None
    if not math.isfinite(number):
        raise NotALabel(f"{value!r:.100} is not finite")
    return number + 0.0  # -0.0 is 0.0


def number_text(number: float) -> str:
    """Return the shortest text that gives a number back, the same whatever type it had in the source."""
    return repr(number).removesuffix(".0")


def _members(values: list[Any]) -> Iterator[str]:
    for value in values:
        text = label_text(value)
        if text is None:
            raise NotALabel(f"{values!r:.100} holds a null")
        yield text
