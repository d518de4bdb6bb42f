"""Progress of a run: a bar on a terminal, one line per tenth anywhere else."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class TrainingProgress:
    """A context manager that is told of every step and every epoch.

    Args:
        title: what is being done.
        total: steps in all, until `expect` knows better; `done` of them lie behind.
        shown: False shows nothing.
    """

    def __init__(self, title: str, total: int, done: int = 0, *, shown: bool = True) -> None:
        self._console = Console(stderr=True, quiet=not shown, soft_wrap=True)
        self._title, self._total, self._done, self._resumed = title, total, done, done
        self._note, self._bar = "", None
        self._started = time.perf_counter()

    def __enter__(self) -> "TrainingProgress":
        if self._console.is_terminal and not self._console.quiet:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=self._console,
            )
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=self._total, completed=self._done, note="")
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def expect(self, total: int) -> None:
        """Take `total` for the number of steps from now on."""
        self._total = total
        if self._bar is not None:
            self._bar.update(self._task, total=total)

    def step(self, count: int = 1) -> None:
        """So many more steps are done."""
        before, self._done = self._done, self._done + count
        if self._bar is not None:
            self._bar.advance(self._task, count)
        elif self._done * 10 // self._total > before * 10 // self._total:
            seconds = time.perf_counter() - self._started
            left = seconds / (self._done - self._resumed) * (self._total - self._done)
            percent = 100 * self._done // self._total
            self._console.print(
                f"{self._title} {percent:3d}%: step {self._done:,} of {self._total:,}, "
                f"{seconds:.1f} s, {left:.1f} s left{self._note}",
                highlight=False,
            )

    def note(self, text: str) -> None:
        """Show `text` from now on."""
        self._note = f", {text}"
        if self._bar is not None:
            self._bar.update(self._task, note=text)
