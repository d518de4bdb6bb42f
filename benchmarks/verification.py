"""What it costs to check every shard when it is read: a whole job with and without, in CPU seconds.

    python benchmarks/verification.py                    # 100,000 x 384 vectors
    python benchmarks/verification.py --rows 1000000     # the figure in the docs: 20 minutes, 8 GB of disk

Clustered unit vectors of 10 labels, a fraction of 10%, neighbours, orders and sketches as by default. Runs
alternate, each in a process of its own; without, shards are plain Parquet files that nobody looks into.
The manifests have the same bytes. No option turns the checks off: this script puts other methods in place.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

WIDTH, LABELS, FILE_ROWS = 384, 10, 125_000
PLAIN = {"compression": "none", "use_dictionary": False, "write_statistics": False}


def write_source(folder: Path, rows: int) -> None:
    """Write vectors around 500 centres, 50 a label."""
    folder.mkdir()
    centres = np.random.default_rng(0).standard_normal((500, WIDTH), np.float32)
    for number, first in enumerate(range(0, rows, FILE_ROWS)):
        draw = np.random.default_rng([1, number])
        count = min(FILE_ROWS, rows - first)
        home = draw.integers(len(centres), size=count)
        vectors = centres[home] + draw.standard_normal((count, WIDTH), np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), WIDTH)
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


def job(folder: str, checked: bool, lists: bool, told: Any) -> None:
    """Run the job in this process; tell its CPU seconds and its manifest.json."""
    from rich.console import Console

    from syllabus.pipeline import Options, prepare
    from syllabus.pipeline.stages.neighbours import stage

    if lists:
        stage.EXACT_ROWS = 0
    if not checked:
        without_checks()
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
    told.send((sum(each.ru_utime + each.ru_stime for each in used), document))


def run(source: Path, checked: bool, lists: bool = False) -> tuple[float, bytes]:
    """Return the CPU seconds and the manifest.json of a run in an empty work directory."""
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        Path(folder, "source").symlink_to(source)
        ours, theirs = context.Pipe()
        process = context.Process(target=job, args=(folder, checked, lists, theirs))
        process.start()
        cpu, manifest = ours.recv()
        process.join()
        print(f"{'checked' if checked else 'plain':8} {cpu:8.1f} s of CPU", flush=True)
        return cpu, manifest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=1, help="of each")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="verification-") as folder:
        # Compiles what is not compiled yet.
        write_source(Path(folder, "small"), 3000)
        for lists in (False, True):
            run(Path(folder, "small"), checked=True, lists=lists)
        source = Path(folder, "source")
        write_source(source, arguments.rows)
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
