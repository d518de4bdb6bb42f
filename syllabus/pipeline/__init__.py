"""The batch job: from a data set to a manifest, on Apache Beam.

from syllabus.pipeline import Options, prepare
prepare(Options(source="data.parquet", output="manifest", text="text", label="class", encoder="hashing"))
"""

import sys

# ``python -m syllabus.pipeline`` has the working directory first among the places to import from: a file
# random.py in it would be executed. So before any other import, and only where this package was asked for:
if (
    sys.argv[:1] == ["-m"]
    and any(each.removeprefix("-m").startswith("syllabus.") for each in sys.orig_argv)
    and not (sys.flags.isolated or getattr(sys.flags, "safe_path", False))
):
    del sys.path[0]

from importlib import import_module
from typing import TYPE_CHECKING, Any

from syllabus.pipeline.errors import JobError, UserError

if TYPE_CHECKING:
    from syllabus.pipeline.options import Options
    from syllabus.pipeline.outcome import Outcome
    from syllabus.pipeline.preparation import prepare

__all__ = ["JobError", "Options", "Outcome", "UserError", "prepare"]

# Loaded when asked for: a command that needs none of them does not wait for pydantic and pyarrow.
_HOMES = {"Options": "options", "Outcome": "outcome", "prepare": "preparation"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"syllabus.pipeline.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
