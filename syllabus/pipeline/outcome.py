"""The outcome of a job: its manifest, and what each stage did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


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
    ignored: tuple[str, ...]
    """Files in the source directory of a kind that is not read."""
