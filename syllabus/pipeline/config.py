"""Options from a TOML file and flags: the same names; a flag wins over the file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from syllabus.pipeline.errors import UserError
from syllabus.pipeline.options import Options, make_options

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LOCATIONS = ("source", "output", "work_dir")


def read_options(config: Path | None, flags: dict[str, Any]) -> Options:
    """Return the options of a job from a TOML file, if any, and the flags that were given.

    Relative locations in the file are relative to the file's directory, so that a job can be started
    from anywhere; those of flags are relative to the working directory.
    """
    values: dict[str, Any] = {}
    if config is not None:
        try:
            values = tomllib.loads(config.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{config}: no such file") from None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{config}: cannot be read: {error}") from None
        except tomllib.TOMLDecodeError as error:
            raise UserError(f"{config}: is not TOML: {error}") from None
        for name in LOCATIONS:
            value = values.get(name)
            if isinstance(value, str) and "://" not in value:
                values[name] = str(config.parent.absolute() / Path(value).expanduser())
    values.update(flags)
    return make_options(values, str(config) if config is not None else "options")
