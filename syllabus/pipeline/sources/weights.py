"""Weights of a source: what an example costs, a whole number of tokens, bytes or the like."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa

from syllabus.manifests.format import LARGEST_TOTAL
from syllabus.pipeline.sources.labels import NotALabel, number_of


class NotAWeight(ValueError):
    """A value that is no whole number of at least 1."""


def weight_of(value: Any) -> int | None:
    """Return a weight; None where it is null. CSV has it as text, and a column with nulls may be of floats.

    Raises:
      NotAWeight: it is no number, not whole, below 1, or above 2^53, which float64 no longer counts.
    """
    if value is None or value == b"":  # an empty cell of CSV holds no number
        return None
    shown = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    number = value if type(value) is int else _exactly(value)
    if not 1 <= number <= LARGEST_TOTAL:
        raise NotAWeight(f"{shown} is outside [1, 2^53]")
    if number != int(number):
        raise NotAWeight(f"{shown} is not whole")
    return int(number)


def _exactly(value: Any) -> float | Decimal:
    """Return a finite number; text and decimals keep the digits that a float would round away."""
    try:
        number = number_of(value)
        if isinstance(value, bytes | str | Decimal):
            return Decimal(value.decode("ascii") if isinstance(value, bytes) else value)
    except NotALabel as error:
        raise NotAWeight(str(error)) from None
    except ArithmeticError:  # an exponent that no decimal has
        raise NotAWeight(f"{value!r:.100} is no number") from None
    return number


def weight_problem(kind: pa.DataType) -> str | None:
    """Return what speaks against a typed column as one of weights; its values are looked at row by row."""
    numbers = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return None if numbers or pa.types.is_null(kind) else f"is a column of {kind}; a weight is a whole number"
