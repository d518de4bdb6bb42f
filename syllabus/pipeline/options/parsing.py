"""Options made from plain values: a mistake is one line that says where it was made."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, get_args

from pydantic import ValidationError

from syllabus.pipeline.errors import UserError, suggestion
from syllabus.pipeline.options.options import Options


def make_options(
    values: dict[str, Any], where: str | Mapping[str, str] = "options", file: Collection[str] = ()
) -> Options:
    """Return the options in `values`; a mistake is one line that begins with where it was made.

    `where` names the place of all options, or of each by name, with ``""`` for that of the whole; `file`
    the options that come from a file, where others come from flags, which win over it.
    """
    places: Mapping[str, str] = {"": where} if isinstance(where, str) else where

    def mistake(name: str, message: str) -> UserError:
        return UserError(f"{places.get(name, places[''])}: {message}")

    for name in sorted(set(values) - set(Options.model_fields)):
        raise mistake(name, suggestion("option", name, Options.model_fields))
    try:
        return Options.model_validate(values, context={"file": file})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "missing":
            raise mistake("", f"option {name!r} is missing") from None
        if first["type"] == "literal_error":
            raise mistake(name, suggestion(name, str(first["input"]), choices(name))) from None
        if not name:
            raise mistake("", message) from None
        raise mistake(name, f"{name}={values[name]!r}: {message[0].lower()}{message[1:]}") from None


def choices(name: str) -> tuple[str, ...]:
    """Return the values that an option of a fixed choice may have; none for any other."""

    def literals(kind: Any) -> tuple[str, ...]:
        found = get_args(kind)
        if all(isinstance(each, str) for each in found):
            return found
        return tuple(value for each in found if each is not ... for value in literals(each))

    return literals(Options.model_fields[name].annotation)
