"""Factories of torch modules: found by ``package.module:factory``, and called.

A factory is code, and runs. Its module is looked for among what is installed, and then in the directory that
the job was started from, which nothing else is imported from.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import PathFinder
from typing import Any

from syllabus.manifests.errors import first_line
from syllabus.pipeline.errors import UserError


@dataclass(frozen=True)
class _Directory:
    """Finds modules in a directory; the last of `sys.meta_path`, it is asked for what nothing else has.

    In `sys.path`, even last, a file google.py would be taken for the package of that name, which has no
    `__init__.py`.
    """

    directory: str

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return where a module that lies in the directory itself is loaded from."""
        return PathFinder.find_spec(name, [self.directory], target) if path is None else None


def _look_in(directory: str | None) -> None:
    finder = _Directory(directory) if directory is not None else None
    if finder is not None and finder not in sys.meta_path:
        sys.meta_path.append(finder)


def check_module(name: str, directory: str | None = None) -> None:
    """Refuse ``package.module:factory`` whose package is nowhere; nothing is imported."""
    _look_in(directory)
    top = name.partition(":")[0].partition(".")[0]
    try:
        found = importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):  # no name, or of a module that has no place
        found = top in sys.modules
    if not found:
        raise UserError(
            f"encoder {name!r}: cannot import {name.partition(':')[0]!r}: No module named {top!r}"
        )


def construct(name: str, directory: str | None = None) -> tuple[Any, Callable[[Any], Any]]:
    """Return what the factory ``package.module:factory`` makes; what is wrong with it is a `UserError`.

    `directory` becomes the last place that this process imports from.
    """
    import torch

    _look_in(directory)
    path, _, attribute = name.partition(":")
    try:
        factory = getattr(importlib.import_module(path), attribute)
    except ImportError as error:
        raise UserError(f"encoder {name!r}: cannot import {path!r}: {error}") from None
    except (AttributeError, ValueError):
        raise UserError(f"encoder {name!r}: module {path!r} has no {attribute!r}") from None
    except Exception as error:  # the module's own
        raise UserError(f"encoder {name!r}: importing {path!r} fails: {line_of(error)}") from None
    try:
        made = factory()
    except Exception as error:  # the factory's own
        raise UserError(f"encoder {name!r}: the factory fails: {line_of(error)}") from None
    if not (isinstance(made, tuple) and len(made) == 2 and callable(made[1])):
        raise UserError(
            f"encoder {name!r}: the factory returned {type(made).__name__}; expected (module, preprocess)"
        )
    if not isinstance(made[0], torch.nn.Module):
        raise UserError(
            f"encoder {name!r}: the factory made a {type(made[0]).__name__}; expected a torch.nn.Module"
        )
    return made


def line_of(error: BaseException) -> str:
    """Return an exception's kind and the first line of what it says."""
    return f"{type(error).__name__}: {first_line(error)}"
