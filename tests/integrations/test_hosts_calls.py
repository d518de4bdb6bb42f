"""What each host calls when: validation in between, sanity check, batch size finder, shared samplers."""

from __future__ import annotations

import warnings

import pytest
import torch
from host_data import BATCH, EPOCHS, FRACTION, Probe, batches, changed, manifest_in, orders
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from syllabus.trainer import Curriculum, GraB, ManifestSampler, TrainerError

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers:UserWarning",
    "ignore:.*number of training batches:UserWarning",
    "ignore:.*when using .ckpt_path., callbacks used to create:UserWarning",
    "ignore:.isinstance.treespec, LeafSpec.. is deprecated:FutureWarning",
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return manifest_in(tmp_path_factory.mktemp("manifest"))


@pytest.fixture(scope="module")
def dataset(manifest):
    return changed(manifest)


@pytest.fixture(scope="module")
def steps(manifest) -> list[list[int]]:
    return [batch for order in orders(manifest) for batch in batches(order)]


def sampler(manifest, *arguments, **options) -> ManifestSampler:
    return ManifestSampler(Curriculum(manifest, FRACTION, EPOCHS, seed=0), *arguments, **options)


# Lightning


@pytest.fixture
def early(monkeypatch):
    """Has Lightning make the loader, and its iterator, before it reads where the run stands."""
    import with_lightning

    def configure_optimizers(self):
        optimizer, steps = torch.optim.Adam(self.parameters()), self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=int(steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    monkeypatch.setattr(with_lightning.Learner, "configure_optimizers", configure_optimizers)
    return with_lightning


def lightning_run(module, manifest, dataset, folder, workers=0, **options) -> list[list[int]]:
    """A run that saves after every step."""
    from pytorch_lightning.callbacks import ModelCheckpoint

    keep = ModelCheckpoint(folder, "{step}", every_n_train_steps=1, save_top_k=-1)
    callbacks = [keep, *options.pop("callbacks", [])]
    saving = {"enable_checkpointing": True, "callbacks": callbacks, "default_root_dir": folder, **options}
    model = Probe()
    module.train(manifest, dataset, model, EPOCHS, workers, **saving)
    return model.seen


@pytest.mark.parametrize("workers", [0, 1])
def test_lightning_with_a_schedule_over_all_steps_resumes(manifest, dataset, steps, early, workers, tmp_path):
    assert lightning_run(early, manifest, dataset, tmp_path, workers) == steps
    for step in (1, 4, 5, 8):
        model, resume = Probe(), tmp_path / f"step={step}.ckpt"
        early.train(manifest, dataset, model, EPOCHS, workers, resume=resume)
        assert model.seen == steps[step:]


def test_lightning_that_loses_the_position_is_in_the_right_epoch_with_a_warning(
    manifest, dataset, steps, early, monkeypatch, tmp_path
):
    lightning_run(early, manifest, dataset, tmp_path)
    monkeypatch.delattr(early.Learner, "on_load_checkpoint")
    moved = r"set_epoch(1) moves an iterator that was made for epoch 0; if the run goes on in mid-epoch"
    stale = "epoch 1 was named after rows of epoch 0 were given out"
    for workers, told in ((0, moved), (1, stale)):  # a worker has fetched rows of epoch 0 by then
        model = Probe()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            early.train(manifest, dataset, model, EPOCHS, workers, resume=tmp_path / "step=8.ckpt")
        assert [told in str(one.message) for one in caught].count(True) == 1
        if not workers:
            assert model.seen == [*steps[5:7], *steps[10:]]


def with_validation(monkeypatch, module, loader) -> list[int]:
    """Have the learner validate on a loader; returns the list that numbers of batches go to."""
    seen: list[int] = []

    def validation_step(_, batch, batch_idx):  # noqa: ARG001 - named as Lightning names it
        seen.append(len(batch["labels"]))

    monkeypatch.setattr(module.Learner, "val_dataloader", loader, raising=False)
    monkeypatch.setattr(module.Learner, "validation_step", validation_step, raising=False)
    return seen


@pytest.mark.parametrize("shared", [False, True])
def test_lightning_validates_in_between_and_checks_first(
    manifest, dataset, steps, monkeypatch, shared, tmp_path
):
    import with_lightning

    plain = with_lightning.Learner.train_dataloader

    def train_dataloader(self):
        self.loader = plain(self)
        return self.loader

    def val_dataloader(self):
        one = (
            self.loader.sampler
            if shared and hasattr(self, "loader")
            else sampler(manifest, ids=dataset["id"])
        )
        return DataLoader(
            self.loader.dataset if hasattr(self, "loader") else plain(self).dataset, 5, sampler=one
        )

    monkeypatch.setattr(with_lightning.Learner, "train_dataloader", train_dataloader)
    seen = with_validation(monkeypatch, with_lightning, val_dataloader)
    options = {"num_sanity_val_steps": 2, "val_check_interval": 2, "limit_val_batches": 3}
    assert lightning_run(with_lightning, manifest, dataset, tmp_path, **options) == steps
    assert len(seen) == 2 + 3 * 2 * EPOCHS
    for step in (2, 3, 5, 7):
        model, resume = Probe(), tmp_path / f"step={step}.ckpt"
        with_lightning.train(manifest, dataset, model, EPOCHS, resume=resume, **options)
        assert model.seen == steps[step:]


@pytest.mark.parametrize("kept", [False, True])
def test_lightnings_batch_size_finder_leaves_nothing_behind(manifest, dataset, monkeypatch, kept, tmp_path):
    import with_lightning
    from pytorch_lightning.callbacks import BatchSizeFinder

    one = sampler(manifest, ids=dataset["id"])
    plain = with_lightning.Learner.train_dataloader

    def train_dataloader(self):
        loader = plain(self)
        return StatefulDataLoader(loader.dataset, self.batch_size, sampler=one if kept else loader.sampler)

    monkeypatch.setattr(with_lightning.Learner, "train_dataloader", train_dataloader)
    monkeypatch.setattr(with_lightning.Learner, "batch_size", 2, raising=False)
    finder = BatchSizeFinder(steps_per_trial=3, init_val=2, max_trials=2)
    seen = lightning_run(with_lightning, manifest, dataset, tmp_path, callbacks=[finder])
    size = len(seen[-2])
    assert size > 2
    expected = [batch for order in orders(manifest) for batch in batches(order, size)]
    assert seen[-len(expected) :] == expected


# accelerate and the Trainer


def test_accelerate_evaluates_in_between(manifest, dataset, steps):
    from accelerate import Accelerator

    one = sampler(manifest, ids=dataset["id"], num_replicas=1, rank=0)
    rows = dataset.select_columns(["tokens", "labels"]).with_format("torch")
    loaders = [DataLoader(rows, BATCH, sampler=one), DataLoader(rows, 5, sampler=one)]
    accelerator = Accelerator(cpu=True)
    train, test = accelerator.prepare(*loaders)
    seen = []
    for epoch in range(EPOCHS):
        train.set_epoch(epoch)
        for batch in train:
            seen.append(batch["tokens"][:, 0].tolist())
            if len(seen) % 2:
                test.set_epoch(epoch)
                assert sum(len(part["labels"]) for part in test) == len(one)
    assert seen == steps


def test_the_trainer_evaluates_in_between_and_resumes(manifest, dataset, steps, tmp_path):
    import with_trainer
    from transformers import TrainingArguments

    for resume in (None, 3, 7):
        one = sampler(manifest, ids=dataset["id"], num_replicas=1, rank=0)
        arguments = TrainingArguments(
            output_dir=str(tmp_path / "run"), num_train_epochs=EPOCHS, per_device_train_batch_size=BATCH,
            eval_strategy="steps", eval_steps=2, eval_on_start=True, save_strategy="steps", save_steps=1,
            report_to=[], disable_tqdm=True, use_cpu=True, label_names=["labels"],
        )  # fmt: skip
        model = Probe()
        found: list[list[int]] = []

        def note(module, _, named, found=found) -> None:
            if module.training:
                found.append(named["tokens"][:, 0].tolist())

        model.register_forward_pre_hook(note, with_kwargs=True)
        trainer = with_trainer.ManifestTrainer(
            model, arguments, train_dataset=dataset, eval_dataset=dataset.select(range(12)), sampler=one
        )
        trainer.train(resume_from_checkpoint=resume and str(tmp_path / "run" / f"checkpoint-{resume}"))
        assert found == steps[resume or 0 :]


# Loaders over one sampler


@pytest.mark.parametrize("kind", [DataLoader, StatefulDataLoader])
@pytest.mark.parametrize("workers", [0, 2])
def test_two_loaders_over_one_sampler_each_give_the_epoch(manifest, kind, workers):
    one = sampler(manifest)
    order = orders(manifest)[1]
    first, second = (
        kind(range(200), BATCH, sampler=one, num_workers=workers),
        kind(range(200), 5, sampler=one),
    )
    one.set_epoch(1)
    seen, position = [], []
    for batch in first:
        seen.append(batch.tolist())
        assert [part.tolist() for part in second] == batches(order, 5)
        position.append(one.state_dict()["epoch"])
    assert seen == batches(order)
    assert set(position) == {2}  # of the second one, which ended: so each needs a sampler of its own


def test_the_state_is_of_the_iterator_that_gives_rows(manifest):
    one = sampler(manifest)
    rows = iter(one)
    for _ in range(4):
        next(rows)
    other = iter(one)
    assert one.state_dict()["global_examples"] == 0
    next(rows)
    assert one.state_dict()["global_examples"] == one.given_out == 5
    assert len(list(other)) == len(one)
    assert one.state_dict()["epoch"] == 1
    next(rows)
    assert one.state_dict()["global_examples"] == 6


def test_with_grab_loaders_that_alternate_are_an_error(manifest):
    one = sampler(manifest, GraB())
    rows, other = iter(one), iter(one)
    next(rows)
    next(other)
    with pytest.raises(TrainerError, match="two iterators give rows by turns, and GraB cannot tell whose"):
        next(rows)


@pytest.mark.parametrize("early", [1, 4])
def test_an_iterator_that_has_given_nothing_goes_where_the_sampler_goes(manifest, early):
    order = orders(manifest)
    one = sampler(manifest)
    waiting = [iter(one) for _ in range(early)]
    with pytest.warns(UserWarning, match=r"set_epoch\(2\) moves an iterator that was made for epoch 0"):
        one.set_epoch(2)
    assert [list(rows) for rows in waiting] == [order[2]] * early
    rows = iter(one)
    one.load_state_dict({**one.state_dict(), "epoch": 1, "global_examples": 11})
    one.set_epoch(1)
    assert list(rows) == order[1][11:]


def test_an_iterator_that_goes_on_with_another_epoch_warns_and_its_end_does_not(manifest):
    one = sampler(manifest)
    order = orders(manifest)[0]
    rows = iter(one)
    head = [next(rows) for _ in range(3)]
    one.set_epoch(1)
    assert one.state_dict()["epoch"] == 1
    with pytest.warns(UserWarning, match="epoch 1 was named after rows of epoch 0 were given out"):
        head.append(next(rows))
    assert head + list(rows) == order
    one.set_epoch(0)
    rows = iter(one)
    whole = [next(rows) for _ in order]
    one.set_epoch(1)
    assert next(rows, None) is None
    assert whole == order


def test_grab_counts_rows_that_workers_fetched_before_the_epoch_was_named(manifest):
    grab = GraB()
    one = sampler(manifest, grab)
    one.set_epoch(0)
    rows = iter(one)
    some = [next(rows) for _ in range(4)]
    one.set_epoch(0)  # as Lightning does
    assert one.state_dict()["global_examples"] == 0
    assert one.given_out == len(some)
    grab.step(torch.ones(4, 2))
    next(rows)
    assert one.state_dict()["global_examples"] == 5


def test_grab_of_an_epoch_without_a_batch_says_what_may_be_the_matter(manifest):
    one = sampler(manifest, GraB())
    one.set_epoch(0)
    assert not list(DataLoader(range(200), 64, sampler=one, drop_last=True))
    with pytest.raises(
        TrainerError, match=r"epoch 0 of 38 examples got no gradients; .* drop_last makes no batch"
    ):
        one.set_epoch(1)
