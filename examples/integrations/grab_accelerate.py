"""GraB under Hugging Face accelerate, on one process or several (CD-GraB).

    python examples/integrations/grab_accelerate.py
    accelerate launch --cpu --num_processes 2 examples/integrations/grab_accelerate.py

Traps: `prepare` deals the batches out, so the sampler must not: num_replicas=1, rank=0; GraB then counts
whole batches to each process. All need batches of one size: leave `even_batches` as it is. Give the loss to
`features.watch` before `accelerator.backward`, and call `grab.step` before the optimizer.
"""

from __future__ import annotations

import argparse

import datasets
import torch
from accelerate import Accelerator
from material import Classifier, accuracy, columns, prepared, tokenised
from torch.utils.data import DataLoader

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, GraB, LastLayer, ManifestSampler


def train(
    manifest: Manifest,
    dataset: datasets.Dataset,
    model: torch.nn.Module,
    head: torch.nn.Linear,
    epochs: int = 3,
    batch_size: int = 8,
) -> GraB:
    """Train `model`, whose last layer is `head`, and return what has learnt the order."""
    accelerator = Accelerator(cpu=True)
    grab, features = GraB(), LastLayer(head)
    curriculum = Curriculum(manifest, fraction=1.0, epochs=epochs, schedule="fresh", seed=0)
    sampler = ManifestSampler(curriculum, grab, ids=dataset["id"], num_replicas=1, rank=0)
    loader = DataLoader(columns(dataset), batch_size=batch_size, sampler=sampler)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for epoch in range(epochs):
        loader.set_epoch(epoch)
        for batch in loader:
            accelerator.backward(features.watch(model(**batch)["loss"], reduction="mean"))
            grab.step(features())
            optimizer.step()
            optimizer.zero_grad()
    return grab


def main() -> None:
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    manifest, dataset = prepared(), tokenised()
    torch.manual_seed(0)
    model = Classifier()
    train(manifest, dataset, model, model.head)
    right = accuracy(model, dataset)
    print(f"accuracy on all {len(dataset):,} texts after three passes over them: {right:.1%}")


if __name__ == "__main__":
    main()
