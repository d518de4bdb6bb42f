"""The progress of a stage: a bar on a terminal, a line every tenth in a log.

Where the workers run is the runner's business, so progress is read from what they leave in the work
directory; workers inside this process also report what they finished within a chunk.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_advanced: Counter[str] = Counter()
_guard = threading.Lock()


def advance(stage: str, amount: int) -> None:
    """Report work done inside this process, ahead of the shard it belongs to; elsewhere it has no effect."""
    with _guard:
        _advanced[stage] += amount


@dataclass(frozen=True)
class _Watch:
    console: Console
    stage: str
    total: int
    unit: str
    done: Callable[[], int]
    interval: float
    stop: threading.Event = field(default_factory=threading.Event)
    start: float = field(default_factory=time.monotonic)

    def counts(self) -> Iterator[tuple[int, float]]:
        """Yield how much is done and how fast, once an interval, until the stage ends."""
        while not self.stop.wait(self.interval):
            count = min(self.total, max(_advanced[self.stage], self.done()))
            yield count, count / (time.monotonic() - self.start)


@contextmanager
def watching(
    console: Console, stage: str, total: int, unit: str, done: Callable[[], int], interval: float = 0.5
) -> Iterator[None]:
    """Show the progress of `stage` while the block runs; `done()` counts what the work directory shows."""
    with _guard:
        _advanced[stage] = 0
    watch = _Watch(console, stage, total, unit, done, interval)
    thread = threading.Thread(target=_bar if console.is_terminal else _lines, args=(watch,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        watch.stop.set()
        thread.join()


def _bar(watch: _Watch) -> None:
    columns = (
        TextColumn("{task.description:8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]} {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=watch.console, transient=True) as bar:
        task = bar.add_task(watch.stage, total=watch.total, unit=watch.unit, rate="")
        for count, rate in watch.counts():
            bar.update(task, completed=count, rate=per_second(rate) if count else "")


def _lines(watch: _Watch) -> None:
    told = 0
    for count, rate in watch.counts():
        tenth = 10 * count // watch.total if watch.total else 0
        if told < tenth < 10:
            told = tenth
            left = (watch.total - count) / rate
            watch.console.print(
                f"{watch.stage}: {10 * tenth}%, {count:,} of {watch.total:,} {watch.unit},"
                f" {per_second(rate)}, {left:,.0f} s left"
            )


def per_second(rate: float) -> str:
    """A rate in two figures where it is low: a shard may take minutes."""
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"
