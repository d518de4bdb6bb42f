"""Options from a TOML file and flags: the same names; a flag wins over the file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from syllabus.manifests.errors import first_line
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.options import LOCATIONS, Options, make_options

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_options(
    config: Path | None, flags: dict[str, Any], defaults: dict[str, Any] | None = None
) -> Options:
    """Return the options of a job from a TOML file, if any, and the flags that were given.

    `defaults` holds for what neither of them names.

    Relative locations in the file are relative to the file's directory, so that a job can be started
    from anywhere; those of flags are relative to the working directory.
    """
    values: dict[str, Any] = {}
    if config is not None:
        values = read_toml(config)
        values = {name: _from(config.parent.absolute(), name, value) for name, value in values.items()}
    places = {"": str(config) if config is not None else "options"}
    places |= {name: "--" + name.replace("_", "-") for name in flags}
    return make_options({**(defaults or {}), **values, **flags}, places, set(values) - set(flags))


def read_toml(config: Path) -> dict[str, Any]:
    """Return what a TOML file holds.

    Raises:
        UserError: there is none, or it is not TOML.
    """
    try:
        return tomllib.loads(config.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"{config}: no such file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{config}: cannot be read: {error}") from None
    except OSError as error:
        raise UserError(f"{config}: cannot be read: {error.strerror or error}") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{config}: is not TOML: {error}") from None
    except RecursionError:
        raise UserError(f"{config}: cannot be read as TOML: brackets are nested too deep") from None
    except ValueError as error:  # a whole number of thousands of digits
        raise UserError(f"{config}: cannot be read as TOML: {first_line(error)}") from None


def _from(directory: Path, name: str, value: Any) -> Any:
    """A location of the file, relative to the file's directory."""
    if not isinstance(value, str) or not value or "://" in value:
        return value
    try:
        path = directory / Path(value).expanduser()
    except RuntimeError:  # the home of somebody unknown: what names a place refuses it
        return value
    # The name of an encoder is a path where there is one.
    return (
        str(path)
        if name in LOCATIONS or (name == "encoder" and value != "hashing" and os.path.isdir(path))  # noqa: PTH112
        else value
    )
