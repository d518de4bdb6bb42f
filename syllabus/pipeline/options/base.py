"""The base class of all groups of options."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Group(BaseModel):
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
        if value == "":
            raise ValueError("is empty")
        return value


def absolute_path(value: str) -> str:
    """Return a path that does not depend on the working directory: workers have another than the job."""
    return os.path.abspath(Path(value).expanduser())  # noqa: PTH100 - Path keeps the .. in a path
