"""Each host, with the real library in one process: the examples train on exactly what the manifest says."""

from __future__ import annotations

import itertools
from importlib import import_module
from types import SimpleNamespace

import pytest
import torch
from host_data import (
    BATCH,
    EPOCHS,
    FRACTION,
    N,
    Probe,
    batches,
    changed,
    manifest_in,
    orders,
    plain,
    tokenise,
)
from torch.utils.data import DataLoader, Sampler

from syllabus.trainer import Curriculum, ManifestSampler, TrainerError

pytestmark = pytest.mark.filterwarnings(
    # Lightning advises more workers, and against batches with a last one that is short.
    "ignore:.*does not have many workers:UserWarning",
    "ignore:.*number of training batches:UserWarning",
    "ignore:.*when using .ckpt_path., callbacks used to create:UserWarning",
    "ignore:.isinstance.treespec, LeafSpec.. is deprecated:FutureWarning",  # Lightning asks torch so
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return manifest_in(tmp_path_factory.mktemp("manifest"))


@pytest.fixture(scope="module")
def dataset(manifest):
    return changed(manifest)


@pytest.fixture(scope="module")
def steps(manifest) -> list[list[int]]:
    """The batches of all epochs."""
    return [batch for order in orders(manifest) for batch in batches(order)]


def sampler(manifest, **options) -> ManifestSampler:
    return ManifestSampler(Curriculum(manifest, FRACTION, EPOCHS, seed=0), **options)


# Alignment


def test_rows_that_the_manifest_does_not_know_are_never_drawn(manifest, dataset):
    strangers = {row for row, name in enumerate(dataset["id"]) if name.startswith("stranger")}
    assert 0 < len(strangers) < 20  # the filter took some
    one = sampler(manifest, ids=dataset["id"])
    for epoch in range(EPOCHS):
        one.set_epoch(epoch)
        assert not strangers & set(one)


@pytest.mark.parametrize("host", ["dataloader", "accelerate", "trainer"])
def test_examples_that_a_filter_took_are_an_error_before_any_step(manifest, host, tmp_path):
    train = import_module(f"with_{host}").train
    filtered = plain(manifest).shuffle(seed=3).filter(lambda row: int(row["text"].split()[0]) % 50)
    model, folder = Probe(), [] if host == "dataloader" else [tmp_path / "run"]
    with pytest.raises(TrainerError) as caught:
        train(manifest, filtered.map(tokenise, remove_columns=["text"]), model, *folder)
    assert str(caught.value) == (
        f"ids: of {N} in the manifest, 4 in no row: 'example-00000', 'example-00050', 'example-00100';"
        " the data set has 205 rows"
    )
    assert not model.seen


@pytest.mark.parametrize("kind", [None, "arrow", "numpy", "pandas"])
def test_ids_are_read_from_a_data_set_of_any_format(manifest, dataset, kind):
    expected = list(sampler(manifest, ids=list(dataset["id"])))
    assert list(sampler(manifest, ids=dataset.with_format(kind)["id"])) == expected


# DataLoader and StatefulDataLoader


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_dataloader(manifest, dataset, steps, workers):
    import with_dataloader

    model = Probe()
    with_dataloader.train(manifest, dataset, model, EPOCHS, workers)
    assert model.seen == steps


@pytest.mark.parametrize("workers", [[0], [2], [0, 2, 1]], ids=str)
def test_stateful_dataloader_stopped_after_every_step(manifest, dataset, steps, workers, tmp_path):
    import with_stateful_dataloader

    model = Probe()
    for number, _ in zip(itertools.cycle(workers), range(len(steps) + 1), strict=False):
        with_stateful_dataloader.train(manifest, dataset, model, tmp_path / "c.pt", EPOCHS, number, 1)
    assert model.seen == steps


# accelerate


@pytest.mark.parametrize("workers", [0, 2])
def test_accelerate_stopped_and_resumed(manifest, dataset, steps, workers, tmp_path):
    import with_accelerate

    model = Probe()
    for stop in (2, 3, 3, None):  # in the first epoch, at its end, in the second
        with_accelerate.train(manifest, dataset, model, tmp_path / "a", EPOCHS, workers, stop)
    assert model.seen == steps


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("position", [0, 8, 13])
def test_accelerates_processes_use_every_example(manifest, dataset, world, position):
    from accelerate.data_loader import prepare_data_loader

    order = orders(manifest)[1]
    ranks = []
    for rank in range(world):
        one = sampler(manifest, ids=dataset["id"], num_replicas=1, rank=0)
        one.load_state_dict({**one.state_dict(), "epoch": 1, "global_examples": position})
        loader = DataLoader(dataset.with_format("torch"), batch_size=4, sampler=one)
        prepared = prepare_data_loader(
            loader, num_processes=world, process_index=rank, put_on_device=False, dispatch_batches=False
        )
        prepared.set_epoch(1)
        ranks.append([batch["tokens"][:, 0].tolist() for batch in prepared])
    dealt = [number for step in zip(*ranks, strict=True) for batch in step for number in batch]
    left = order[position:]
    assert dealt[: len(left)] == left
    assert set(dealt[len(left) :]) <= set(left)  # batches are completed with examples of what was left


def test_accelerate_that_is_not_told_the_epoch_drops_the_position_with_a_warning(manifest, dataset):
    from accelerate import Accelerator

    one = sampler(manifest, ids=dataset["id"], num_replicas=1, rank=0)
    loader = Accelerator(cpu=True).prepare(DataLoader(range(len(dataset)), batch_size=4, sampler=one))
    one.load_state_dict({**one.state_dict(), "epoch": 1, "global_examples": 8})
    with pytest.warns(UserWarning, match=r"set_epoch\(0\) drops the position loaded: epoch 1, 8 examples in"):
        next(iter(loader))


# Hugging Face's Trainer


@pytest.fixture(scope="module")
def checkpoints(manifest, dataset, steps, tmp_path_factory):
    """A run of the Trainer that saves after every step."""
    import with_trainer

    model, folder = Probe(), tmp_path_factory.mktemp("trainer")
    with_trainer.train(manifest, dataset, model, folder, EPOCHS, save_strategy="steps", save_steps=1)
    assert model.seen == steps
    return folder


@pytest.mark.parametrize("step", [1, 4, 5, 8])
def test_the_trainer_resumes(manifest, dataset, steps, checkpoints, step, tmp_path):
    import with_trainer

    model = Probe()
    with_trainer.train(
        manifest, dataset, model, tmp_path, EPOCHS, resume=checkpoints / f"checkpoint-{step}",
        dataloader_num_workers=step % 2,
    )  # fmt: skip
    assert model.seen == steps[step:]


def test_the_trainer_resumes_with_accumulation(manifest, dataset, steps, tmp_path):
    import with_trainer

    options = {"gradient_accumulation_steps": 2, "save_strategy": "steps", "save_steps": 1}
    with_trainer.train(manifest, dataset, Probe(), tmp_path / "a", EPOCHS, **options)
    model = Probe()  # three updates an epoch: of 2, 2 and 1 batches
    resume = tmp_path / "a" / "checkpoint-5"
    with_trainer.train(manifest, dataset, model, tmp_path / "b", EPOCHS, resume=resume, **options)
    assert model.seen == steps[5 + 4 :]


def test_the_trainer_skips_nothing_where_the_sampler_has_the_position(
    manifest, dataset, steps, checkpoints, tmp_path
):
    from transformers import TrainingArguments
    from with_trainer import ManifestTrainer

    for ignore, expected in ((True, steps[7:]), (False, steps[9:])):  # without it, it skips twice
        one = sampler(manifest, ids=dataset["id"], num_replicas=1, rank=0)
        one.load_state_dict({**one.state_dict(), "epoch": 1, "global_examples": 2 * BATCH})
        arguments = TrainingArguments(
            output_dir=str(tmp_path), num_train_epochs=EPOCHS, per_device_train_batch_size=BATCH,
            ignore_data_skip=ignore, save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True,
        )  # fmt: skip
        model = Probe()
        trainer = ManifestTrainer(model, arguments, train_dataset=dataset, sampler=one)
        trainer.train(resume_from_checkpoint=str(checkpoints / "checkpoint-7"))
        assert model.seen == expected


# Lightning


@pytest.fixture(scope="module")
def saved(manifest, dataset, steps, tmp_path_factory):
    """A run of Lightning that saves after every step."""
    import with_lightning
    from pytorch_lightning.callbacks import ModelCheckpoint

    model, folder = Probe(), tmp_path_factory.mktemp("lightning")
    keep = ModelCheckpoint(folder, "{step}", every_n_train_steps=1, save_top_k=-1)
    options = {"enable_checkpointing": True, "callbacks": [keep], "default_root_dir": folder}
    with_lightning.train(manifest, dataset, model, EPOCHS, **options)
    assert model.seen == steps
    return folder


@pytest.mark.parametrize("step", [1, 4, 5, 8])
def test_lightning_resumes(manifest, dataset, steps, saved, step):
    import with_lightning

    model = Probe()
    with_lightning.train(manifest, dataset, model, EPOCHS, resume=saved / f"step={step}.ckpt")
    assert model.seen == steps[step:]


@pytest.mark.filterwarnings("ignore:.*your dataloader is not resumable:UserWarning")
def test_lightning_with_a_plain_loader_begins_the_epoch_again(
    manifest, dataset, steps, monkeypatch, tmp_path
):
    import with_lightning
    from pytorch_lightning.callbacks import ModelCheckpoint

    monkeypatch.setattr(with_lightning, "StatefulDataLoader", DataLoader)
    keep = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=3, save_top_k=-1)
    options = {"enable_checkpointing": True, "callbacks": [keep], "default_root_dir": tmp_path}
    with_lightning.train(manifest, dataset, Probe(), 1, **options)
    model = Probe()
    with_lightning.train(manifest, dataset, model, 1, resume=tmp_path / "step=3.ckpt")
    assert model.seen[0] == steps[0]  # the fourth was next


def test_lightning_does_not_replace_the_sampler(manifest):
    from pytorch_lightning.trainer.connectors.data_connector import _DataConnector

    class Ordered(Sampler):
        def __iter__(self):
            return iter(range(9))

        def __len__(self) -> int:
            return 9

    connector = SimpleNamespace(use_distributed_sampler=True, is_distributed=True)
    asked = SimpleNamespace(trainer=SimpleNamespace(_accelerator_connector=connector))
    for one, replaced in ((sampler(manifest), False), (Ordered(), True)):
        loader = DataLoader(torch.zeros(N), sampler=one)
        assert _DataConnector._requires_distributed_sampler(asked, loader) is replaced
