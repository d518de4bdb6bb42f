"""The tools beside the loop: what fits, the critical batch, the picture."""

from __future__ import annotations

import builtins
import copy
import itertools

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from syllabus.trainer import TrainerError
from syllabus.trainer.batch_size import (
    AdaptiveBatchSize,
    Averages,
    BatchSizeController,
    Decision,
    GeoDamp,
    Signals,
    critical_batch,
    draw,
    largest_microbatch,
)
from syllabus.trainer.batch_size.drawing import measured

criterion = torch.nn.functional.cross_entropy


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(4, 6), torch.nn.BatchNorm1d(6), torch.nn.Dropout(0.5), torch.nn.Linear(6, 2)
    )


class Small(torch.nn.Module):
    """Runs out of memory above so many examples, as a device does, in the forward or the backward pass."""

    def __init__(self, room, backward=False):
        super().__init__()
        self.inner, self.room, self.tried, self.backward = network(), room, [], backward

    def forward(self, x):
        self.tried.append(len(x))
        out = self.inner(x)
        if len(x) > self.room:
            if not self.backward:
                raise torch.OutOfMemoryError("no room")
            out.register_hook(self.fail)
        return out

    def fail(self, _):
        raise torch.OutOfMemoryError("no room")


def no_room(_):
    raise torch.OutOfMemoryError("no room")


@pytest.mark.parametrize("backward", [False, True])
def test_what_fits_is_found_by_halving_and_leaves_no_trace(backward):
    model = Small(13, backward)
    model.inner[0].weight.grad = torch.ones(6, 4)
    before, state = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    batch = torch.randn(5, 4, generator=torch.Generator()), torch.zeros(5, dtype=torch.long)

    def loss(batch):
        return criterion(model(batch[0]), batch[1])

    assert largest_microbatch(model, batch, loss, limit=100) == 12
    assert model.tried == [100, 50, 25, 12]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model.inner[0].weight.grad, torch.ones(6, 4))
    assert model.inner[3].weight.grad is None
    with pytest.raises(TrainerError, match="not even one example fits"):
        largest_microbatch(torch.nn.Linear(1, 1), batch, no_room, limit=4)
    for options, message in (
        ({"limit": 0}, "limit=0 is below 1"),
        ({"limit": 4, "spare": -1}, "spare=-1 is below 0"),
    ):
        with pytest.raises(TrainerError, match=message):
            largest_microbatch(model, batch, loss, **options)


class Noisy:
    """Minimise w²/2 with noisy gradients: SGD's final loss is known to grow with the learning rate."""

    def __init__(self):
        self.model = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(self.model.weight, 3.0)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.05)

    def loader(self, run):
        generator = torch.Generator().manual_seed(run)
        for _ in range(100):
            yield torch.randn(4, 1, generator=generator)

    def loss(self, noise):
        weight = self.model.weight
        return (0.5 * weight.square() + weight * noise).mean()

    def evaluate(self):
        return 0.5 * self.model.weight.square().item() + 1.0


def test_the_critical_batch_is_the_largest_that_loses_nothing(capsys):
    problem = Noisy()
    before = torch.get_rng_state()
    given = {
        "base": 4,
        "examples": 320,
        "grain": 4,
        "multiples": (1, 2, 4, 40, 80),
        "runs": 3,
        "tolerance": 0.05,
    }
    found = critical_batch(
        problem.model, problem.optimizer, problem.loader, problem.loss, problem.evaluate, **given
    )
    # Linear scaling: 40·.05 = 2 is where gradient descent on this no longer converges.
    assert found.batch_size == 16
    assert [branch.batch_size for branch in found.branches] == [4, 8, 16, 160, 320]
    assert [branch.lr_factor for branch in found.branches] == [1, 2, 4, 40, 80]
    assert problem.model.weight.item() == 3
    assert problem.optimizer.param_groups[0]["lr"] == 0.05
    assert torch.equal(torch.get_rng_state(), before)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6
    assert lines[-1] == "largest batch within 5.0%: 16"
    assert lines[1].startswith("batch 8: learning rate × 2, loss 1.")


def test_a_critical_batch_of_adam_scales_by_the_root_and_keeps_beta2s_half_life():
    problem, seen = Noisy(), []

    class Adam(torch.optim.Adam):
        def step(self, closure=None):
            seen.append((self.param_groups[0]["lr"], self.param_groups[0]["betas"]))
            return super().step(closure)

    optimizer = Adam(problem.model.parameters(), lr=0.01, betas=(0.9, 0.99))
    critical_batch(
        problem.model, optimizer, problem.loader, problem.loss, problem.evaluate,
        base=4, examples=64, grain=4, multiples=(1, 4), show=False,
    )  # fmt: skip
    assert seen == [(0.01, (0.9, 0.99))] * 16 + [(0.02, (0.9, 0.99**4))] * 4


def test_in_a_loop_that_goes_on_the_critical_batch_is_measured_on_a_copy():
    problem, copied = Noisy(), Noisy()
    controller = BatchSizeController(GeoDamp(examples=4), 4)
    adaptive = AdaptiveBatchSize(problem.model, problem.optimizer, controller, grain=4)

    def measure(of):
        options = {"base": 4, "examples": 16, "grain": 4, "multiples": (1, 2), "show": False}
        return critical_batch(of.model, of.optimizer, of.loader, of.loss, of.evaluate, **options)

    for noise in adaptive.microbatches(itertools.islice(problem.loader(0), 3)):
        adaptive.backward(problem.loss(noise))
        if adaptive.step():
            before = problem.model.weight.item()
            with pytest.raises(TrainerError, match="critical_batch: another AdaptiveBatchSize steps this"):
                measure(problem)
            with pytest.raises(TrainerError, match="AdaptiveBatchSize: another AdaptiveBatchSize steps"):
                AdaptiveBatchSize(problem.model, problem.optimizer, controller, grain=4)
            copied.model, copied.optimizer = copy.deepcopy((problem.model, problem.optimizer))
            first, second = measure(copied).branches
            assert first.loss != second.loss
            assert problem.model.weight.item() == before == copied.model.weight.item()
    assert adaptive.updates == 2
    adaptive.close()
    measure(problem)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": 0}, "base=0 is below 1"),
        ({"multiples": (2, 4)}, r"multiples=\(2, 4\) do not rise from 1"),
        ({"multiples": (1, 4, 4)}, "do not rise from 1"),
        ({"examples": 15}, "examples=15 is below 16, an update of the largest"),
        ({"tolerance": -1}, "tolerance=-1 is below 0"),
        ({"scaling": "sqrt"}, "scaling='sqrt' is unknown; known: auto, none, root, linear"),
        ({"examples": 1000}, "the loader has 400 examples; 1000 were asked for"),
    ],
)
def test_errors_name_the_option_its_value_and_the_bound(options, message):
    problem = Noisy()
    given = {"base": 4, "examples": 64, "grain": 4, "multiples": (1, 4), "show": False, **options}
    with pytest.raises(TrainerError, match=message):
        critical_batch(
            problem.model, problem.optimizer, problem.loader, problem.loss, problem.evaluate, **given
        )
    assert problem.model.weight.item() == 3


def records():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    controller = BatchSizeController(GeoDamp(epochs=1), 4, maximum=8)
    adaptive = AdaptiveBatchSize(model, optimizer, controller, grain=2)
    data = TensorDataset(torch.randn(20, 4), torch.zeros(20, dtype=torch.long))
    for _ in range(3):
        for x, y in adaptive.microbatches(DataLoader(data, 2)):
            adaptive.backward(criterion(model(x), y))
            adaptive.step()
    return adaptive.records


def test_the_record_is_drawn_as_png(tmp_path):
    pytest.importorskip("matplotlib")
    draw(records(), tmp_path / "sizes.png")
    assert (tmp_path / "sizes.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_what_is_drawn_was_measured():
    made = records()
    assert [record.batch_size for record in made] == [4, 8, 8, 8]
    assert [record.lr_factor for record in made] == [1, 1, 0.5, 0.25]
    series = measured(made)
    assert set(series) == {"batch loss", "noise scale"}
    known = Decision(
        1, 2, 3, signals=Signals(probe_loss=2.0), averages=Averages(noise=6.0, squared_gradient=2.0)
    )
    unknown = Decision(0, 0, 3, averages=Averages(noise=6.0, squared_gradient=-1.0))
    assert measured([known]) == {"probe loss": [2.0], "noise scale": [3.0]}
    assert measured([unknown]) == {}


def test_a_picture_that_cannot_be_drawn_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(TrainerError, match="there is no record"):
        draw([], tmp_path / "sizes.png")
    with pytest.raises(TrainerError, match=r"sizes.svg' does not end in .png"):
        draw([Decision(0, 0, 3)], tmp_path / "sizes.svg")
    ordinary = builtins.__import__

    def without(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return ordinary(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(TrainerError, match="pip install matplotlib"):
        draw([Decision(0, 0, 3)], tmp_path / "sizes.png")
