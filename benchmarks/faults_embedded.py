"""Faults of a job on the embedded runner: kills, a full disk, a read error, too little memory.

Parts of `faults.py`. Workers are threads of the job, so there is no worker process to kill: a kill is one of
the job. Each fault is followed by the same command again, without it.
"""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from damage_disk import SmallDisk
from process_memory import limited

ROWS, FILES, WIDTH = 3_000, 6, 32
SECONDS = 300.0
READ_ERROR = """
import sys
from syllabus.manifests.storage import Store
from syllabus.pipeline.command_line.entry import main

class Failing:
    def __init__(self, file):
        self._file, self.closed = file, False
    def read(self, size=-1):
        # The footer, which the plan reads, is sound.
        if self._file.tell() < self._file.size() // 2:
            raise OSError(5, "Input/output error")
        return self._file.read(size)
    def __getattr__(self, name):
        return getattr(self._file, name)

opened = Store.open
def open(self, relative):
    import pyarrow as pa
    file = opened(self, relative)
    return pa.PythonFile(Failing(file), "r") if relative.endswith("part-3.parquet") else file
Store.open = open
main()
"""
"""A program whose reads of one file fail, but for its footer."""


def write_source(folder: Path) -> None:
    """Write vectors of one class around a few centres."""
    random = np.random.default_rng(5)
    folder.mkdir()
    centres = random.standard_normal((40, WIDTH))
    for number in range(FILES):
        near = centres[random.integers(0, 40, ROWS // FILES)]
        vectors = (near + random.standard_normal(near.shape)).astype(np.float32)
        pq.write_table(pa.table({"vector": list(vectors)}), folder / f"part-{number}.parquet")


def command(place: Path, *more: str, program: tuple[str, ...] = ("-m", "syllabus.pipeline")) -> list[str]:
    job = ["prepare", "--source", str(place.parent / "source"), "--output", str(place / "m")]
    job += ["--embedding", "vector", "--clusters", "1", "--fraction", "0.1", "--subsets", "4"]
    return [sys.executable, *program, *job, "--objective", "facility_location", "--workers", "2", *more]


def shards(place: Path) -> dict[str, str]:
    """The sha256 of every file of the manifest and of every shard that can be seen."""
    return {
        str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in place.rglob("*")
        if path.is_file() and not path.name.startswith(".") and path.name not in ("run.json", "failure.txt")
    }


class Faults:
    """One small job, with a fault each time."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.failures = folder, 0
        write_source(folder / "source")
        place = self._place("undisturbed")
        begin = time.monotonic()
        status, said = self._run(command(place))
        self.seconds = time.monotonic() - begin
        if status:
            raise RuntimeError(f"the undisturbed job ended with {status}: {said}")
        self.expected = shards(place)

    def _place(self, name: str) -> Path:
        place = self.folder / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        return place

    def _run(
        self,
        arguments: list[str],
        kill: Callable[[], bool] = lambda: False,
        before: Callable[[], None] | None = None,
    ) -> tuple[int, str]:
        """Run a command, killed as soon as `kill()`; return its status and the last line that it said."""
        with tempfile.TemporaryFile("w+") as log:
            process = subprocess.Popen(arguments, stderr=log, preexec_fn=before, cwd=self.folder)
            until = time.monotonic() + SECONDS
            while process.poll() is None:
                if (late := time.monotonic() > until) or kill():
                    process.kill()
                    if process.wait() and late:
                        return -99, "HANGS"
                time.sleep(0.01)
            log.seek(0)
            said = log.read()
        lines = [line for line in said.splitlines() if line.startswith("syllabus: ")]
        return process.returncode, lines[-1] if lines else ""

    def fault(
        self, name: str, place: Path, status: int, said: str, wanted: Callable[[int, str], bool]
    ) -> None:
        """Judge what a fault left, run the job again, and print a line."""
        left = shards(place)
        # Nothing half: what can be seen is what an undisturbed job makes.
        whole = all(self.expected.get(path) == digest for path, digest in left.items())
        again, _ = self._run(command(place))
        same = shards(place) == self.expected
        well = wanted(status, said) and whole and again == 0 and same and "m/manifest.json" not in left
        self.failures += not well
        said = said.replace(str(self.folder), "…")
        print(
            f"| {name} | {status} | {said or '—'} | {len(left)} of {len(self.expected)},"
            f" {'whole' if whole else 'BROKEN'} | {'same bytes' if same else 'OTHER BYTES'} |",
            flush=True,
        )

    def kills(self) -> None:
        """Kill the job when so many of its files can be seen."""
        for count in (1, 12, 25, len(self.expected) - 3):
            place = self._place("killed")
            status, said = self._run(
                command(place), kill=lambda place=place, count=count: len(shards(place)) >= count
            )
            self.fault(
                f"kill -9 at {count} files", place, status, said, lambda status, _: status == -signal.SIGKILL
            )

    def disk(self) -> None:
        """Fill the disk, whose room is half of what the job writes."""
        place = self._place("full")
        disk = SmallDisk(place)
        if not disk.mount():
            print("| a full disk | | left out: no disk can be mounted here | | |")
            return
        try:
            size = sum(path.stat().st_size for path in (self.folder / "undisturbed").rglob("*"))
            with disk.filling(size // 2, 10**5):
                status, said = self._run(command(place))
            self.fault("a full disk", place, status, said, lambda s, line: s == 1 and "No space left" in line)
        finally:
            disk.unmount()

    def read_error(self) -> None:
        """Fail the reads of one file."""
        place = self._place("unread")
        status, said = self._run(command(place, program=("-c", READ_ERROR)))
        self.fault(
            "EIO in part-3.parquet", place, status, said, lambda s, line: s > 0 and "part-3.parquet" in line
        )

    def memory(self) -> None:
        """Have the kernel end the job for its memory."""
        place = self._place("memory")
        try:
            with limited(220) as enter:
                status, said = self._run(command(place), before=enter)
        except OSError as error:
            print(f"| too little memory (a cgroup) | | left out: {error} | | |")
            return
        self.fault("220 MB of memory (a cgroup)", place, status, said, lambda s, _: s == -signal.SIGKILL)


def report(folder: Path) -> int:
    """Print a line for each fault; return how many did harm."""
    faults = Faults(folder)
    print(f"{ROWS:,} × {WIDTH}, {faults.seconds:.0f} s undisturbed\n")
    print("| fault | exit status | last line | files that can be seen | after the rerun |")
    print("|---|---|---|---|---|", flush=True)
    faults.kills()
    faults.disk()
    faults.read_error()
    faults.memory()
    print(f"\n{faults.failures} failures")
    return faults.failures
