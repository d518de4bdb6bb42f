"""What `tune.toml` searches over: one training of the demo's classifier, and a search in plain Python.

    python examples/docstrings/tune.py runs/docstrings/manifest

Scores are on one half of the test texts; the other half is for whoever retrains the winner.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from torch import nn
from train import DATA, Classifier, Texts

from syllabus.trainer import ManifestSampler, fit
from syllabus.trainer.tuning import Run, Search, draw

SPACE = {
    "optimizer": ["AdamW"],  # short runs of it are corrected by its own exponent
    "lr": {"low": 1e-3, "high": 3e-1},
    "hidden": [32, 64, 128],
    "dropout": {"low": 0.0, "high": 0.5},
    "batch": [32, 64, 128],
}


def load() -> dict[str, Any]:
    """Read the texts, once a process."""
    classes = sorted(set(pq.read_table(DATA / "train.parquet", columns=["library"])["library"].to_pylist()))
    torch.set_num_threads(1)
    held_out = Texts(DATA / "test.parquet", classes)
    half = len(held_out) // 2
    return {
        "train": Texts(DATA / "train.parquet", classes),
        "features": held_out.features[:half],
        "targets": held_out.targets[:half],
    }


def train(run: Run) -> float:
    """Train one configuration and return its accuracy on held-out texts."""
    torch.manual_seed(run.seed)
    texts = run.data["train"]
    model = Classifier(int(texts.targets.max()) + 1)
    hidden, classes = run.params["hidden"], model.head[-1].out_features
    model.head = nn.Sequential(
        nn.Linear(model.bag.embedding_dim, hidden),
        nn.ReLU(),
        nn.Dropout(run.params["dropout"]),
        nn.Linear(hidden, classes),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=run.params["lr"])
    sampler = ManifestSampler(run.curriculum, ids=texts.ids)
    batch = run.params["batch"]
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, sampler.steps(batch))
    fit(
        model,
        texts,
        sampler,
        loss=nn.functional.cross_entropy,
        optimizer=optimizer,
        batch_size=batch,
        scheduler=cosine,
        collate=lambda rows: rows,
        progress=False,
        checkpoint=run.checkpoint,
    )
    model.eval()
    with torch.no_grad():
        found = model(run.data["features"]).argmax(1)
    return float((found == run.data["targets"]).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--configurations", type=int, default=27)
    arguments = parser.parse_args()
    folder = arguments.manifest.parent / "tuning"
    search = Search(
        train,
        SPACE,
        arguments.manifest,
        epochs=12,
        configurations=arguments.configurations,
        data=load,
        folder=folder,
        name="plain",
    )
    summary = search.run()
    print(summary)
    draw(summary, folder / "plain.html")


if __name__ == "__main__":
    main()
