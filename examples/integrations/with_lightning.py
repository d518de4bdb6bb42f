"""Lightning: the loader is made in `train_dataloader`, and Lightning does the rest.

    python examples/integrations/with_lightning.py

Traps: under DDP a custom sampler is replaced by a shuffling one unless it is a DistributedSampler, which
ManifestSampler is. A sampler that is made before `fit` does not know the ranks yet and refuses to run:
make it in `train_dataloader`. A checkpoint in mid-epoch holds the loader's position only where the loader
has a state: with torchdata's StatefulDataLoader the run goes on exactly; with a DataLoader the epoch's
first batches come again. And Lightning drops that state where the loader is made before the checkpoint's
loops are read, as `estimated_stepping_batches` in `configure_optimizers` does: `on_load_checkpoint` keeps it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import datasets
import pytorch_lightning as lightning
import torch
from material import Classifier, accuracy, columns, prepared, tokenised
from torchdata.stateful_dataloader import StatefulDataLoader

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, ManifestSampler


class Learner(lightning.LightningModule):
    """A model and the epochs' data."""

    def __init__(
        self, model: torch.nn.Module, manifest: Manifest, dataset: datasets.Dataset, epochs: int, workers: int
    ) -> None:
        super().__init__()
        self.model, self.manifest, self.dataset = model, manifest, dataset
        self.epochs, self.workers = epochs, workers
        self.position: dict[str, Any] | None = None  # of the run that goes on

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the loader's state, which is read before the loader is made."""
        self.position = checkpoint["loops"]["fit_loop"]["state_dict"]

    def train_dataloader(self) -> StatefulDataLoader:
        """Return the loader; it is asked for when the ranks are known."""
        curriculum = Curriculum(self.manifest, fraction=0.2, epochs=self.epochs, seed=0)
        sampler = ManifestSampler(curriculum, ids=self.dataset["id"])
        if self.position and self.position.get("combined_loader"):
            sampler.load_state_dict(self.position)
        self.position = None  # once: a loader that is made later begins an epoch
        rows = columns(self.dataset)
        return StatefulDataLoader(rows, batch_size=8, sampler=sampler, num_workers=self.workers)

    def training_step(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the loss of a batch."""
        return self.model(**batch)["loss"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=0.02)


def train(
    manifest: Manifest,
    dataset: datasets.Dataset,
    model: torch.nn.Module,
    epochs: int = 10,
    workers: int = 0,
    resume: Path | None = None,
    **options: Any,
) -> None:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    defaults = {**quiet, "enable_checkpointing": False, "accelerator": "cpu", "devices": 1}
    trainer = lightning.Trainer(max_epochs=epochs, **{**defaults, **options})
    trainer.fit(Learner(model, manifest, dataset, epochs, workers), ckpt_path=resume)


def main() -> None:
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    manifest, dataset = prepared(), tokenised()
    torch.manual_seed(0)
    model = Classifier()
    train(manifest, dataset, model)
    print(
        f"accuracy on all {len(dataset):,} texts after two passes over them: {accuracy(model, dataset):.1%}"
    )


if __name__ == "__main__":
    main()
