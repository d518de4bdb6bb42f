"""What ends a job from outside: SIGTERM is told in the line that Ctrl-C is, and finished shards stay."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from cli_jobs import write_rows

SECONDS = 120.0


def test_a_job_that_is_terminated_says_at_once_that_its_shards_are_kept(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "syllabus.pipeline", "prepare", "--source"]
    command += [str(write_rows(tmp_path / "d.parquet")), "--output", str(tmp_path / "m"), "--text", "text"]
    command += ["--encoder", "hashing", "--label", "class", "--fraction", "1", "--subsets", "20000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("subsets: ")
        until = time.monotonic() + SECONDS
        while not (tmp_path / "m.work" / "embed").exists() and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        told = process.communicate(timeout=10)[1].splitlines()
        assert process.returncode == 143
    assert told[-1] == "syllabus: interrupted; finished shards are kept"
    assert not any("Traceback" in line for line in told)
    assert list((tmp_path / "m.work" / "embed").rglob("*.parquet"))
