"""Seconds, busy cores, peak memory and bytes written of every stage of a job, by the number of rows.

    python benchmarks/scale.py                                        # 10,000 to 1,000,000 rows of 64 columns
    python benchmarks/scale.py --rows 100000 1000000 --width 384
    python benchmarks/scale.py --rows 10000000 --memory-per-worker 1  # 10 GB of disk
    python benchmarks/scale.py --rows 1000000 --width 384 --last neighbours

Unit vectors around 500 centres, 10 labels, a fraction of 10%; all else by default, but that neighbours are
searched by lists whatever the number of rows. Each job runs in a process of its own with threads as workers:
its resident memory is all of the job's. Bytes written are those of the work directory and of the manifest,
what was removed again among them. `new` is what is in the work directory at the end, `cores` CPU seconds
in a second.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verification import write_source

INTERVAL = 0.05
"""Seconds between two looks at the resident memory."""
PAGE = 4096


@dataclass
class Spent:
    """What one stage took."""

    stage: str
    seconds: float
    cpu: float
    peak: float
    written: float


class Meter:
    """Watches this process, and tells what each stage took."""

    def __init__(self) -> None:
        self.spent: list[Spent] = []
        self._peak, self._lock = 0, threading.Lock()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            resident = PAGE * int(Path("/proc/self/statm").read_text().split()[1])
            with self._lock:
                self._peak = max(self._peak, resident)
            time.sleep(INTERVAL)

    def take(self) -> int:
        """Return the peak since the last call."""
        with self._lock:
            peak, self._peak = self._peak, 0
        return peak

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a block."""
        self.take()
        start, cpu, written = time.perf_counter(), time.process_time(), bytes_written()
        yield
        seconds, used = time.perf_counter() - start, time.process_time() - cpu
        self.spent.append(Spent(name, seconds, used, self.take() / 1e9, (bytes_written() - written) / 1e9))


def bytes_written() -> int:
    """Return how much this process has written."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))


class LastStageDone(Exception):
    """The job has come as far as it was to come."""


def job(folder: str, given: dict[str, Any], last: str | None, told: Any) -> None:
    """Run a job in this process, at most to the stage `last`; tell what its stages took."""
    from rich.console import Console

    import syllabus.pipeline.job
    from syllabus.pipeline import Options, preparation
    from syllabus.pipeline.stages.neighbours import stage

    stage.EXACT_ROWS = 0
    meter, timed = Meter(), preparation.timed

    @contextmanager
    def measured(stages: Any, name: str, unit: str) -> Iterator[Any]:
        with meter.stage(name), timed(stages, name, unit) as run:
            yield run
        if name == last:
            raise LastStageDone

    preparation.timed = syllabus.pipeline.job.timed = measured  # type: ignore[attr-defined, assignment]
    options = Options(
        source=f"{folder}/s", output=f"{folder}/m", work_dir=f"{folder}/w", embedding="vector", label="label",
        **given,
    )  # fmt: skip
    start, cpu = time.perf_counter(), time.process_time()
    with suppress(LastStageDone):
        preparation.prepare(options, Console(quiet=True))
    peak = max(each.peak for each in meter.spent)
    whole = Spent("all", time.perf_counter() - start, time.process_time() - cpu, peak, 0.0)
    whole.written = sum(each.written for each in meter.spent)
    told.send([*meter.spent, whole])


def run(rows: int, width: int, given: dict[str, Any], last: str | None, folder: str | None) -> Spent:
    """Run a job over generated rows, and print what its stages took; return all of it."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="scale-") as place:
        write_source(Path(place, "s"), rows, width)
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=job, args=(place, given, last, theirs))
        process.start()
        theirs.close()
        spent = ours.recv()
        process.join()
        left = sum(path.stat().st_size for path in Path(place, "w").rglob("*") if path.is_file())
        document = Path(place, "m", "manifest.json")
        found = json.loads(document.read_bytes()).get("neighbours") if document.exists() else None
        shutil.rmtree(Path(place, "w"))
    vectors = 4 * rows * width / 1e9
    print(f"\n{rows:,} x {width}: {vectors:.2f} GB of vectors, {left / 1e9 / vectors:.2f} times as much new,")
    if found is not None:
        print(f"{found['lists']:,} lists, {found['probes']} probed, recall {found['recall']:.4f}")
    print(f"{'stage':12} {'seconds':>8} {'cores':>6} {'peak GB':>8} {'GB written':>11}")
    for each in spent:
        cores = each.cpu / max(each.seconds, 1e-9)
        print(f"{each.stage:12} {each.seconds:8.1f} {cores:6.2f} {each.peak:8.2f} {each.written:11.2f}")
    return spent[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory-per-worker", type=float, default=4.0)
    parser.add_argument("--neighbours", type=int, help="0 leaves the search out; by default as the job's")
    parser.add_argument("--last", help="stage that a job ends after; by default the last one")
    parser.add_argument("--folder", help="for the data; by default where temporary files are")
    arguments = parser.parse_args()
    given = {"workers": arguments.workers, "memory_per_worker": arguments.memory_per_worker}
    if arguments.neighbours is not None:
        given["neighbours"] = arguments.neighbours
    place = (arguments.last, arguments.folder)
    found = [run(rows, arguments.width, given, *place) for rows in arguments.rows]
    for rows, before, after in zip(arguments.rows[1:], found, found[1:], strict=False):
        print(
            f"\nto {rows:,}: {after.seconds / before.seconds:.1f} times the seconds,"
            f" {after.cpu / before.cpu:.1f} times the CPU seconds,"
            f" {after.peak / before.peak:.2f} times the peak"
        )


if __name__ == "__main__":
    main()
