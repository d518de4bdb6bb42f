"""Progress shown while a pipeline runs."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from syllabus.pipeline.runtime import progress


def test_progress_in_a_log_is_a_line_a_tenth() -> None:
    shown = io.StringIO()
    counted, ended = iter(range(0, 1000, 40)), threading.Event()

    def done() -> int:
        count = next(counted, 1000)
        if count == 1000:
            ended.set()
        return count

    with progress.watching(Console(file=shown, width=200), "embed", 1000, "rows", done, interval=0.001):
        assert ended.wait(60)
    lines = shown.getvalue().splitlines()
    assert [line.split(":")[1].split("%")[0].strip() for line in lines] == [str(10 * n) for n in range(1, 10)]
    assert "of 1,000 rows" in lines[0]


@pytest.mark.parametrize(("rate", "shown"), [(0.0213, "0.021/s"), (4.2, "4.2/s"), (12345.6, "12,346/s")])
def test_a_low_rate_has_two_figures(rate: float, shown: str) -> None:
    assert progress.per_second(rate) == shown
