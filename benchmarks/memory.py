"""What the submitting process holds, in bytes an example, stage by stage.

    python benchmarks/memory.py                       # 300,000 and 1,200,000 x 16: ten minutes, 2 GB of disk
    python benchmarks/memory.py --rows 30000 120000

The job of `scale.py`, run twice on one work directory. The second run finds all that workers make, so what is
allocated is the submitting process's own; the census is taken again. Peaks are tracemalloc's, of arrays and
Python objects, and Arrow's. What grows up to a bound only is left out where it can be: of suspects 1,000 are
listed and not 100,000. Groups of lists, which Arrow reads, grow up to 131,072 rows, from 2,000,000 rows on.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from verification import write_source

Peaks = dict[str, tuple[int, int, int]]
"""Stage to what is held at its end, and the peaks of arrays and of Arrow; bytes."""


def job(folder: str, traced: bool, told: Any) -> None:
    """Run a job in this process; tell its peaks."""
    from rich.console import Console

    import syllabus.pipeline.job
    from syllabus.pipeline import Options, preparation
    from syllabus.pipeline.stages.neighbours import evidence, stage

    stage.EXACT_ROWS, evidence.MOST_SUSPECTS = 0, 1000
    timed, pools = preparation.timed, []
    found: Peaks = {}

    @contextmanager
    def measured(stages: Any, name: str, unit: str) -> Iterator[Any]:
        # A pool that is in use has to be kept.
        pools.append(pa.proxy_memory_pool(pa.system_memory_pool()))
        pa.set_memory_pool(pools[-1])
        tracemalloc.reset_peak()
        with timed(stages, name, unit) as run:
            yield run
        held, peak = tracemalloc.get_traced_memory()
        found[name] = held, peak, pools[-1].max_memory()

    if traced:
        shutil.rmtree(Path(folder, "w", "census"))
        preparation.timed = syllabus.pipeline.job.timed = measured  # type: ignore[attr-defined, assignment]
        tracemalloc.start()
    options = Options(
        source=f"{folder}/s", output=f"{folder}/m", work_dir=f"{folder}/w", embedding="vector", label="label",
        memory_per_worker=1.0, workers=2, overwrite=True,
    )  # fmt: skip
    preparation.prepare(options, Console(quiet=True))
    told.send(found)


def peaks(rows: int, width: int, folder: str | None) -> Peaks:
    """Run a job twice; return the peaks of the second run."""
    context = multiprocessing.get_context("spawn")
    found: Peaks = {}
    with tempfile.TemporaryDirectory(dir=folder, prefix="memory-") as place:
        write_source(Path(place, "s"), rows, width)
        for traced in (False, True):
            ours, theirs = context.Pipe()
            process = context.Process(target=job, args=(place, traced, theirs))
            process.start()
            theirs.close()
            found = ours.recv()
            process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, nargs=2, default=[300_000, 1_200_000])
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--folder", help="for the data; by default where temporary files are")
    arguments = parser.parse_args()
    fewer, more = (peaks(rows, arguments.width, arguments.folder) for rows in arguments.rows)
    print(f"{'stage':12} {'MB held':>8} {'peak MB':>8} {'Arrow MB':>9}   bytes an example: held, peak, Arrow")
    for name, found in more.items():
        grown = (
            (after - before) / (arguments.rows[1] - arguments.rows[0])
            for before, after in zip(fewer[name], found, strict=True)
        )
        held, peak, arrow = (each / 1e6 for each in found)
        print(
            f"{name:12} {held:8.1f} {peak:8.1f} {arrow:9.1f}   {' '.join(f'{each:6.1f}' for each in grown)}"
        )


if __name__ == "__main__":
    main()
