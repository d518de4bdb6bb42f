"""Grain: every epoch a `MapDataset` over its rows in order, sliced over processes, with exact checkpoints.

    pip install grain
    python examples/integrations/with_grain.py

Grain reads by random access: position p of an epoch is row `rows[p]`, so a checkpoint is a number and
resuming reads nothing twice. Keep the epoch beside grain's own state, which counts within one.

Traps: grain's `shuffle` would throw the order away: leave it out. With several processes give the sampler
`num_replicas=1, rank=0` and let `slice` deal the positions out, or each would see a part of its part.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import grain
import numpy as np
import torch
from material import Classifier, accuracy, prepared, tokenised

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, ManifestSampler

BATCH = 8


class Epoch(Sequence[Any]):
    """The examples of one epoch in order: what grain calls a random access data source."""

    def __init__(self, dataset: datasets.Dataset, sampler: ManifestSampler, epoch: int) -> None:
        sampler.set_epoch(epoch)
        self.dataset, self.rows = dataset, list(sampler)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> dict[str, np.ndarray]:
        return self.dataset[self.rows[position]]


def batches(epoch: Epoch, rank: int = 0, world: int = 1) -> grain.DatasetIterator:
    """Return the batches of one process; its `get_state` and `set_state` are the position in the epoch."""
    rows = grain.MapDataset.source(epoch).slice(slice(rank, None, world))
    return iter(rows.batch(BATCH).to_iter_dataset())


def train(
    manifest: Manifest,
    dataset: datasets.Dataset,
    model: torch.nn.Module,
    checkpoint: Path,
    epochs: int = 10,
    stop: int | None = None,
) -> None:
    """Train; go on from the checkpoint if there is one, and end after `stop` steps with another."""
    curriculum = Curriculum(manifest, fraction=0.2, epochs=epochs, seed=0)
    sampler = ManifestSampler(curriculum, ids=dataset["id"], num_replicas=1, rank=0)
    arrays = dataset.select_columns(["tokens", "labels"]).with_format("numpy")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    saved = json.loads(checkpoint.read_text()) if checkpoint.exists() else {"epoch": 0, "position": None}
    steps = 0
    for epoch in range(saved["epoch"], epochs):
        iterator = batches(Epoch(arrays, sampler, epoch))
        if epoch == saved["epoch"] and saved["position"] is not None:
            iterator.set_state(saved["position"])
        for batch in iterator:
            optimizer.zero_grad()
            model(**{name: torch.as_tensor(values) for name, values in batch.items()})["loss"].backward()
            optimizer.step()
            steps += 1
            if steps == stop:  # a real run saves the model and the optimizer too
                checkpoint.write_text(json.dumps({"epoch": epoch, "position": iterator.get_state()}))
                return


def main() -> None:
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    manifest = prepared()
    torch.manual_seed(0)
    dataset, model = tokenised(), Classifier()
    with tempfile.TemporaryDirectory() as folder:
        train(manifest, dataset, model, Path(folder) / "checkpoint.json")
    print(
        f"accuracy on all {len(dataset):,} texts after two passes over them: {accuracy(model, dataset):.1%}"
    )


if __name__ == "__main__":
    main()
