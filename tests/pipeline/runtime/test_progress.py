"""Progress shown while a pipeline runs."""

from __future__ import annotations

import io
import re
import threading
import time

import pytest
from rich.console import Console

from syllabus.pipeline.runtime import progress


def test_progress_in_a_log_is_a_line_a_tenth() -> None:
    shown = io.StringIO()
    counted = iter(range(0, 1000, 40))
    with progress.watching(
        Console(file=shown, width=200), "embed", 1000, "rows", lambda: next(counted, 1000), interval=0.001
    ):
        time.sleep(0.3)
    lines = shown.getvalue().splitlines()
    assert [line.split()[2] for line in lines] == [f"{10 * n + 2 * (n % 2)}%," for n in range(1, 10)]
    assert all(
        re.match(r"\d\d:\d\d:\d\d embed: \d+%, \d+ of 1,000 rows, .*/s, \d+ s left$", line) for line in lines
    )


def test_a_log_is_told_once_a_minute_that_a_stage_still_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SILENCE", 0.05)
    shown = io.StringIO()
    console = Console(file=shown, width=20)
    with progress.watching(console, "commit", None, "files", interval=0.001):
        time.sleep(0.1)
    with progress.watching(console, "plan", None, "rows", interval=0.001):
        progress.advance("plan", 1234)
        time.sleep(0.1)
    lines = shown.getvalue().splitlines()
    assert re.match(r"\d\d:\d\d:\d\d commit: running for \d+ s$", lines[0])
    assert re.match(r"\d\d:\d\d:\d\d plan: 1,234 rows, [\d,]+/s$", lines[-1])


@pytest.mark.parametrize("total", [1000, None])
def test_a_terminal_has_a_bar_that_is_gone_in_the_end(total: int | None) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=100)
    with progress.watching(console, "holdout", total, "rows", interval=0.01, counter="embed"):
        progress.advance("embed", 420)
        time.sleep(0.4)
    assert ("420/1,000 rows" if total else "420 rows") in shown.getvalue()
    assert "holdout" in shown.getvalue()
    assert shown.getvalue().rstrip().endswith("\x1b[2K")  # the line is cleared


def test_a_quiet_console_costs_no_thread() -> None:
    before = threading.active_count()
    with progress.watching(Console(quiet=True), "embed", 10, "rows"):
        assert threading.active_count() == before


def test_slow_rates_are_told_apart() -> None:
    told = [progress.per_second(rate) for rate in (12345.6, 12, 3.14, 0.5, 0.004)]
    assert told == ["12,346/s", "12/s", "3.1/s", "30/min", "0.24/min"]
