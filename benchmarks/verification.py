"""What it costs to check every shard when it is read: a whole job with and without, in CPU seconds.

    python benchmarks/verification.py                              # 100,000 x 384 vectors
    python benchmarks/verification.py --rows 1000000               # 20 minutes, 8 GB of disk
    python benchmarks/verification.py --rows 1000000 --inside      # half of that

Clustered unit vectors of 10 labels, a fraction of 10%, neighbours, orders and sketches as by default. Runs
alternate, each in a process of its own; without, shards are plain Parquet files that nobody looks into.
The manifests have the same bytes. No option turns the checks off: this script puts other methods in place.

With --inside one job is run, checked, and the CPU seconds within the checks are told: all that happens in
the methods that write and read seals, less the reading and writing of the bytes themselves.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

WIDTH, LABELS, FILE_ROWS = 384, 10, 125_000
PLAIN = {"compression": "none", "use_dictionary": False, "write_statistics": False}


def write_source(folder: Path, rows: int, width: int = WIDTH) -> None:
    """Write vectors around 500 centres, 50 a label."""
    folder.mkdir()
    centres = np.random.default_rng(0).standard_normal((500, width), np.float32)
    for number, first in enumerate(range(0, rows, FILE_ROWS)):
        draw = np.random.default_rng([1, number])
        count = min(FILE_ROWS, rows - first)
        home = draw.integers(len(centres), size=count)
        vectors = centres[home] + draw.standard_normal((count, width), np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), width)
        table = pa.table({"vector": column, "label": [f"class {each % LABELS}" for each in home]})
        pq.write_table(table, folder / f"{number:02d}.parquet", row_group_size=8192)


class PlainWriter:
    """Writes row groups, and nothing that they could be checked by."""

    def __init__(self, sink: Any, schema: pa.Schema) -> None:
        self._parquet = pq.ParquetWriter(sink, schema, **PLAIN)

    def write(self, table: pa.Table) -> None:
        """Write a table as one row group."""
        self._parquet.write_table(table, row_group_size=max(1, table.num_rows))

    def finish(self, metadata: dict[str, str]) -> None:
        """Write the footer."""
        self._parquet.add_key_value_metadata(metadata)
        self._parquet.close()


def without_checks() -> None:
    """Let the work directory write and read plain Parquet."""
    from syllabus.pipeline import work_directory
    from syllabus.pipeline.work_directory import WorkDirectory

    @contextmanager
    def opened(work: WorkDirectory, stage: str, key: str) -> Iterator[pq.ParquetFile]:
        with work.store.open(work.path(stage, key)) as file:
            yield pq.ParquetFile(file)

    def metadata(work: WorkDirectory, stage: str, key: str) -> Any:
        with opened(work, stage, key) as parquet:
            return json.loads(parquet.metadata.metadata[b"note"])

    work_directory.SealedWriter = PlainWriter  # type: ignore[attr-defined, misc, assignment]
    for name, method in {"open": opened, "metadata": metadata, "check": lambda *_: None}.items():
        setattr(WorkDirectory, name, method)


class Timed:
    """CPU seconds of this process's threads in some methods, less those in others that they call."""

    def __init__(self) -> None:
        self.seconds, self.calls = 0.0, 0
        self._here, self._lock = threading.local(), threading.Lock()

    def inside(self, owner: Any, name: str) -> None:
        """Count a method."""
        method = getattr(owner, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            if getattr(self._here, "depth", 0):
                return method(*arguments, **named)
            self._here.depth, self._here.left_out = 1, 0.0
            began = time.thread_time()
            try:
                return method(*arguments, **named)
            finally:
                spent = time.thread_time() - began - self._here.left_out
                self._here.depth = 0
                with self._lock:
                    self.seconds += spent
                    self.calls += 1

        setattr(owner, name, timed)

    def without(self, call: Any) -> Any:
        """Return a function that is left out of what is counted."""

        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return call(*arguments, **named)
            finally:
                if getattr(self._here, "depth", 0):
                    self._here.left_out += time.thread_time() - began

        return timed


class Passing:
    """A file whose own reading and writing is left out of a time."""

    def __init__(self, file: Any, timed: Timed) -> None:
        self._file = file
        for name in ("read_at", "read_buffer", "write"):
            if hasattr(file, name):
                setattr(self, name, timed.without(getattr(file, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def time_checks() -> Timed:
    """Time what seals and verifies shards, in this process."""
    from syllabus.pipeline import sealed_parquet

    timed = Timed()
    for owner, name in ((sealed_parquet.SealedFile, "__init__"), (sealed_parquet._Blocks, "__init__")):
        made = getattr(owner, name)
        setattr(
            owner,
            name,
            lambda self, file, *rest, made=made: made(self, Passing(file, timed), *rest),
        )
    timed.inside(sealed_parquet.SealedFile, "__init__")
    timed.inside(sealed_parquet.SealedFile, "read_buffer")
    timed.inside(sealed_parquet._Blocks, "write")
    return timed


def job(folder: str, checked: bool, lists: bool, inside: bool, told: Any) -> None:
    """Run the job in this process; tell its CPU seconds, those within checks, and its manifest.json."""
    from rich.console import Console

    from syllabus.pipeline import Options, prepare
    from syllabus.pipeline.stages.neighbours import stage

    if lists:
        stage.EXACT_ROWS = 0
    if not checked:
        without_checks()
    timed = time_checks() if inside else None
    options = Options(
        source=f"{folder}/source",
        output=f"{folder}/m",
        work_dir=f"{folder}/w",
        embedding="vector",
        label="label",
    )
    prepare(options, Console(quiet=True))
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    document = Path(folder, "m", "manifest.json").read_bytes()
    cpu = sum(each.ru_utime + each.ru_stime for each in used)
    told.send((cpu, timed.seconds if timed else 0.0, document))


def run(source: Path, checked: bool, lists: bool = False, inside: bool = False) -> tuple[float, bytes]:
    """Return the CPU seconds and the manifest.json of a run in an empty work directory."""
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        Path(folder, "source").symlink_to(source)
        ours, theirs = context.Pipe()
        process = context.Process(target=job, args=(folder, checked, lists, inside, theirs))
        process.start()
        cpu, checks, manifest = ours.recv()
        process.join()
        print(f"{'checked' if checked else 'plain':8} {cpu:8.1f} s of CPU", flush=True)
        if inside:
            print(f"within checks {checks:.2f} s: {100 * checks / cpu:.2f}%", flush=True)
        return cpu, manifest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=1, help="of each")
    parser.add_argument("--inside", action="store_true", help="one job, and its time within the checks")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="verification-") as folder:
        # Compiles what is not compiled yet.
        write_source(Path(folder, "small"), 3000)
        for lists in (False, True):
            run(Path(folder, "small"), checked=True, lists=lists)
        source = Path(folder, "source")
        write_source(source, arguments.rows)
        if arguments.inside:
            run(source, checked=True, inside=True)
            return
        found = [[run(source, checked) for checked in (False, True)] for _ in range(arguments.runs)]
    if len({each[1] for pair in found for each in pair}) != 1:
        raise SystemExit("the manifests differ")
    plain, checked = (min(pair[number][0] for pair in found) for number in (0, 1))
    print(
        f"{arguments.rows:,} x {WIDTH}: {plain:.1f} s of CPU without checks, {checked:.1f} s with them:",
        end=" ",
    )
    print(f"{100 * (checked / plain - 1):+.1f}%")


if __name__ == "__main__":
    main()
