"""Memory of a process and those it starts: a limit by a cgroup, and its peak as PSS."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup/memory")
"""Where version 1 of the kernel's interface has those of memory."""


@contextmanager
def limited(megabytes: int) -> Iterator[Callable[[], None]]:
    """Yield what puts the process that calls it into a cgroup of so much memory; OSError where none can be.

    What goes beyond it is killed by the kernel.
    """
    group = CGROUPS / f"syllabus-{os.getpid()}"
    group.mkdir()

    def enter() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    try:
        (group / "memory.limit_in_bytes").write_text(str(megabytes << 20))
        yield enter
    finally:
        group.rmdir()


def peak_of(process: subprocess.Popen[str]) -> float:
    """Wait for a process; return the greatest sum of the PSS of it and its children, in MB, every 0.2 s."""
    peak = 0
    while process.poll() is None:
        peak = max(peak, _pss(process.pid))
        time.sleep(0.2)
    return peak / 1000


def _pss(pid: int) -> int:
    total = 0
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        for each in (pid, *map(int, children.split())):
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration):  # one of them has ended
        return 0
    return total
