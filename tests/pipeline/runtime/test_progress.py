"""Progress shown while a pipeline runs."""

from __future__ import annotations

import io

from rich.console import Console

from syllabus.pipeline.runtime import progress


def test_progress_in_a_log_is_a_line_a_tenth() -> None:
    shown = io.StringIO()
    counted = iter(range(0, 1000, 40))
    with progress.watching(
        Console(file=shown, width=200), "embed", 1000, "rows", lambda: next(counted, 1000), interval=0.001
    ):
        import time

        time.sleep(0.3)
    lines = shown.getvalue().splitlines()
    assert [line.split(":")[1].split("%")[0].strip() for line in lines] == [str(10 * n) for n in range(1, 10)]
    assert "of 1,000 rows" in lines[0]
