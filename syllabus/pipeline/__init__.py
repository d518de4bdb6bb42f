"""The batch job: from a data set to a manifest, on Apache Beam.

from syllabus.pipeline import Options, prepare
prepare(Options(source="data.parquet", output="manifest", text="text", label="class", encoder="hashing"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syllabus.pipeline.errors import JobError, UserError
from syllabus.pipeline.outcome import Outcome

if TYPE_CHECKING:
    from syllabus.pipeline.job import prepare
    from syllabus.pipeline.options import Options

__all__ = ["JobError", "Options", "Outcome", "UserError", "prepare"]


def __getattr__(name: str) -> Any:
    # Beam costs seconds to import: the commands that only read a manifest do not wait for it.
    if name == "Options":
        from syllabus.pipeline.options import Options

        return Options
    if name == "prepare":
        from syllabus.pipeline.job import prepare

        return prepare
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
