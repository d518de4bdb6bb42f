"""Budgets in words: what easy subsets by gain / words^power hold and teach, on the docstrings of the demo.

    python examples/docstrings/build.py
    python benchmarks/weighted.py [--seeds 5] [--fractions 0.05 0.2]

Every line trains the demo's classifier for 30 epochs of equally many words: on easy subsets alone, 30 of
them, and on subsets drawn by chance. Three to four minutes on one core, embedding included.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from rich.console import Console

from syllabus.manifests import Manifest
from syllabus.pipeline import Options, prepare
from syllabus.trainer import Curriculum, ManifestSampler

DEMO = Path(__file__).parents[1] / "examples" / "docstrings"
sys.path.insert(0, str(DEMO))

import demo
import train

EPOCHS = 30
POWERS = (0.0, 0.5, 1.0)
OBJECTIVES = ("graph_cut", "facility_location")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.05, 0.2])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # that easy subsets alone are no curriculum is what is measured
    rows = pq.read_table(train.DATA / "train.parquet")
    classes = sorted(set(rows["library"].to_pylist()))
    texts = [train.Texts(train.DATA / f"{name}.parquet", classes) for name in ("train", "test")]
    words = [len(text.split()) for text in rows["text"].to_pylist()]
    print(f"{len(words):,} texts of {np.mean(words):.1f} words, median {np.median(words):.0f}")
    print("| fraction | subsets by | power | rows | words a row | overlap | test accuracy |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "train.parquet"
        pq.write_table(rows.append_column("words", pa.array(words)), source)
        for fraction in arguments.fractions:
            for objective in OBJECTIVES:
                for power in POWERS:
                    manifest = prepared(source, fraction, objective, power)
                    accuracies = accuracy(manifest, *texts, classes, "milo", arguments.seeds, easy_fraction=1)
                    show(fraction, objective, power, manifest.description["subsets"][0], accuracies)
            for schedule in ("redraw", "fresh"):
                accuracies = accuracy(manifest, *texts, classes, schedule, arguments.seeds)
                print(f"| {fraction:g} | chance, {schedule} | – | – | – | – | {figures(accuracies)} |")


def prepared(source: Path, fraction: float, objective: str, power: float) -> Manifest:
    """Draw up a manifest of 30 easy subsets; the vectors of the first are there for all others."""
    options = Options(
        source=str(source),
        output=str(source.parent / "manifest"),
        text="text",
        label="library",
        id="id",
        weight="words",
        weight_power=power,
        fraction=(fraction,),
        objective=objective,
        subsets=EPOCHS,
        epsilon=0.1,
        neighbours=0,
        encoder=str(demo.encoder()),
        overwrite=True,
    )
    prepare(options, Console(quiet=True))
    return Manifest.open(options.output)


def accuracy(
    manifest: Manifest,
    data: train.Texts,
    test: train.Texts,
    classes: list[str],
    schedule: str,
    seeds: int,
    **options: float,
) -> list[float]:
    """Test accuracy after 30 epochs, for each seed."""
    found = []
    for seed in range(seeds):
        curriculum = Curriculum(manifest, manifest.fractions[0], EPOCHS, schedule, seed=seed, **options)
        model, _ = train.run(data, ManifestSampler(curriculum, ids=data.ids), len(classes), seed, schedule)
        found.append(train.accuracy(model, test))
    return found


def show(fraction: float, objective: str, power: float, entry: dict, accuracies: list[float]) -> None:
    rows, weight = np.mean(entry["rows"]), sum(entry["weights"]) / sum(entry["rows"])
    print(
        f"| {fraction:g} | {objective} | {power:g} | {rows:,.0f} | {weight:.1f} |"
        f" {entry['jaccard']:.2f} | {figures(accuracies)} |",
        flush=True,
    )


def figures(accuracies: list[float]) -> str:
    return f"{np.mean(accuracies):.1%} ± {np.std(accuracies):.1%}"


if __name__ == "__main__":
    main()
