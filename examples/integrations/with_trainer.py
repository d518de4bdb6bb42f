"""Hugging Face's Trainer: one method says which sampler, one callback says which epoch.

    python examples/integrations/with_trainer.py

Traps: the Trainer deals batches out through accelerate, so the sampler must not: num_replicas=1, rank=0.
It drops the columns that the model does not take, `id` among them: read the ids from the data set before.
Resuming in mid-epoch it skips batches and, on several processes, does not tell the sampler the epoch: the
callback does. It counts epochs in steps: resume at the same global batch (devices × batch size ×
accumulation).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import datasets
import torch
from material import DATA, Classifier, accuracy, prepared, tokenised
from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, ManifestSampler


class ManifestTrainer(Trainer):
    """A Trainer that draws its training examples by a ManifestSampler."""

    def __init__(self, *args: Any, sampler: ManifestSampler, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sampler = sampler
        self.add_callback(TellEpoch(sampler))

    def _get_train_sampler(self, train_dataset: Any = None) -> ManifestSampler:
        self.sampler.check(train_dataset)
        return self.sampler


class TellEpoch(TrainerCallback):
    """Tells the sampler the epoch that begins or goes on."""

    def __init__(self, sampler: ManifestSampler) -> None:
        self.sampler = sampler

    def on_epoch_begin(self, _: TrainingArguments, state: TrainerState, *__: Any, **___: Any) -> None:
        """Do it; in a resumed epoch `state.epoch` is a fraction."""
        self.sampler.set_epoch(int(state.epoch or 0))


def train(
    manifest: Manifest,
    dataset: datasets.Dataset,
    model: torch.nn.Module,
    folder: Path,
    epochs: int = 10,
    resume: Path | None = None,
    **options: Any,
) -> None:
    curriculum = Curriculum(manifest, fraction=0.2, epochs=epochs, seed=0)
    sampler = ManifestSampler(curriculum, ids=dataset["id"], num_replicas=1, rank=0)
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        per_device_train_batch_size=8,
        learning_rate=0.02,
        lr_scheduler_type="constant",
        report_to=[],
        **{"save_strategy": "no", "disable_tqdm": True, "use_cpu": True, **options},
    )
    trainer = ManifestTrainer(model, arguments, train_dataset=dataset, sampler=sampler)
    trainer.train(resume_from_checkpoint=resume and str(resume))


def main() -> None:
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    manifest, dataset = prepared(), tokenised()
    torch.manual_seed(0)
    model = Classifier()
    train(manifest, dataset, model, DATA / "trainer")
    print(
        f"accuracy on all {len(dataset):,} texts after two passes over them: {accuracy(model, dataset):.1%}"
    )


if __name__ == "__main__":
    main()
