"""Checks of options: scalars of numpy and torch are taken as Python's own, anything else is one clear error.

A seed of numpy's would draw other examples than the same number of Python's (a key is made of what it reads
as), and neither JSON nor ``torch.load(weights_only=True)`` takes a state that holds one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from syllabus.selectors.numerics.scalars import plain_scalar
from syllabus.trainer.errors import TrainerError


def whole(where: str, name: str, value: Any, low: int | None = None, high: int | None = None) -> int:
    """Return an integer of Python's, numpy's or torch's (a tensor of no dimensions) as Python's.

    Args:
        where: what errors begin with, such as ``Curriculum``.
        name: of the option.
        value: to be checked; True and 3.0 are no integers.
        low: the least that is allowed.
        high: the greatest.

    Raises:
        TrainerError: another type; out of bounds; more than 64 bits.
    """
    plain = plain_scalar(value)
    if isinstance(plain, bool) or not isinstance(plain, int):
        raise TrainerError(f"{where}: {name}={shown(value)} is a {kind_of(value)}; expected an integer")
    if not -(2**63) <= plain < 2**64:
        raise TrainerError(f"{where}: {name} is an integer of more than 64 bits")
    if high is not None and low is not None and not low <= plain <= high:
        raise TrainerError(f"{where}: {name}={plain} is outside [{low}, {high}]")
    if low is not None and plain < low:
        raise TrainerError(f"{where}: {name}={plain} is below {low}")
    return plain


def real(where: str, name: str, value: Any) -> float:
    """Return a number of Python's, numpy's or torch's as a float.

    One of fewer than 64 bits is the shortest decimal that it reads as: ``np.float32(0.1)`` is 0.1.

    Raises:
        TrainerError: another type; bounds, and so NaN, are the caller's.
    """
    plain = plain_scalar(value)
    if isinstance(plain, bool) or not isinstance(plain, (int, float)):
        raise TrainerError(f"{where}: {name}={shown(value)} is a {kind_of(value)}; expected a number")
    try:
        number = float(plain)
    except OverflowError:
        raise TrainerError(f"{where}: {name} is an integer that no float can hold") from None
    return number


def flag(where: str, name: str, value: Any) -> bool:
    """Return a truth value of Python's, numpy's or torch's as Python's.

    Raises:
        TrainerError: another type: of a text or a number it would be a guess.
    """
    plain = plain_scalar(value)
    if not isinstance(plain, bool):
        raise TrainerError(f"{where}: {name}={shown(value)} is a {kind_of(value)}; expected True or False")
    return plain


def names(where: str, name: str, value: Any) -> tuple[str, ...]:
    """Return a sequence of names as a tuple.

    Raises:
        TrainerError: one text, whose letters would be taken for names; anything but a sequence of texts.
    """
    if isinstance(value, str):
        raise TrainerError(f"{where}: {name}={value!r} is a text; give a sequence of names")
    if not isinstance(value, (Sequence, set, frozenset)) or not all(isinstance(one, str) for one in value):
        raise TrainerError(
            f"{where}: {name}={shown(value)} is a {kind_of(value)}; expected a sequence of names"
        )
    return tuple(map(str, value))


def one_of(where: str, name: str, value: Any, known: Sequence[str]) -> str:
    """Return a name as Python's str (``np.str_`` is another type to a state).

    Raises:
        TrainerError: it is not among the `known`.
    """
    if not isinstance(value, str) or value not in known:
        raise TrainerError(f"{where}: {name} {shown(value)} is unknown; known: {', '.join(known)}")
    return str(value)


def column(where: str, values: Any) -> None:
    """Raise a TrainerError if `values` are an array or a tensor of other than one dimension."""
    shape = getattr(values, "shape", None)
    if isinstance(shape, (tuple, list)) and len(shape) != 1:
        raise TrainerError(f"{where}: have shape {tuple(shape)}; expected one a row, (rows,)")


def kind_of(value: Any) -> str:
    """Return what a value is, for errors: its type; of arrays and tensors dtype and shape as well."""
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return f"{type(value).__name__} of {value.dtype} of shape {tuple(value.shape)}"
    return type(value).__name__


def shown(value: Any, most: int = 60) -> str:
    """Return a value in one line of at most so many letters, for errors."""
    try:
        text = " ".join(repr(value).split())
    except (ValueError, RecursionError):  # a number of thousands of digits; a list inside itself
        return f"{type(value).__name__} too large to show"
    return text if len(text) <= most else f"{text[: most - 1]}…"
