"""The progress of a stage: a bar on a terminal, a line every tenth or minute in a log.

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
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SILENCE = 60.0
"""Seconds after which a log is told that a stage still runs."""

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
    total: int | None
    unit: str
    done: Callable[[], int]
    interval: float
    counter: str
    stop: threading.Event = field(default_factory=threading.Event)
    start: float = field(default_factory=time.monotonic)

    def counts(self) -> Iterator[tuple[int, float]]:
        """Yield how much is done and how fast, once an interval, until the stage ends."""
        while not self.stop.wait(self.interval):
            count = max(_advanced[self.counter], self.done())
            yield count if self.total is None else min(self.total, count), count / self.seconds

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start


@contextmanager
def watching(
    console: Console,
    stage: str,
    total: int | None,
    unit: str,
    done: Callable[[], int] = lambda: 0,
    interval: float = 0.5,
    counter: str | None = None,
) -> Iterator[None]:
    """Show the progress of `stage` while the block runs; nothing on a quiet console.

    Args:
      console: a terminal gets a bar; anything else lines with the time, one a tenth and one a minute.
      stage: its name.
      total: of the `unit`; None where it is not known.
      unit: what is counted.
      done: counts what the work directory shows.
      interval: seconds between two looks.
      counter: the stage that `advance` is told of, by default this one.
    """
    if console.quiet:
        yield
        return
    with _guard:
        _advanced[counter or stage] = 0
    watch = _Watch(console, stage, total, unit, done, interval, counter or stage)
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
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=watch.console, transient=True) as bar:
        task = bar.add_task(watch.stage, total=watch.total, told="")
        for count, rate in watch.counts():
            told = f"{count:,}" if watch.total is None else f"{count:,}/{watch.total:,}"
            told = f"{told} {watch.unit} {per_second(rate)}" if count else ""
            bar.update(task, completed=count, told=told)


def _lines(watch: _Watch) -> None:
    told, told_at = 0, 0.0
    for count, rate in watch.counts():
        tenth = 10 * count // watch.total if watch.total else 0
        if not (told < tenth < 10 or watch.seconds - told_at >= SILENCE):
            continue
        told, told_at = tenth, watch.seconds
        line = f"running for {told_at:,.0f} s"
        if count:
            line = f"{count:,} {watch.unit}, {per_second(rate)}"
        if count and watch.total:
            share, left = 100 * count // watch.total, (watch.total - count) / rate
            line = (
                f"{share}%, {count:,} of {watch.total:,} {watch.unit}, {per_second(rate)}, {left:,.0f} s left"
            )
        watch.console.print(f"{time.strftime('%H:%M:%S')} {watch.stage}: {line}", soft_wrap=True)


def per_second(rate: float) -> str:
    """Return a rate in words that tell slow ones apart."""
    if rate >= 10:
        return f"{rate:,.0f}/s"
    return f"{rate:.1f}/s" if rate >= 1 else f"{60 * rate:.2g}/min"
