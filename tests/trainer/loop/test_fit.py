"""The flat loop: it learns, reports what it did, and continues exactly where it was interrupted."""

from __future__ import annotations

import dataclasses
import random
import tempfile
from functools import cache

import numpy as np
import pytest
import torch
from small_manifest import write_small_manifest
from torch.utils.data import Dataset

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, EpochRecord, ManifestSampler, TrainerError, fit
from syllabus.trainer.loop import checkpoints

ROOT = tempfile.TemporaryDirectory(prefix="syllabus-loop-")
BATCH = 5
EPOCHS = 3


@cache
def manifest() -> Manifest:
    return write_small_manifest(tempfile.mkdtemp(dir=ROOT.name), n=62, gap=0, fractions=(0.4,))


class Points(Dataset):
    """Two linearly separable classes; what is read is noted, and disturbed by each of the generators."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.points = torch.randn(62, 4, generator=generator)
        self.labels = (self.points[:, 0] > 0).long()
        self.read: list[int] = []

    def __len__(self) -> int:
        return 62

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.read.append(row)
        disturbance = random.random() + np.random.random() + torch.rand(()).item()  # noqa: NPY002 - as users do
        return self.points[row] + 0.01 * disturbance, self.labels[row]


class Stop(Exception):
    """An interruption."""


def run(checkpoint=None, stop_after=None, seed=7, dataset=None, **options):
    """Train from a fixed start; raise Stop before the step after `stop_after`."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the data set above uses it
    random.seed(seed)
    dataset = dataset or Points()
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.3), torch.nn.Linear(8, 2)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=15)
    steps = 0

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        nonlocal steps
        if steps == stop_after:
            raise Stop
        steps += 1
        return torch.nn.functional.cross_entropy(outputs, targets)

    given = {
        "loss": loss,
        "optimizer": optimizer,
        "scheduler": scheduler,
        "batch_size": BATCH,
        "progress": False,
        "checkpoint": checkpoint,
        **options,
    }
    curriculum = Curriculum(manifest(), 0.4, EPOCHS, "fresh", seed=0)
    return (
        fit(model, dataset, given.pop("sampler", None) or ManifestSampler(curriculum), **given),
        model,
        dataset,
    )


@cache
def undisturbed() -> tuple[list[tuple[int, float, int]], torch.nn.Module]:
    records, model, _ = run()
    return figures(records), model


def figures(records: list[EpochRecord]) -> list[tuple[int, float, int]]:
    return [(record.epoch, record.loss, record.examples) for record in records]


def test_it_trains_on_exactly_the_epochs_sets():
    records, _, dataset = run()
    curriculum = Curriculum(manifest(), 0.4, EPOCHS, "fresh", seed=0)
    for epoch in range(EPOCHS):
        assert sorted(dataset.read[25 * epoch : 25 * (epoch + 1)]) == curriculum.indices(epoch).tolist()
    assert [record.examples for record in records] == [25, 25, 25]
    assert [record.epoch for record in records] == [0, 1, 2]
    assert all(record.seconds > 0 for record in records)


def test_it_learns():
    model = torch.nn.Linear(4, 2)
    curriculum = Curriculum(manifest(), 0.4, 20, "fresh", seed=0)
    records = fit(
        model,
        Points(),
        ManifestSampler(curriculum),
        loss=torch.nn.functional.cross_entropy,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.5),
        batch_size=BATCH,
        progress=False,
    )
    assert records[-1].loss < 0.5 * records[0].loss


def test_the_loss_is_the_mean_over_examples_not_over_batches():
    # 25 examples make four batches of 6 and one of 1.
    given = []

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        value = torch.nn.functional.mse_loss(outputs[:, 0], targets.float())
        given.append((len(targets), value.item()))
        return value

    class Plain(Points):
        def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
            return self.points[row], self.labels[row]

    model = torch.nn.Linear(4, 1)
    curriculum = Curriculum(manifest(), 0.4, 1, "fresh", seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    (record,) = fit(
        model,
        Plain(),
        ManifestSampler(curriculum),
        loss=loss,
        optimizer=optimizer,
        batch_size=6,
        progress=False,
    )
    assert [size for size, _ in given] == [6, 6, 6, 6, 1]
    assert record.loss == pytest.approx(sum(size * value for size, value in given) / 25)


@pytest.mark.parametrize("stop_after", range(15))
def test_interrupted_at_any_step_it_continues_bit_for_bit(tmp_path, stop_after):
    with pytest.raises(Stop):
        run(checkpoint=tmp_path / "run", checkpoint_every=1, stop_after=stop_after)
    # Other seeds: everything that matters must come from the checkpoint.
    resumed, again, _ = run(checkpoint=tmp_path / "run", checkpoint_every=1, seed=7 if stop_after == 0 else 8)
    expected, model = undisturbed()
    assert figures(resumed) == expected
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_without_mid_epoch_checkpoints_it_continues_at_the_last_epochs_end(tmp_path):
    with pytest.raises(Stop):
        run(checkpoint=tmp_path / "run", stop_after=8)
    dataset = Points()
    resumed, again, _ = run(checkpoint=tmp_path / "run", seed=8, dataset=dataset)
    expected, model = undisturbed()
    assert figures(resumed) == expected
    assert len(dataset.read) == 2 * 25
    assert torch.equal(model[0].weight, again[0].weight)


def test_a_finished_run_is_not_run_again(tmp_path):
    records, _, _ = run(checkpoint=tmp_path / "run")
    dataset = Points()
    again, _, _ = run(checkpoint=tmp_path / "run", dataset=dataset)
    assert again == records
    assert dataset.read == []


def test_prefetching_workers_do_not_move_the_saved_position(tmp_path):
    with pytest.raises(Stop):
        run(checkpoint=tmp_path / "run", checkpoint_every=1, stop_after=2, num_workers=2)
    assert checkpoints.load(tmp_path / "run")["sampler"]["global_examples"] == 2 * BATCH


def test_the_rest_of_an_epoch_may_have_another_batch_size(tmp_path):
    with pytest.raises(Stop):
        run(checkpoint=tmp_path / "run", checkpoint_every=1, stop_after=2)
    whole, rest = Points(), Points()
    run(dataset=whole)
    records, _, _ = run(checkpoint=tmp_path / "run", dataset=rest, batch_size=15)
    assert rest.read == whole.read[10:]
    assert [record.examples for record in records] == [25, 25, 25]


def test_an_aborted_run_without_a_checkpoint_leaves_no_position_behind():
    sampler = ManifestSampler(Curriculum(manifest(), 0.4, EPOCHS, "fresh", seed=0))
    with pytest.raises(Stop):
        run(sampler=sampler, stop_after=2)
    records, _, dataset = run(sampler=sampler)
    assert figures(records) == undisturbed()[0]
    assert len(dataset.read) == 75


def test_fewer_epochs_and_a_call_after_each():
    seen = []
    records, _, _ = run(epochs=2, on_epoch=seen.append)
    assert seen == records
    assert len(records) == 2


def test_progress_is_one_line_per_tenth_where_there_is_no_terminal(capsys):
    run(progress=True, title="demo")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[-1].startswith("demo 100%: step 15 of 15, ")
    assert "epoch 2, loss " in lines[-1]


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    run(checkpoint=tmp_path / "run", epochs=1)
    other = ManifestSampler(Curriculum(manifest(), 0.4, EPOCHS, "fresh", seed=1))
    with pytest.raises(TrainerError, match="seed is 0 in the state and 1 here"):
        run(checkpoint=tmp_path / "run", sampler=other)
    with pytest.raises(TrainerError, match="one of the two runs has a scheduler"):
        run(checkpoint=tmp_path / "run", scheduler=None)
    content = torch.load(tmp_path / "run", weights_only=True)
    torch.save({**content, "version": 3}, tmp_path / "newer")
    with pytest.raises(TrainerError, match="newer: version is 3; this code reads 2"):
        run(checkpoint=tmp_path / "newer")
    (tmp_path / "broken").write_bytes((tmp_path / "run").read_bytes()[:200])
    with pytest.raises(TrainerError, match="broken: unreadable"):
        run(checkpoint=tmp_path / "broken")
    (tmp_path / "empty").touch()
    with pytest.raises(TrainerError, match=r"empty: unreadable \([^\n]+\)$"):
        run(checkpoint=tmp_path / "empty")


def test_nothing_but_the_checkpoint_is_left_behind(tmp_path):
    run(checkpoint=tmp_path / "run", checkpoint_every=2)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, r"epochs=0 is outside \[1, 3\]"),
        ({"epochs": 4}, r"epochs=4 is outside \[1, 3\]"),
        ({"batch_size": 0}, "batch_size=0 is below 1"),
        ({"checkpoint_every": 0}, "checkpoint_every=0 is below 1"),
        (
            {"dataset": torch.utils.data.TensorDataset(torch.zeros(5, 4))},
            "data set has 5 rows, the manifest's source has 62",
        ),
    ],
)
def test_errors_name_the_option_its_value_and_the_bound(options, message):
    with pytest.raises(TrainerError, match=message):
        run(**options)


def test_records_are_plain():
    assert dataclasses.asdict(EpochRecord(0, 0.5, 3, 1.0)) == {
        "epoch": 0,
        "loss": 0.5,
        "examples": 3,
        "seconds": 1.0,
    }
