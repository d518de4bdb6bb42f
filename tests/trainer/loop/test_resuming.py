"""What a checkpoint of `fit` holds is taken whole or not at all, and in one line where not."""

from __future__ import annotations

import copy
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from damaged_states import damaged, same
from grab_runs import make

from syllabus.trainer import GraB, MeanGradient, TrainerError, fit
from syllabus.trainer.batch_size import AdaptiveBatchSize, BatchSizeController, GeoDamp
from syllabus.trainer.loop import checkpoints
from syllabus.trainer.loop.resuming import resume

N, BATCH = 24, 4


class Stop(Exception):
    """An interruption."""


class Rows(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return N

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.full((3,), float(row % 5)), torch.tensor(row % 2)


class Run:
    """All that a checkpoint is loaded into."""

    def __init__(self, hidden: int = 3) -> None:
        self.model = torch.nn.Sequential(torch.nn.Linear(3, hidden), torch.nn.Linear(hidden, 2))
        self.criterion = torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.9)
        self.sampler, self.grab = make(N, 1.0, 3, GraB(unit=BATCH))
        self.controller = BatchSizeController(GeoDamp(epochs=1), BATCH, maximum=8)

    def train(self, path: Path, stop: int) -> None:
        steps = 0

        def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            nonlocal steps
            if steps == stop:
                raise Stop
            steps += 1
            return self.criterion(outputs, targets)

        fit(
            self.model, Rows(), self.sampler, loss=loss, optimizer=self.optimizer, scheduler=self.scheduler,
            features=MeanGradient(self.model.parameters(), self.criterion), batch_size=BATCH, progress=False,
            checkpoint=path, checkpoint_every=1, controller=self.controller,
        )  # fmt: skip

    def load(self, path: Path):
        adaptive = AdaptiveBatchSize(
            self.model, self.optimizer, self.controller, grain=BATCH, scheduler=self.scheduler
        )
        try:
            return resume(
                path, model=self.model, optimizer=self.optimizer, scheduler=self.scheduler,
                sampler=self.sampler, grab=self.grab, adaptive=adaptive,
            )  # fmt: skip
        finally:
            adaptive.close()

    def state(self) -> dict:
        parts = (self.model, self.optimizer, self.scheduler, self.grab, self.sampler, self.controller)
        generators = [torch.get_rng_state(), random.getstate(), repr(np.random.get_state())]  # noqa: NPY002
        return copy.deepcopy({"parts": [part.state_dict() for part in parts], "generators": generators})


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> dict:
    path = tmp_path_factory.mktemp("run") / "run.pt"
    with pytest.raises(Stop):
        Run().train(path, stop=9)
    # Without a seal, so that what is wrong inside is looked at.
    return {**checkpoints.load(path), "version": checkpoints.UNSEALED}


def refused(path: Path, content: dict, run: Run, match: str = "") -> None:
    torch.save(content, path)
    before = run.state()
    with pytest.raises(TrainerError, match=match) as caught:
        run.load(path)
    assert "\n" not in str(caught.value)
    assert same(run.state(), before)


def test_it_is_taken_whole(tmp_path, content):
    torch.save(content, tmp_path / "run.pt")
    run = Run()
    found = run.load(tmp_path / "run.pt")
    assert (found.step, found.batches, found.examples, len(found.records)) == (7, 8, 8, 1)
    assert run.sampler.state_dict()["global_examples"] == 8
    assert same(run.model.state_dict(), content["model"])
    assert torch.equal(torch.get_rng_state(), content["random"]["torch"])


def test_every_damaged_entry_is_refused_or_is_one_that_a_run_can_have(monkeypatch, content):
    own = {name: content[name] for name in ("step", "examples", "seconds", "loss_sum", "batches", "records")}
    run, taken = Run(), []
    before = run.state()
    for name, changed in damaged(own):
        whole = {key: value for key, value in content.items() if key not in own} | changed
        monkeypatch.setattr(checkpoints, "load", lambda _path, whole=whole: whole)
        try:
            run.load(Path("run.pt"))
        except TrainerError as error:
            assert "\n" not in str(error), name  # noqa: PT017 - not all of them are refused
            assert same(run.model.state_dict(), before["parts"][0]), name
        else:
            taken.append(name)
            run = Run()
            before = run.state()
    measured = (
        "('loss_sum',)",
        "('seconds',)",
        "('records', 0, ",
        "('step',)",
        "('batches',)",
        "('examples',)",
    )
    assert [name for name in taken if not name.startswith(measured)] == []
    assert not [name for name in taken if "'text'" in name or "None" in name]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"examples": 9}, "examples=9 of this rank and global_examples=8 do not agree"),
        ({"examples": 0}, "examples=0 of this rank and global_examples=8 do not agree"),
        ({"records": []}, "has 0 records and a sampler in epoch 1"),
        ({"step": 0}, "step=0 is below 1, its epochs"),
        ({"seconds": float("nan")}, "seconds=nan is not finite"),
        ({"grab": None}, "one of the two runs has a GraB order, the other none"),
        ({"adaptive": None}, "one of the two runs has a controller, the other none"),
        ({"scheduler": None}, "one of the two runs has a scheduler, the other none"),
        ({"optimizer": {"state": {}, "param_groups": []}}, "the state of the optimizer does not fit"),
        ({"optimizer": {}}, "the state of the optimizer does not fit"),
        ({"sampler": {}}, "has 1 records and a sampler in epoch None"),
        ({"random": {}}, "random has no 'torch'"),
        ({"model": {"0.weight": torch.zeros(3, 3)}}, "another model: '0.bias' is in the model only"),
    ],
)
def test_parts_that_do_not_go_together_are_refused_with_nothing_loaded(tmp_path, content, change, line):
    refused(tmp_path / "a", {**content, **change}, Run(), line)


@pytest.mark.parametrize("part", ["grab", "adaptive", "sampler"])
def test_the_last_part_that_is_refused_takes_back_those_before(tmp_path, content, part):
    name = {"grab": "place", "adaptive": "position", "sampler": "order_id"}[part]
    refused(
        tmp_path / "a", {**content, part: {**content[part], name: 10**6}}, Run(), "order_id|=1000000|position"
    )


def test_another_model_is_refused_by_its_shapes(tmp_path, content):
    refused(
        tmp_path / "a",
        content,
        Run(hidden=5),
        r"another model: '0\.weight' has shape torch\.Size\(\[3, 3\]\), here",
    )


def test_whole_numbers_of_fit_may_be_scalars_and_are_checked():
    run = Run()
    for options, line in (
        ({"microbatch": 2.0}, "fit: microbatch=2.0 is a float; expected an integer"),
        ({"microbatch": 0}, "fit: microbatch=0 is below 1"),
        ({"probe": "all"}, "fit: probe='all' is a str; expected an integer"),
    ):
        with pytest.raises(TrainerError, match=line):
            fit(
                run.model, Rows(), run.sampler, loss=run.criterion, optimizer=run.optimizer, batch_size=BATCH,
                controller=run.controller, **options,
            )  # fmt: skip


def test_layers_that_are_lazy_take_the_shape_of_the_checkpoint(tmp_path):
    for epochs in (1, 2):
        run = Run()
        run.model[0] = torch.nn.LazyLinear(3)
        sampler, _ = make(N, 1.0, grab="shuffle")
        records = fit(
            run.model, Rows(), sampler, loss=run.criterion, epochs=epochs, batch_size=BATCH, progress=False,
            optimizer=torch.optim.SGD(run.model.parameters(), 0.1), checkpoint=tmp_path / "kept",
        )  # fmt: skip
        assert len(records) == epochs
