"""Hosts of training whose epochs, of a budget in tokens, differ in their number of batches."""

from __future__ import annotations

import numpy as np
import pytest
from host_data import BATCH, EPOCHS, FRACTION, N, Probe, batches, changed, orders
from small_manifest import write_small_manifest

from syllabus.trainer import Curriculum, ManifestSampler

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers:UserWarning",
    "ignore:.*number of training batches:UserWarning",
    "ignore:.*when using .ckpt_path., callbacks used to create:UserWarning",
    "ignore:.isinstance.treespec, LeafSpec.. is deprecated:FutureWarning",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A manifest, its data set, and the batches of each epoch: the first epoch has fewer than the others."""
    lengths = np.random.default_rng(0).geometric(0.05, N)
    manifest = write_small_manifest(tmp_path_factory.mktemp("m") / "m", n=N, fractions=(), weights=lengths)
    epochs = [batches(order) for order in orders(manifest)]
    assert len(epochs[0]) < min(map(len, epochs[1:]))
    return manifest, changed(manifest), epochs


def joined(epochs):
    return [batch for epoch in epochs for batch in epoch]


def test_accelerate_goes_by_each_epoch(made, tmp_path):
    import with_accelerate

    manifest, dataset, epochs = made
    model = Probe()
    for stop in (2, 3, None):
        with_accelerate.train(manifest, dataset, model, tmp_path / "a", EPOCHS, 0, stop)
    assert model.seen == joined(epochs)


def test_the_trainer_takes_all_epochs_for_as_long_as_the_loader_is_when_it_begins(made, tmp_path):
    import with_trainer
    from transformers import TrainingArguments

    manifest, dataset, epochs = made
    for longest_first in (False, True):
        curriculum = Curriculum(manifest, FRACTION, EPOCHS, seed=0)
        sampler = ManifestSampler(curriculum, ids=dataset["id"], num_replicas=1, rank=0)
        arguments = TrainingArguments(
            output_dir=str(tmp_path), num_train_epochs=EPOCHS, per_device_train_batch_size=BATCH,
            save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True,
        )  # fmt: skip
        model = Probe()
        trainer = with_trainer.ManifestTrainer(model, arguments, train_dataset=dataset, sampler=sampler)
        if longest_first:
            sampler.set_epoch(max(range(EPOCHS), key=curriculum.count))
        trainer.train()
        cut = len(epochs[0]) if not longest_first else None
        assert model.seen == joined(epoch[:cut] for epoch in epochs)


def test_lightning_asks_anew_for_every_epochs_loader(made, tmp_path, monkeypatch):
    import with_lightning
    from pytorch_lightning.callbacks import ModelCheckpoint

    manifest, dataset, epochs = made
    model = Probe()
    with_lightning.train(manifest, dataset, model, EPOCHS)
    assert model.seen == joined(
        epoch[: len(epochs[0])] for epoch in epochs
    )  # what the documentation warns of

    plain = with_lightning.Learner.train_dataloader

    def train_dataloader(self):
        loader = plain(self)
        loader.sampler.set_epoch(self.trainer.current_epoch)
        return loader

    monkeypatch.setattr(with_lightning.Learner, "train_dataloader", train_dataloader)
    anew = {"reload_dataloaders_every_n_epochs": 1}
    keep = [ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=3, save_top_k=-1)]
    model = Probe()
    with_lightning.train(manifest, dataset, model, EPOCHS, enable_checkpointing=True, callbacks=keep, **anew)
    assert model.seen == joined(epochs)
    for step in (3, 6):
        model = Probe()
        resume = tmp_path / f"step={step}.ckpt"
        with_lightning.train(manifest, dataset, model, EPOCHS, resume=resume, **anew)
        assert model.seen == joined(epochs)[step:]
