"""How far a stage is: a bar on a terminal, a line every tenth in a log.

Where the workers run is the runner's business, so progress is read from what they leave in the work
directory; workers inside this process also report what they finished within a unit.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_advanced: Counter[str] = Counter()
_guard = threading.Lock()


def advance(stage: str, amount: int) -> None:
    """Report work done inside this process; elsewhere it has no effect."""
    with _guard:
        _advanced[stage] += amount


@contextmanager
def watching(
    console: Console, stage: str, total: int, unit: str, done: Callable[[], int], interval: float = 0.5
) -> Iterator[None]:
    """Show the progress of `stage` while the block runs; `done()` counts what the work directory shows."""
    with _guard:
        _advanced[stage] = 0
    stop = threading.Event()
    show = _bar if console.is_terminal else _lines
    thread = threading.Thread(
        target=show, args=(console, stage, total, unit, done, stop, interval), daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _count(stage: str, total: int, done: Callable[[], int]) -> int:
    return min(total, max(_advanced[stage], done()))


def _bar(
    console: Console,
    stage: str,
    total: int,
    unit: str,
    done: Callable[[], int],
    stop: threading.Event,
    interval: float,
) -> None:
    columns = (
        TextColumn("{task.description:8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]} {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    start = time.monotonic()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(stage, total=total, unit=unit, rate="")
        while not stop.wait(interval):
            count = _count(stage, total, done)
            rate = count / (time.monotonic() - start)
            bar.update(task, completed=count, rate=f"{rate:,.0f}/s" if count else "")


def _lines(
    console: Console,
    stage: str,
    total: int,
    unit: str,
    done: Callable[[], int],
    stop: threading.Event,
    interval: float,
) -> None:
    start, told = time.monotonic(), 0
    while not stop.wait(interval):
        count = _count(stage, total, done)
        tenth = 10 * count // total if total else 0
        if told < tenth < 10:
            told = tenth
            rate = count / (time.monotonic() - start)
            left = (total - count) / rate
            console.print(
                f"{stage}: {10 * tenth}%, {count:,} of {total:,} {unit}, {rate:,.0f}/s, {left:,.0f} s left"
            )
