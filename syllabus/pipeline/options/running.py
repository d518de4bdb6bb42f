"""Options that say where and how fast the job runs."""

from __future__ import annotations

from pydantic import Field

from syllabus.pipeline.options.base import Group


class Running(Group):
    """The runner, its workers and their limits."""

    workers: int = Field(1, ge=1, description="Workers of the embedded runner.")
    threads_per_worker: int = Field(
        1, ge=1, description="Threads of a worker's matrix products; sets their last bits."
    )
    memory_per_worker: float = Field(4.0, gt=0, description="GB that a worker may hold of vectors.")
    max_reject_rate: float = Field(0.01, ge=0, le=1, description="Share of bad records that stops the job.")
    runner: str = Field(
        "FnApiRunner", description="Any portable Beam runner; its own options follow after --."
    )
    runner_options: tuple[str, ...] = Field((), description="Options of the runner, one a string.")
    overwrite: bool = Field(False, description="Replace a manifest that is already there.")
