"""What the options of rules may be."""

from __future__ import annotations

import math
from typing import Any

from syllabus.trainer.errors import TrainerError

SOURCES = ("average", "probe")


def finite(value: Any) -> bool:
    """Return whether `value` is a finite number; a truth value is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def check_source(rule: str, name: str, value: str) -> None:
    """Raise a TrainerError unless a signal comes from the probe or from an average."""
    if value not in SOURCES:
        raise TrainerError(f"{rule}: {name}={value!r} is unknown; known: {', '.join(SOURCES)}")


def check_share(rule: str, name: str, value: float) -> None:
    """Raise a TrainerError unless `value` is in [0, 1)."""
    if not (finite(value) and 0 <= value < 1):
        raise TrainerError(f"{rule}: {name}={value} is outside [0, 1)")


def check_positive(rule: str, name: str, value: float, zero: bool = False) -> None:
    """Raise a TrainerError unless `value` is above 0, or 0 where that is allowed."""
    if not (finite(value) and (value > 0 or (zero and value == 0))):
        raise TrainerError(f"{rule}: {name}={value} is not above 0")
