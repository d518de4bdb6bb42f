"""The outcome of a job: its manifest, and the account that is kept of its stages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from syllabus.manifests.errors import ManifestError
from syllabus.pipeline.errors import JobError, UserError


@dataclass
class StageRun:
    """The work of one stage: how many shards it found and made, and how long it took."""

    stage: str
    unit: str
    reused: int = 0
    new: int = 0
    seconds: float = 0.0
    counters: dict[str, int] = field(default_factory=dict)


@dataclass
class Outcome:
    """The result of a job."""

    manifest: str
    document: dict[str, Any]
    stages: list[StageRun]
    ignored: tuple[tuple[str, str], ...]
    """Names in the source directory that are not read, each with the reason."""


@contextmanager
def timed(stages: list[StageRun], name: str, unit: str) -> Iterator[StageRun]:
    """Time a stage, give its failures a name, and add it to `stages` where it ends well."""
    run = StageRun(name, unit)
    start = time.perf_counter()
    try:
        yield run
    except ManifestError as error:
        raise UserError(str(error)) from None
    except OSError as error:
        raise JobError(f"{name}: {error}") from None
    run.seconds = time.perf_counter() - start
    stages.append(run)
