"""Checks of columns without types, by the first values in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from syllabus.pipeline.errors import UserError
from syllabus.pipeline.sources.filters import values_problem
from syllabus.pipeline.sources.labels import FLOAT_LABEL, NotALabel, number_of
from syllabus.pipeline.sources.records import Columns


def are_floats(labels: list[Any]) -> bool:
    """Return whether some labels are floating-point numbers."""
    return any(isinstance(label, float) for label in labels)


def check_untyped(
    where: str,
    columns: Columns,
    values: dict[str, list[Any]],
    floats: Callable[[list[Any]], bool] = are_floats,
) -> None:
    """Refuse a filter, or a label, that the first values of a file's columns show to be of another type.

    Args:
      where: the file.
      columns: that were asked for.
      values: the first values of each.
      floats: whether labels are numbers, and no classes.
    """
    for condition in columns.where:
        if problem := values_problem(condition, values[condition.column]):
            raise UserError(f"{where}: where {str(condition)!r}: {condition.column!r} {problem}")
    labels = [label for label in values[columns.label] if label not in (None, b"")] if columns.label else []
    if columns.numeric:
        if labels and not any(map(_is_number, labels)):
            raise UserError(
                f"{where}: label {columns.label!r} holds no number, such as {labels[0]!r:.60};"
                " --bins cuts numbers"
            )
    elif floats(labels):
        raise UserError(f"{where}: label {columns.label!r} {FLOAT_LABEL}")


def _is_number(value: Any) -> bool:
    try:
        number_of(value)
    except NotALabel:
        return False
    return True
