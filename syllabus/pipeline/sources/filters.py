"""Filters: whether a row's value fulfils a condition, by the type of its column."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import pyarrow as pa

from syllabus.manifests.ids import id_text
from syllabus.pipeline.conditions import Condition
from syllabus.pipeline.sources.labels import NotAClass, NotALabel, label_text, number_text
from syllabus.pipeline.sources.sizes import TooLarge


class NoPythonValue(str):
    """What a column holds where Python has no value for it: the type, the number and why."""

    __slots__ = ()


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


def holds(condition: Condition, value: Any) -> bool:
    """Return whether a raw value of the column fulfils a condition; a null fulfils none, not even ``!=``.

    Equality is that of texts, or of numbers where value and condition are ones. Order is that of numbers,
    times or texts, by the value's type; an untyped cell of CSV is a number where the condition's is.
    """
    if value is None or (isinstance(value, bytes) and not value):
        return condition.operator in ("=", "in") and value is not None and "" in condition.values
    if isinstance(value, NoPythonValue | TooLarge | NotAClass):
        return False
    if condition.operator in ("=", "in"):
        return any(_equal(value, wanted) for wanted in condition.values)
    if condition.operator == "!=":
        return cell_text(value) is not None and not _equal(value, condition.values[0])
    try:
        one, other = _ordered(value, condition.values[0])
        return bool(_COMPARE[condition.operator](one, other))
    except (ValueError, TypeError, ArithmeticError):  # such as a text among numbers
        return False


def type_problem(condition: Condition, kind: pa.DataType) -> str | None:
    """Return what speaks against a condition on a column of an Arrow type; None where nothing does."""
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    for value in condition.values:
        if is_number and number_in(value) is None:
            return f"is a column of {kind}, and {value!r:.60} is no number"
        if pa.types.is_boolean(kind) and value not in ("true", "false"):
            return f"is a column of truth values, true and false; got {value!r:.60}"
        if condition.operator not in _COMPARE:
            continue
        if pa.types.is_boolean(kind):
            return f"is a column of truth values, which {condition.operator} does not compare"
        if pa.types.is_duration(kind) or pa.types.is_interval(kind):
            return f"is a column of {kind}, which {condition.operator} does not compare"
        if pa.types.is_date(kind) or pa.types.is_timestamp(kind) or pa.types.is_time(kind):
            try:
                _time(_EXAMPLES[_family(kind)], value)
            except ValueError:
                return f"is a column of {kind}, and {value!r:.60} is none, such as 2026-01-31"
        elif not is_number and number_in(value) is not None and not pa.types.is_null(kind):
            return f"is a column of {kind}, in whose order {value} is no number; compare with a text"
    return None


def values_problem(condition: Condition, values: list[Any]) -> str | None:
    """Return what speaks against comparing the first values of an untyped column; None where nothing does."""
    there = [value for value in values if value not in (None, b"", "")]
    if condition.operator not in _COMPARE or not there:
        return None
    wanted = condition.values[0]
    for value in there:
        try:
            _ordered(value, wanted)
        except (ValueError, TypeError, ArithmeticError):
            continue
        return None
    return f"holds nothing that {condition.operator} compares with {wanted!r:.60}, such as {there[0]!r:.60}"


def number_in(text: str) -> int | float | Decimal | None:
    """Return the finite number that a text spells; None for other texts."""
    try:
        return int(text) if text.strip().lstrip("+-").isdecimal() else _finite(Decimal(text.strip()))
    except (ValueError, InvalidOperation):
        return None


def _finite(number: Decimal) -> Decimal:
    if not number.is_finite():
        raise ValueError
    return number


def cell_text(value: Any) -> str | None:
    """Return a value as the text that ``--where`` compares: None where it is null or has no text."""
    if isinstance(value, NoPythonValue | TooLarge | NotAClass):
        return None
    if isinstance(value, float | np.floating):
        return number_text(float(value))
    try:
        return label_text(value)
    except UnicodeError:
        return None
    except NotALabel:
        pass
    try:
        return id_text(value)  # a date, a decimal number, a UUID
    except TypeError:
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal | np.floating) and not isinstance(value, bool)


def _equal(value: Any, wanted: str) -> bool:
    if cell_text(value) == wanted:
        return True
    if not _is_number(value) or (number := number_in(wanted)) is None:
        return False
    return bool(value == _like(value, number))


def _like(value: Any, number: int | float | Decimal) -> Any:
    """The number as `value`'s type has it: a float is compared with what is nearest to what was written."""
    if not isinstance(value, float | np.floating):
        return number
    with np.errstate(over="ignore"):
        return type(value)(float(Decimal(number)))  # by way of Decimal: more than floats hold is infinite


def _ordered(value: Any, wanted: str) -> tuple[Any, Any]:
    """Value and bound in one type.

    Raises:
      ValueError, TypeError: they have no order.
    """
    number = number_in(wanted)
    if isinstance(value, bytes):
        value = value.decode("utf-8")
        if number is not None:  # CSV
            found = number_in(value)
            if found is None:
                raise ValueError
            return found, number
    if isinstance(value, str):
        if number is not None:
            raise ValueError
        return value, wanted
    if _is_number(value):
        if number is None or value != value:  # NaN
            raise ValueError
        return value, _like(value, number)
    if isinstance(value, datetime.date | datetime.time):
        return value, _time(value, wanted)
    raise TypeError


_EXAMPLES: dict[str, Any] = {
    "date": datetime.date(2000, 1, 1),
    "timestamp": datetime.datetime(2000, 1, 1),
    "time": datetime.time(),
}


def _family(kind: pa.DataType) -> str:
    return "date" if pa.types.is_date(kind) else "timestamp" if pa.types.is_timestamp(kind) else "time"


def _time(value: Any, wanted: str) -> Any:
    """The date or time that a text spells in ISO 8601, of the kind of `value` and, unless said, its zone."""
    if isinstance(value, datetime.datetime):
        found = datetime.datetime.fromisoformat(wanted)
        if value.tzinfo is not None and found.tzinfo is None:
            return found.replace(tzinfo=value.tzinfo)
        return (
            found.astimezone(datetime.timezone.utc).replace(tzinfo=None)
            if (found.tzinfo is not None and value.tzinfo is None)
            else found
        )
    kind = datetime.date if isinstance(value, datetime.date) else datetime.time
    return kind.fromisoformat(wanted)
