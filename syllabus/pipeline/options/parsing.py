"""Options made from plain values: a mistake is one line that says where it was made."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from syllabus.pipeline.errors import UserError, suggestion
from syllabus.pipeline.options.base import choices_of, mistake
from syllabus.pipeline.options.options import Options


def make_options(
    values: dict[str, Any], where: str | Mapping[str, str] = "options", file: Collection[str] = ()
) -> Options:
    """Return the options in `values`; a mistake is one line that begins with where it was made.

    `where` names the place of all options, or of each by name, with ``""`` for that of the whole; `file`
    the options that come from a file, where others come from flags, which win over it.
    """
    places: Mapping[str, str] = {"": where} if isinstance(where, str) else where
    for name in sorted(set(values) - set(Options.model_fields)):
        line = suggestion("option", name, Options.model_fields)
        raise UserError(f"{places.get(name, places[''])}: {line}")
    try:
        return Options.model_validate(values, context={"file": file})
    except ValidationError as error:
        name, line = mistake(error, Options)
        raise UserError(f"{places.get(name, places[''])}: {line}") from None


def choices(name: str) -> tuple[str, ...]:
    """Return the values that an option of a fixed choice may have; none for any other."""
    return choices_of(Options.model_fields[name].annotation)
