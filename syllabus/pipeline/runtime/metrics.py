"""Beam counters of the time that workers take: what a stage costs, whoever ran it and how many at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from apache_beam.metrics import Metrics


@contextmanager
def count_time(step: str) -> Iterator[None]:
    """Add the milliseconds that the block takes to the counter `step`_ms."""
    start = time.perf_counter()
    try:
        yield
    finally:
        Metrics.counter("syllabus", f"{step}_ms").inc(round(1000 * (time.perf_counter() - start)))
