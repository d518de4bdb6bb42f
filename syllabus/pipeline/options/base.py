"""The base class of all groups of options."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from syllabus.pipeline.errors import UserError, quoted, suggestion

LONGEST = 4096
"""Characters of a string: no path is longer."""


class _OneLine(type(BaseModel)):  # type: ignore[misc]
    """Makes a `UserError` of what pydantic says of a mistake in four lines, and without the option's name."""

    def __call__(cls, *positional: Any, **values: Any) -> Any:
        try:
            return super().__call__(*positional, **values)
        except ValidationError as error:
            _, line = mistake(error, cls)
            raise UserError(f"options: {line}") from None


class Group(BaseModel, metaclass=_OneLine):
    """A group of options that belong together, with the checks that need no other group."""

    # Strict: "3" is no number and 1 is no truth value, in TOML as in Python.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any, info: ValidationInfo) -> Any:
        """An option that may be given again is a tuple; one value, or a list of TOML, becomes one."""
        if get_origin(cls.model_fields[info.field_name or ""].annotation) is not tuple:
            return value
        if isinstance(value, str | int | float):
            return (value,)
        return tuple(value) if isinstance(value, list) else value

    @field_validator("*")
    @classmethod
    def _not_empty(cls, value: Any) -> Any:
        for each in value if isinstance(value, tuple) else (value,):
            if each == "":
                raise ValueError("is empty")
            if isinstance(each, str):
                _check_text(each)
        return value


def _check_text(value: str) -> None:
    """Refuse what no file, column or model is called."""
    if len(value) > LONGEST:
        raise ValueError(f"has {len(value):,} characters; at most {LONGEST:,}")
    if "\0" in value:
        raise ValueError("holds a NUL byte")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("is not Unicode: no UTF-8") from None


def absolute_path(value: str) -> str:
    """Return a path that does not depend on the working directory: workers have another than the job.

    Raises:
      ValueError: no path can be so.
    """
    if "\0" in value:
        raise ValueError("holds a NUL byte, which no path has")
    try:
        return os.path.abspath(Path(value).expanduser())  # noqa: PTH100 - Path keeps the .. in a path
    except RuntimeError:
        raise ValueError(f"there is no home directory {value.partition('/')[0]!r}") from None


def mistake(error: ValidationError, options: Any) -> tuple[str, str]:
    """Return the option of the first mistake, ``""`` for the whole, and the line that says what is wrong."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return "", f"option {name!r} is missing"
    if first["type"] == "extra_forbidden":
        return name, suggestion("option", name, options.model_fields)
    if first["type"] == "literal_error" and isinstance(first["input"], str):
        return name, suggestion(name, first["input"], choices_of(options.model_fields[name].annotation))
    if not name:
        return "", message
    return name, f"{name}={quoted(first['input'])}: {message[0].lower()}{message[1:]}"


def choices_of(kind: Any) -> tuple[str, ...]:
    """Return the strings that a type allows; none where it allows any."""
    found = get_args(kind)
    if all(isinstance(each, str) for each in found):
        return found
    inner: Iterable[Any] = (each for each in found if each is not ...)
    return tuple(value for each in inner for value in choices_of(each))
