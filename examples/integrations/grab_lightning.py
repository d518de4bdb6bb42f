"""GraB under Lightning, on one device or under its DDP (CD-GraB).

    python examples/integrations/grab_lightning.py

Traps: make sampler and loader in `train_dataloader`, when the ranks are known. Call `grab.step` in
`on_after_backward`, which comes once a batch, also where several are accumulated. Keep GraB's state in the
checkpoint by the two hooks; a loader that has a state keeps the sampler's.
"""

from __future__ import annotations

import argparse
from typing import Any

import datasets
import pytorch_lightning as lightning
import torch
from material import Classifier, accuracy, columns, prepared, tokenised
from torchdata.stateful_dataloader import StatefulDataLoader

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, GraB, LastLayer, ManifestSampler


class Learner(lightning.LightningModule):
    """A model whose last layer is `head`, its epochs' data, and what learns their order."""

    def __init__(
        self,
        model: torch.nn.Module,
        head: torch.nn.Linear,
        manifest: Manifest,
        dataset: datasets.Dataset,
        epochs: int,
    ) -> None:
        super().__init__()
        self.model, self.manifest, self.dataset, self.epochs = model, manifest, dataset, epochs
        self.grab, self.features = GraB(), LastLayer(head)
        self.saved: dict[str, Any] | None = None  # of the run that goes on

    def train_dataloader(self) -> StatefulDataLoader:
        """Return the loader; it is asked for when the ranks are known."""
        curriculum = Curriculum(self.manifest, 1.0, self.epochs, schedule="fresh", seed=0)
        sampler = ManifestSampler(curriculum, self.grab, ids=self.dataset["id"])
        if self.saved is not None:
            self.grab.load_state_dict(self.saved)
        return StatefulDataLoader(columns(self.dataset), batch_size=4, sampler=sampler)

    def training_step(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the loss of a batch."""
        return self.features.watch(self.model(**batch)["loss"], reduction="mean")

    def on_after_backward(self) -> None:
        """Tell GraB the gradients of the batch."""
        self.grab.step(self.features())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep GraB's state, which is the same on every rank."""
        checkpoint["grab"] = self.grab.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it when the sampler is made."""
        self.saved = checkpoint["grab"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=0.02)


def train(
    manifest: Manifest,
    dataset: datasets.Dataset,
    model: torch.nn.Module,
    head: torch.nn.Linear,
    epochs: int = 3,
    resume: str | None = None,
    **options: Any,
) -> GraB:
    """Train and return what has learnt the order; `options` are the Trainer's."""
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    defaults = {**quiet, "enable_checkpointing": False, "accelerator": "cpu", "devices": 1}
    learner = Learner(model, head, manifest, dataset, epochs)
    lightning.Trainer(max_epochs=epochs, **{**defaults, **options}).fit(learner, ckpt_path=resume)
    return learner.grab


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
