"""``syllabus tune``: a hyperparameter search described by a TOML file."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from syllabus.manifests.errors import ManifestError, first_line
from syllabus.pipeline.command_line.config import read_toml
from syllabus.pipeline.errors import JobError, UserError, suggestion

LOCATIONS = ("manifest", "folder", "storage")
FUNCTIONS = ("train", "data")
REQUIRED = ("train", "space", "manifest", "epochs")


def tune_from(config: Path) -> tuple[str, list[Path]]:
    """Run the search of a TOML file; return its summary, and the pictures that were drawn.

    Keys are the arguments of `syllabus.trainer.tuning.Search`; ``train`` and ``data`` are
    ``module:function``, found beside the file or installed. Relative locations are relative to the file.

    Raises:
        UserError: a key or value that is none; a function that cannot be found.
        JobError: no run of the search has a score.
    """
    from syllabus.trainer import Curriculum, TrainerError
    from syllabus.trainer.tuning import Search, draw

    values = read_toml(config)
    known = list(inspect.signature(Search).parameters)
    for name in values:
        if name not in known:
            raise UserError(f"{config}: {suggestion('key', name, known)}")
    for name in REQUIRED:
        if name not in values:
            raise UserError(f"{config}: {name} is missing")
    here = config.parent.absolute()
    for name in FUNCTIONS:
        if name in values:
            values[name] = _function(config, name, values[name])
    for name in LOCATIONS:
        if isinstance(values.get(name), str) and "://" not in values[name]:
            values[name] = str(here / Path(values[name]).expanduser())
    for name, kind, what in (
        *((name, str, "text") for name in (*LOCATIONS, "name")),
        ("curriculum", dict, "table"),
        ("configurations", int, "whole number"),
        ("finalists", int, "whole number"),
        ("learning_rate", (str, list), "text, or a list of them"),
    ):
        if name in values and (not isinstance(values[name], kind) or isinstance(values[name], bool)):
            raise UserError(f"{config}: {name}={values[name]!r} is no {what}")
    options = list(inspect.signature(Curriculum).parameters)
    for name in values.get("curriculum", {}):
        if name not in options:
            raise UserError(f"{config}: curriculum: {suggestion('key', name, options)}")
    folder = Path(values.setdefault("folder", str(here / "tuning")))
    if isinstance(values.get("scheme"), list):
        values["scheme"] = [tuple(rung) if isinstance(rung, list) else rung for rung in values["scheme"]]
    try:
        search = Search(**values)
    except (TrainerError, ManifestError) as error:
        raise UserError(f"{config}: {error}") from None
    try:
        summary = search.run()
    except TrainerError as error:
        raise JobError(str(error)) from error
    drawn = []
    for suffix in (".html", ".png"):
        path = folder / f"{search.name}{suffix}"
        try:
            draw(summary, path)
        except TrainerError:  # the library is not installed
            continue
        drawn.append(path)
    return str(summary), drawn


def _function(config: Path, name: str, value: Any) -> Callable[..., Any]:
    """Return the function that ``module:function`` names; its file may lie beside the configuration."""
    module, _, attribute = value.partition(":") if isinstance(value, str) else ("", "", "")
    if not module or not attribute:
        raise UserError(f"{config}: {name}={value!r} is not module:function")
    beside = str(config.parent.absolute())
    if beside not in sys.path:
        sys.path.append(beside)  # last: a file of a library's name must not be taken for the library
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except Exception as error:  # whatever the user's module raises
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise UserError(f"{config}: {name}={value!r}: cannot import {module!r}: {reason}") from error
    if not callable(found):
        raise UserError(f"{config}: {name}={value!r}: {module!r} has no function {attribute!r}")
    return found  # type: ignore[no-any-return]
