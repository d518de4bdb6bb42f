"""Train a small text classifier from a manifest, beside full data; print test accuracy and cost.

    python examples/docstrings/train.py runs/docstrings/manifest

The model is made from scratch: an EmbeddingBag over hashed words and word pairs, and a small MLP. Every row
of the table is the same loop with another curriculum; the learning rate falls to zero along a cosine.
"""

from __future__ import annotations

import argparse
import itertools
import re
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, ManifestSampler, fit

DATA = Path(__file__).parent / "data"
FRACTION, EPOCHS, BATCH, RATE, SEEDS = 0.1, 30, 64, 2e-2, (0, 1, 2)
BUCKETS, DIMENSION, HIDDEN = 1 << 14, 32, 64
LENGTH = 128  # features of a text: up to 64 words and 63 pairs
RUNS = (  # title, fraction, epochs, schedule
    ("10%, milo", FRACTION, EPOCHS, "milo"),
    ("10%, fresh", FRACTION, EPOCHS, "fresh"),
    ("all data, same steps", 1.0, round(FRACTION * EPOCHS), "fresh"),
    ("all data, same epochs", 1.0, EPOCHS, "fresh"),
)


class Texts(torch.utils.data.Dataset):
    """Hashed features (rows, 128) int64, 0 where a text is shorter, and classes (rows,) int64."""

    def __init__(self, path: Path, classes: list[str]) -> None:
        table = pq.read_table(path)
        self.ids = table["id"].to_pylist()
        self.features = torch.from_numpy(np.stack([features(text) for text in table["text"].to_pylist()]))
        self.targets = torch.tensor([classes.index(name) for name in table["library"].to_pylist()])

    def __len__(self) -> int:
        return len(self.targets)

    def __getitems__(self, rows: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        # A whole batch at once: the loader asks for it where it is there, and `collate` has nothing to do.
        return self.features[rows], self.targets[rows]


class Classifier(nn.Module):
    """EmbeddingBag + MLP."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(BUCKETS, DIMENSION, mode="mean", padding_idx=0)
        self.head = nn.Sequential(
            nn.Linear(DIMENSION, HIDDEN), nn.ReLU(), nn.Dropout(0.3), nn.Linear(HIDDEN, classes)
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return (batch, classes) scores of (batch, 128) features."""
        return self.head(self.bag(tokens))


def main() -> None:
    torch.set_num_threads(1)  # so small a model only waits for a second thread
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("manifest", type=Path)
    manifest = Manifest.open(parser.parse_args().manifest)
    classes = sorted(set(pq.read_table(DATA / "train.parquet", columns=["library"])["library"].to_pylist()))
    train, test = Texts(DATA / "train.parquet", classes), Texts(DATA / "test.parquet", classes)
    table = Table(
        "training on", "test accuracy", "examples seen", "seconds", title=f"mean of {len(SEEDS)} seeds"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for title, fraction, epochs, schedule in RUNS:
        accuracies, seen, started = [], 0, time.perf_counter()
        for seed in SEEDS:
            curriculum = Curriculum(manifest, fraction, epochs, schedule, seed=seed)
            # The rows of the data set are found by their ids: here they lie as in the manifest, but need not.
            sampler = ManifestSampler(curriculum, ids=train.ids)
            model, records = run(train, sampler, len(classes), seed, title)
            accuracies.append(accuracy(model, test))
            seen = sum(record.examples for record in records)
        seconds = (time.perf_counter() - started) / len(SEEDS)
        spread = np.std(accuracies)
        table.add_row(title, f"{np.mean(accuracies):.1%} ± {spread:.1%}", f"{seen:,}", f"{seconds:.1f}")
    Console().print(table)


def run(
    train: Texts, sampler: ManifestSampler, classes: int, seed: int, title: str
) -> tuple[nn.Module, list]:
    torch.manual_seed(seed)
    model = Classifier(classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
    records = fit(
        model,
        train,
        sampler,
        loss=nn.functional.cross_entropy,
        optimizer=optimizer,
        scheduler=torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, sampler.steps(BATCH)),
        batch_size=BATCH,
        collate=lambda batch: batch,
        progress=sys.stderr.isatty(),
        title=title,
    )
    return model, records


@torch.no_grad()
def accuracy(model: nn.Module, test: Texts) -> float:
    model.eval()
    return (model(test.features).argmax(1) == test.targets).double().mean().item()


def features(text: str) -> np.ndarray:
    """Return the (128,) int64 hashes, in 1…BUCKETS-1, of a text's words and word pairs; 0 fills up."""
    words = re.findall(r"\w+|[^\w\s]", text.lower())
    grams = words + [f"{one} {two}" for one, two in itertools.pairwise(words)]
    hashed = [1 + zlib.crc32(gram.encode()) % (BUCKETS - 1) for gram in grams[:LENGTH]]
    return np.pad(np.array(hashed, np.int64), (0, LENGTH - len(hashed)))


if __name__ == "__main__":
    main()
