"""Adaptive batch sizes under Hugging Face accelerate: the loop stays, `backward` is accelerate's.

    python examples/integrations/adaptive_accelerate.py
    accelerate launch --cpu --num_processes 2 examples/integrations/adaptive_accelerate.py

Traps: make the AdaptiveBatchSize after `prepare`, which wraps the model. Leave `gradient_accumulation_steps`
at 1 and `accelerator.accumulate` out: the accumulation is done here. Sizes are of all processes together.
"""

from __future__ import annotations

import argparse

import datasets
import torch
from accelerate import Accelerator
from material import Classifier, accuracy, columns, prepared, tokenised
from torch.utils.data import DataLoader

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, ManifestSampler
from syllabus.trainer.batch_size import AdaptiveBatchSize, BatchSizeController, GeoDamp


def train(
    manifest: Manifest,
    dataset: datasets.Dataset,
    model: torch.nn.Module,
    controller: BatchSizeController,
    epochs: int = 10,
) -> AdaptiveBatchSize:
    accelerator = Accelerator(cpu=True)
    curriculum = Curriculum(manifest, fraction=0.2, epochs=epochs, seed=0)
    sampler = ManifestSampler(curriculum, ids=dataset["id"], num_replicas=1, rank=0)
    loader = DataLoader(columns(dataset), batch_size=4, sampler=sampler)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    adaptive = AdaptiveBatchSize(model, optimizer, controller, grain=4)
    for epoch in range(epochs):
        loader.set_epoch(epoch)
        for batch in adaptive.microbatches(loader):
            accelerator.backward(adaptive.scaled(model(**batch)["loss"]))
            adaptive.step()
    return adaptive


def main() -> None:
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    manifest, dataset = prepared(), tokenised()
    torch.manual_seed(0)
    model = Classifier()
    adaptive = train(manifest, dataset, model, BatchSizeController(GeoDamp(epochs=3), initial=8))
    print(
        f"accuracy on all {len(dataset):,} texts after {adaptive.updates:,} updates,"
        f" the last of {adaptive.decision.batch_size} examples: {accuracy(model, dataset):.1%}"
    )


if __name__ == "__main__":
    main()
