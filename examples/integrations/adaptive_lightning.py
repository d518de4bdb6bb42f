"""Adaptive batch sizes under Lightning: manual optimization, with the batches that Lightning deals out.

    python examples/integrations/adaptive_lightning.py

Traps: Lightning fetches ahead, so `microbatches` is not for it: `begin` says what has come, and whether the
epoch ends with it. Batches are not joined or divided then; sizes are multiples of the loader's. On several
devices it is refused: Lightning's DDP averages gradients before `training_step` could say not to.
"""

from __future__ import annotations

import argparse

import datasets
import pytorch_lightning as lightning
import torch
from material import Classifier, accuracy, columns, prepared, tokenised
from torch.utils.data import DataLoader

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, ManifestSampler
from syllabus.trainer.batch_size import AdaptiveBatchSize, BatchSizeController, GeoDamp


class Learner(lightning.LightningModule):
    """A model, its epochs' data, and the sizes of its updates."""

    def __init__(
        self,
        model: torch.nn.Module,
        manifest: Manifest,
        dataset: datasets.Dataset,
        controller: BatchSizeController,
        epochs: int,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model, self.manifest, self.dataset = model, manifest, dataset
        self.controller, self.epochs = controller, epochs

    def train_dataloader(self) -> DataLoader:
        """Return the loader."""
        curriculum = Curriculum(self.manifest, fraction=0.2, epochs=self.epochs, seed=0)
        sampler = ManifestSampler(curriculum, ids=self.dataset["id"])
        return DataLoader(columns(self.dataset), batch_size=4, sampler=sampler)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam, and let the sizes be applied to it."""
        optimizer = torch.optim.Adam(self.parameters(), lr=0.02)
        self.adaptive = AdaptiveBatchSize(self.model, optimizer, self.controller, grain=4)
        return optimizer

    def training_step(self, batch: dict[str, torch.Tensor]) -> None:
        """Accumulate, and step where an update is complete."""
        adaptive, optimizer = self.adaptive, self.optimizers()
        adaptive.begin(len(batch["labels"]), last=self.trainer.is_last_batch)
        self.manual_backward(adaptive.scaled(self.model(**batch)["loss"]))
        if adaptive.complete:
            optimizer.step()  # Lightning's, which counts its steps
            optimizer.zero_grad()
            adaptive.updated()


def train(
    manifest: Manifest,
    dataset: datasets.Dataset,
    model: torch.nn.Module,
    controller: BatchSizeController,
    epochs: int = 10,
) -> AdaptiveBatchSize:
    trainer = lightning.Trainer(
        max_epochs=epochs,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        accelerator="cpu",
        devices=1,
    )
    learner = Learner(model, manifest, dataset, controller, epochs)
    trainer.fit(learner)
    return learner.adaptive


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
