"""States: what each entry may be, declared beside the class that writes it and checked before any is taken.

A state comes from a file that may be damaged, or another's. A class that loads one first has all of it
checked, each entry by its field, and only then changes itself: what is refused changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from syllabus.selectors.numerics.scalars import plain_scalar
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.validation import flag, kind_of, real, shown, whole

# (what errors begin with, the entry's name, its value) -> the value in plain types; a TrainerError otherwise.
Field = Callable[[str, str, Any], Any]
COUNT = 2**63 - 1  # the greatest that an int64 holds
ONLY_WEIGHTED = ("unit", "total")  # in states of curricula whose budgets count the units of a column
SHOWN = 3  # differences that an error tells
NEW = ("drawn",)  # in states of a user's own schedule; those made before are not asked for it


def mapping(where: str, name: str, value: Any) -> dict[str, Any]:
    """Return a dict whose keys are texts."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise TrainerError(f"{where}: {name} is a {kind_of(value)}; expected a dict whose keys are texts")
    return value


def entries(where: str, state: Any, fields: Mapping[str, Field], inside: str = "") -> dict[str, Any]:
    """Return the entries of `state` that have a field, each checked by it; others are passed over.

    Args:
        where: what errors begin with, such as ``GraB.load_state_dict``.
        state: a dict.
        fields: what each entry may be.
        inside: the entry of a larger state that this one is.

    Raises:
        TrainerError: no dict, an entry that is missing, or is not what its field asks for.
    """
    state = mapping(where, inside or "the state", state)
    missing = [name for name in fields if name not in state]
    if missing:
        raise TrainerError(f"{where}: {f'{inside} has' if inside else 'the state has'} no {missing[0]!r}")
    prefix = f"{inside}." if inside else ""
    return {name: field(where, prefix + name, state[name]) for name, field in fields.items()}


def integer(low: int = 0, high: int = COUNT) -> Field:
    """An integer in [low, high]."""
    return lambda where, name, value: whole(where, name, value, low, high)


def number(low: float = -math.inf, high: float = math.inf, *, finite: bool = True) -> Field:
    """A number in [low, high], neither NaN nor infinite but where that is allowed; an integer stays one."""

    def check(where: str, name: str, value: Any) -> float:
        found = real(where, name, value)
        if finite and not math.isfinite(found):
            raise TrainerError(f"{where}: {name}={found} is not finite")
        if found < low or found > high:
            raise TrainerError(f"{where}: {name}={found:g} is outside [{low:g}, {high:g}]")
        plain = plain_scalar(value)
        return plain if isinstance(plain, int) else found

    return check


def boolean(where: str, name: str, value: Any) -> bool:
    """True or False."""
    return flag(where, name, value)


def text(where: str, name: str, value: Any) -> str:
    """A text."""
    if not isinstance(value, str):
        raise TrainerError(f"{where}: {name} is a {kind_of(value)}; expected a text")
    return str(value)


def optional(field: Field) -> Field:
    """None, or what `field` asks for."""
    return lambda where, name, value: None if value is None else field(where, name, value)


def section(fields: Mapping[str, Field]) -> Field:
    """A dict with these entries."""
    return lambda where, name, value: entries(where, value, fields, name)


def row(*fields: Field) -> Field:
    """A list of as many entries as there are fields."""

    def check(where: str, name: str, value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple)) or len(value) != len(fields):
            raise TrainerError(f"{where}: {name} is {shown(value)}; expected {len(fields)} entries")
        return [field(where, f"{name}[{i}]", value[i]) for i, field in enumerate(fields)]

    return check


def several(field: Field, most: int = COUNT) -> Field:
    """A list of at most so many entries, each what `field` asks for."""

    def check(where: str, name: str, value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple)):
            raise TrainerError(f"{where}: {name} is a {kind_of(value)}; expected a list")
        if len(value) > most:
            raise TrainerError(f"{where}: {name} has {len(value)} entries; at most {most} are possible")
        return [field(where, f"{name}[{i}]", one) for i, one in enumerate(value)]

    return check


def tensor(shape: Iterable[int | None], *dtypes: torch.dtype) -> Field:
    """A dense tensor of one of these dtypes and this shape, None for any length; floats are finite."""
    expected = tuple(shape)

    def check(where: str, name: str, value: Any) -> torch.Tensor:
        wanted = f"{' or '.join(map(str, dtypes))} of shape {expected}".replace("None", "…")
        if (
            not isinstance(value, torch.Tensor)
            or value.is_meta
            or value.layout != torch.strided
            or value.dtype not in dtypes
            or value.ndim != len(expected)
            or any(size not in (None, found) for size, found in zip(expected, value.shape, strict=True))
        ):
            raise TrainerError(f"{where}: {name} is a {kind_of(value)}; expected {wanted}")
        if value.dtype.is_floating_point and not bool(torch.isfinite(value).all()):
            raise TrainerError(f"{where}: {name} has numbers that are not finite")
        return value.detach()

    return check


def differences(state: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Return what a state was made for that is not as `here`; empty where all is."""
    expected = {**dict.fromkeys(ONLY_WEIGHTED), **here}
    found = [
        f"{name} is {shown(state.get(name), 80)} in the state and {shown(value, 80)} here"
        for name, value in expected.items()
        if not (equal(state.get(name), value) or (name in NEW and name not in state))
    ]
    return "; ".join(found[:SHOWN]) + (f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else "")


def equal(one: Any, other: Any) -> bool:
    """Whether two plain values are the same; lists and tuples are alike, and no tensor is plain."""
    one, other = plain_scalar(one), plain_scalar(other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    numbers = (int, float)
    if isinstance(one, bool) or isinstance(other, bool) or not isinstance(one, numbers):
        return type(one) is type(other) and isinstance(one, (str, bool, type(None))) and one == other
    return isinstance(other, numbers) and one == other
