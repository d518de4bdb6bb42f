"""Plain PyTorch: the sampler in a DataLoader, alone or under DistributedDataParallel.

    python examples/integrations/with_dataloader.py
    torchrun --standalone --nproc_per_node 2 examples/integrations/with_dataloader.py

Traps: without `set_epoch` every epoch trains on the first one's examples. A sampler that is made before
the process group takes itself for the only one; it then refuses to run, or every rank would train on
everything.
"""

from __future__ import annotations

import argparse
import os

import datasets
import torch
from material import Classifier, accuracy, columns, prepared, tokenised
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, ManifestSampler


def train(
    manifest: Manifest, dataset: datasets.Dataset, model: torch.nn.Module, epochs: int = 10, workers: int = 2
) -> None:
    curriculum = Curriculum(manifest, fraction=0.2, epochs=epochs, seed=0)
    sampler = ManifestSampler(curriculum, ids=dataset["id"])  # ranks: those of torch.distributed
    loader = DataLoader(columns(dataset), batch_size=8, sampler=sampler, num_workers=workers)
    if torch.distributed.is_initialized():
        model = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for batch in loader:
            optimizer.zero_grad()
            model(**batch)["loss"].backward()
            optimizer.step()


def main() -> None:
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    manifest = prepared()
    if "RANK" in os.environ:  # torchrun's
        torch.distributed.init_process_group("gloo")
    torch.manual_seed(0)
    dataset, model = tokenised(), Classifier()
    train(manifest, dataset, model)
    print(
        f"accuracy on all {len(dataset):,} texts after two passes over them: {accuracy(model, dataset):.1%}"
    )


if __name__ == "__main__":
    main()
