"""Disks that fill: during a job, while it overwrites a manifest, during an export and a validation.

The disk takes a random number of bytes more, then none. What is committed already stays, whole; the rerun,
with room again, gives the bytes of a run that was never disturbed. In most tries the disk is a sink that
counts; where filesystems may be mounted, one try in six is on a tmpfs that has so many bytes or files left.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from damage import Attempt
from rich.console import Console

from syllabus.manifests import Manifest, ManifestError, export, storage, validate
from syllabus.pipeline import JobError, Options, UserError, prepare

ROWS, FRACTION = 200, 0.1


class FullDisk:
    """The files that a store writes, on a disk that takes `left` bytes more."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.hit = False

    def take(self, count: int) -> None:
        """Note that so many bytes are written, or fail as the system does."""
        self.left -= count
        if self.left < 0:
            self.hit = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Sink(io.RawIOBase):
    """A file whose bytes are counted: some of them are still taken when the disk is full."""

    def __init__(self, file: Any, disk: FullDisk) -> None:
        self._file, self._disk = file, disk

    def writable(self) -> bool:
        """As asked for by Arrow."""
        return True

    def write(self, data: Any) -> int:
        """Write what there is room for."""
        room = max(self._disk.left, 0)
        self._file.write(memoryview(data).cast("B")[:room])
        self._disk.take(memoryview(data).nbytes)
        return memoryview(data).nbytes

    def fileno(self) -> int:
        """Of the file, to be synchronised."""
        return int(self._file.fileno())

    def flush(self) -> None:
        """Pass it on."""
        self._file.flush()


@contextmanager
def filling(left: int) -> Iterator[FullDisk]:
    """Let a disk take `left` bytes more, whatever store writes; names take some bytes, too."""
    disk = FullDisk(left)
    open_file, mkdir = Path.open, Path.mkdir

    @contextmanager
    def opened(path: Path, mode: str = "r", *rest: Any, **more: Any) -> Iterator[Any]:
        with open_file(path, mode, *rest, **more) as file:
            yield Sink(file, disk) if mode == "xb" else file

    def made(path: Path, *rest: Any, **more: Any) -> None:
        if not path.exists():
            disk.take(100)
        mkdir(path, *rest, **more)

    class CountedPath(type(Path())):  # type: ignore[misc]
        open, mkdir = opened, made

    before = storage.Path
    storage.Path = CountedPath  # type: ignore[misc]
    try:
        yield disk
    finally:
        storage.Path = before  # type: ignore[misc]


class SmallDisk:
    """A tmpfs mounted at `place`, with room enough until it is filling."""

    ROOM = ("1g", 10**5)
    """Bytes and files."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.hit = False

    def mount(self) -> bool:
        """Mount it; return whether that is permitted."""
        size, files = self.ROOM
        options = f"size={size},nr_inodes={files}"
        return self._run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.place))

    def unmount(self) -> None:
        """Unmount it, if it is mounted."""
        while os.path.ismount(self.place) and self._run("umount", str(self.place)):
            pass

    @contextmanager
    def filling(self, left: int, files: int) -> Iterator[SmallDisk]:
        """Let it take so many bytes (whole pages) and so many files more."""
        self.hit = False
        there = os.statvfs(self.place)
        size = (there.f_blocks - there.f_bfree) * there.f_frsize + max(left, 4096)
        self._remount(size, there.f_files - there.f_ffree + files)
        try:
            yield self
        finally:
            self._remount(*self.ROOM)

    def _remount(self, size: int | str, files: int) -> None:
        options = f"remount,size={size},nr_inodes={files}"
        if not self._run("mount", "-o", options, str(self.place)):
            raise RuntimeError(f"{self.place}: cannot be mounted with {options}")

    def _run(self, *command: str) -> bool:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a directory."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Damage:
    """A small job, with and without a manifest that it overwrites."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._small = SmallDisk(folder / "try")
        self._said = io.StringIO()
        random = np.random.default_rng(0)
        labels = random.integers(0, 3, ROWS)
        vectors = random.standard_normal((ROWS, 8)).astype(np.float32)
        self._source = folder / "rows.parquet"
        pq.write_table(pa.table({"vector": list(vectors), "label": labels}), self._source)
        self._expected = []
        self._written = 0
        for seed in (0, 1):
            shutil.rmtree(folder / f"m{seed}", ignore_errors=True)
            shutil.rmtree(folder / f"m{seed}.work", ignore_errors=True)
            with filling(1 << 40) as disk:
                self._run(folder / f"m{seed}", seed)
            self._written = (1 << 40) - disk.left
            self._expected.append(contents(folder / f"m{seed}"))

    def _run(self, output: Path, seed: int, **more: Any) -> None:
        options = {"subsets": 2, "importance": ("radius",), "fraction": (FRACTION,), "seed": seed, **more}
        named = {"source": str(self._source), "embedding": "vector", "label": "label"}
        prepare(Options(**named, output=str(output), **options), Console(file=self._said, width=1000))

    def attempt(self, random: np.random.Generator) -> Attempt:
        """Fill the disk at some byte of a job, an export or a validation."""
        way = str(
            random.choice(["prepare", "prepare", "overwrite", "overwrite", "overwrite", "export", "validate"])
        )
        work = self._folder / "try"
        self._small.unmount()
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        mounted = random.random() < 1 / 6 and self._small.mount()
        output = work / "m"
        if way != "prepare":
            shutil.copytree(self._folder / "m0", output)
        if way == "overwrite" and random.random() < 0.7:
            # The shards are there: what is written is the manifest.
            shutil.copytree(self._folder / "m1.work", work / "m.work")
            size = sum(map(len, self._expected[1].values())) + 1000
        else:
            size = self._written
        if way in ("export", "validate"):
            size = 150  # little more than the file
        left = int(random.integers(size))
        files = int(random.integers(60)) if random.random() < 0.3 else 10**5
        done = f"{way}, full after {left} bytes" + (f" or {files} files of a tmpfs" if mounted else "")
        disk: Any = None
        self._said = io.StringIO()
        try:
            with self._small.filling(left, files) if mounted else filling(left) as disk:
                said = self._use(way, output, work)
        except (ManifestError, JobError, UserError, OSError) as error:
            said = str(error)
            if "\n" in said:
                return Attempt(done, "traceback", said)
        # What is no loss to the manifest is a warning.
        said += "".join(line for line in self._said.getvalue().splitlines() if "cannot be written" in line)
        disk.hit |= bool(said)
        if disk.hit and not said:
            return Attempt(done, "silent", "nothing was said")
        return Attempt(done, *self._judge(way, output, work, said, disk.hit))

    def _use(self, way: str, output: Path, work: Path) -> str:
        if way == "export":
            export(Manifest.open(output), FRACTION, 0, output=work / "ids.txt")
        elif way == "validate":
            return "; ".join(validate(output).problems)
        else:
            self._run(output, 1, overwrite=way == "overwrite")
        return ""

    def _judge(self, way: str, output: Path, work: Path, said: str, hit: bool) -> tuple[str, str]:
        there = contents(output) if output.exists() else {}
        whole = self._expected[0 if way != "prepare" else 1]
        committed = "manifest.json" in there
        if way == "prepare":
            fine = there == whole if committed else not hit or not there
        else:
            # The disk may fill after the exchange, in the work directory's notes: the new one is whole then.
            fine = there == whole or (way == "overwrite" and there == self._expected[1])
        if not fine:
            return "silent", f"{said}\nleft {sorted(there)}"
        if way == "export":
            files = [path.name for path in work.iterdir() if path.name != "m"]
            whole_file = (
                files == ["ids.txt"] and len((work / "ids.txt").read_text().split()) == ROWS * FRACTION
            )
            return (
                ("found" if hit else "harmless", said)
                if whole_file != hit
                else ("silent", f"{said}; {files}")
            )
        if way == "validate":
            return ("harmless" if not said else "silent"), said
        if hit:
            self._run(output, 1, overwrite="manifest.json" in there)
        leftovers = [path.name for path in work.iterdir() if path.name not in ("m", "m.work")]
        if contents(output) != self._expected[1] or validate(output).problems or leftovers:
            return "silent", f"{said}\nthe rerun differs; beside it {leftovers}"
        return ("mended" if hit else "harmless"), said
