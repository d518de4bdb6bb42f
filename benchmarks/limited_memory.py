"""One class that is too large for the memory there is: selected from as a whole, and in parts.

    python benchmarks/limited_memory.py               # 120,000 × 384 in a cgroup of 450 MB, minutes

Both jobs run in a cgroup, so that the kernel kills what takes more. What lies in memory counts: have TMPDIR
on a disk. `--memory-per-worker` is what makes the
second one cut the class into parts. `gain` is what parts keep of greedy's normalised gain and `decided` the
share of rows that bounding decides: both of a sample, as the manifest has them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from process_memory import limited, peak_of

BLOCK = 10_000


def write_source(path: Path, rows: int, width: int) -> None:
    """Write vectors around 200 centres, few of them common, that share a mean and lie in few directions."""
    random = np.random.default_rng(0)
    spectrum = (1 / np.sqrt(1 + np.arange(width))).astype(np.float32)
    centres = random.standard_normal((200, width), np.float32)
    common = 1 / (1 + np.arange(len(centres)))
    schema = pa.schema([("vector", pa.list_(pa.float32(), width)), ("label", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, rows, BLOCK):
            count = min(BLOCK, rows - first)
            vectors = centres[random.choice(len(centres), count, p=common / common.sum())]
            vectors = (vectors + random.standard_normal(vectors.shape, np.float32)) * spectrum + spectrum
            column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), width)
            writer.write_table(pa.table([column, ["one"] * count], schema=schema))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=120_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--limit", type=int, default=450, help="MB that a job may take")
    parser.add_argument("--memory-per-worker", type=float, default=0.025, help="GB, of the job in parts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="limited-") as folder:
        place = Path(folder)
        write_source(place / "rows.parquet", options.rows, options.width)
        size = options.rows * options.width * 4 / 1e6
        print(
            f"{options.rows:,} × {options.width}, {size:,.0f} MB of vectors, {options.limit} MB of memory\n"
        )
        print(
            "| selected from | memory_per_worker | exit status | peak (PSS) |\n|---|---|---|---|", flush=True
        )
        job = [sys.executable, "-m", "syllabus.pipeline", "prepare", "--source", str(place / "rows.parquet")]
        job += ["--embedding", "vector", "--label", "label", "--fraction", "0.1", "--fraction", "0.3"]
        job += ["--subsets", "1", "--neighbours", "0", "--sketch-dim", "0", "--no-preview", "--quiet"]
        for name, memory in (("the class", 4.0), ("its parts", options.memory_per_worker)):
            more = ["--output", str(place / name), "--memory-per-worker", str(memory)]
            more += ["--bucket-size", str(options.rows)]
            with limited(options.limit) as enter:
                process = subprocess.Popen([*job, *more], preexec_fn=enter, stderr=subprocess.DEVNULL)
                peak = peak_of(process)
            print(f"| {name} | {memory:g} GB | {process.returncode} | {peak:,.0f} MB |", flush=True)
        document = place / "its parts" / "manifest.json"
        if not document.exists():
            sys.exit("the job in parts was not done")
        print("\n| fraction | parts | sample | gain, mean (least) | decided |\n|---|---|---|---|---|")
        for entry in json.loads(document.read_text())["subsets"]:
            found = entry["parts"]
            gain = f"{found['gain']['mean']:.3f} ({found['gain']['least']:.3f})"
            print(
                f"| {entry['fraction']:.0%} | {found['most']} | {found['sample']:,} | {gain} |"
                f" {found['decided']:.1%} |"
            )


if __name__ == "__main__":
    main()
