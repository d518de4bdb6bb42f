"""Hugging Face accelerate: the loader goes through `prepare` as any other.

    python examples/integrations/with_accelerate.py
    accelerate launch --cpu --num_processes 2 examples/integrations/with_accelerate.py

Traps: `prepare` deals the batches out to the processes, so the sampler must not: num_replicas=1, rank=0.
The prepared loader counts epochs from 0 and tells the sampler: name the epoch to the loader, or a resumed
run drops its position (with a warning). It reads a batch ahead, so the sampler's own state is too far:
say what was used. (`prepare` also loses batches of variable size; the sampler gives single examples, so
there are none.)
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import datasets
import torch
from accelerate import Accelerator
from material import DATA, Classifier, accuracy, columns, prepared, tokenised
from torch.utils.data import DataLoader

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, ManifestSampler


class Position:
    """What `accelerator.save_state` keeps of the data: the examples used in the epoch by all processes."""

    def __init__(self, sampler: ManifestSampler) -> None:
        self.sampler, self.used = sampler, 0

    def state_dict(self) -> dict[str, Any]:
        """Return the sampler's state at what was used, not at what was read ahead."""
        return self.sampler.state_dict(self.used)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on there."""
        self.sampler.load_state_dict(state)
        self.used = state["global_examples"]


def train(
    manifest: Manifest,
    dataset: datasets.Dataset,
    model: torch.nn.Module,
    folder: Path,
    epochs: int = 10,
    workers: int = 0,
    stop_after: int | None = None,
) -> None:
    """Train from where `folder` stands, if it is there; `stop_after` so many steps, as a crash would."""
    accelerator = Accelerator(cpu=True)
    curriculum = Curriculum(manifest, fraction=0.2, epochs=epochs, seed=0)
    sampler = ManifestSampler(curriculum, ids=dataset["id"], num_replicas=1, rank=0)
    loader = DataLoader(columns(dataset), batch_size=8, sampler=sampler, num_workers=workers)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    position = Position(sampler)
    accelerator.register_for_checkpointing(position)
    if folder.exists():
        accelerator.load_state(folder)
    steps = 0
    for epoch in range(sampler.epoch, epochs):
        loader.set_epoch(epoch)  # the loader's, which passes it on
        for batch in loader:
            optimizer.zero_grad()
            accelerator.backward(model(**batch)["loss"])
            optimizer.step()
            position.used += 8 * accelerator.num_processes
            steps += 1
            if steps == stop_after:
                accelerator.save_state(folder)
                return
        position.used = 0


def main() -> None:
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    manifest, dataset = prepared(), tokenised()
    torch.manual_seed(0)
    model = Classifier()
    train(manifest, dataset, model, DATA / "accelerate")
    print(
        f"accuracy on all {len(dataset):,} texts after two passes over them: {accuracy(model, dataset):.1%}"
    )


if __name__ == "__main__":
    main()
