"""Runs that are stopped after any update and go on equal those that are not, under every rule."""

from __future__ import annotations

import io
from functools import cache

import pytest
import torch
from torch.utils.data import DataLoader, Subset, TensorDataset

from syllabus.trainer import TrainerError
from syllabus.trainer.batch_size import (
    AdaDamp,
    AdaDampNN,
    AdaptiveBatchSize,
    BatchSizeController,
    Constant,
    GeoDamp,
    NoiseScale,
    NormTest,
    PadaDamp,
    Probe,
    RadaDamp,
    Seesaw,
    Steps,
    cosine,
    published,
)

N, EPOCHS = 23, 3
# Each rule with options that let it change the size in a few updates.
CONTROLLERS = {
    "constant": lambda: BatchSizeController(Constant(), 4),
    "published": lambda: published(3),
    "adadamp": lambda: BatchSizeController(AdaDamp(), 4, every=5, maximum=8),
    "adadamp estimated": lambda: BatchSizeController(AdaDamp(optimum="estimated"), 4, dwell=2, every=0),
    "adadamp average": lambda: BatchSizeController(AdaDamp(loss="average"), 4, wait=2, half_life=10),
    "adadampnn": lambda: BatchSizeController(AdaDampNN(), 6, every=0, monotone=False, minimum=2),
    "adadampnn average": lambda: BatchSizeController(AdaDampNN(gradient="average"), 4, wait=1, dwell=2),
    "radadamp": lambda: BatchSizeController(RadaDamp(), 4, wait=2, dwell=2, monotone=False),
    "padadamp": lambda: BatchSizeController(PadaDamp(rate=0.7), 4),
    "geodamp": lambda: BatchSizeController(GeoDamp(epochs=1), 4, maximum=6),
    "steps": lambda: BatchSizeController(Steps("0:4 10:8 40:16"), maximum=14),
    "seesaw": lambda: BatchSizeController(Seesaw(cosine(N * EPOCHS, warm_up=8)), 4, maximum=12),
    "noise scale": lambda: BatchSizeController(NoiseScale(), 4, dwell=2, monotone=False, maximum=10),
    "norm test": lambda: BatchSizeController(NormTest(0.3), 4, dwell=3),
}
loss = torch.nn.functional.cross_entropy


class Run:
    """A model with dropout and batch statistics, Adam with a scheduler, and where it stands."""

    def __init__(self, name, grain=2):
        torch.manual_seed(0)
        self.model = torch.nn.Sequential(
            torch.nn.Linear(4, 6), torch.nn.BatchNorm1d(6), torch.nn.Dropout(0.2), torch.nn.Linear(6, 2)
        )
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(N, 4, generator=generator)
        self.data = TensorDataset(x, (x[:, 0] > 0).long())
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.05)
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.97)
        self.probe = Probe(self.model, self.data, range(0, N, 3), loss, batch_size=3)
        self.adaptive = AdaptiveBatchSize(
            self.model,
            self.optimizer,
            CONTROLLERS[name](),
            grain=1 if name == "published" else grain,
            microbatch=3,
            scheduler=self.scheduler,
            probe=self.probe,
        )
        self.trace = []

    def train(self, epoch=0, position=0, stop=None):
        """Train from a place, in a fixed order; return the file written after update `stop`, or None."""
        for number in range(epoch, EPOCHS):
            rows = torch.randperm(N, generator=torch.Generator().manual_seed(number)).tolist()[position:]
            # An odd last example would have no batch statistics.
            loader = DataLoader(Subset(self.data, rows), 2, generator=torch.Generator())
            used = position
            for x, y in self.adaptive.microbatches(loader):
                self.adaptive.backward(
                    loss(self.model(x), y) if len(x) > 1 else self.model[3].weight.sum() * 0
                )
                before = self.adaptive.examples
                if self.adaptive.step():
                    used += self.adaptive.examples - before
                    decision = self.adaptive.decision
                    self.trace.append((number, used, decision.batch_size, decision.lr_factor))
                    if self.adaptive.updates == stop:
                        return self.save(number, used)
            position = 0
        return None

    def save(self, epoch, used):
        file = io.BytesIO()
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "adaptive": self.adaptive.state_dict(),
            "random": torch.get_rng_state(),
            "place": (epoch, used) if used < N else (epoch + 1, 0),
        }
        torch.save(state, file)
        return file.getvalue()

    def load(self, content):
        state = torch.load(io.BytesIO(content), weights_only=True)
        for name in ("model", "optimizer", "scheduler", "adaptive"):
            getattr(self, name).load_state_dict(state[name])
        torch.set_rng_state(state["random"])
        return state["place"]


@cache
def whole(name):
    run = Run(name)
    run.train()
    return run


@pytest.mark.parametrize("name", CONTROLLERS)
def test_every_rule_changes_something_here(name):
    sizes = {(size, factor) for _, _, size, factor in whole(name).trace}
    assert (len(sizes) == 1) == (name == "constant"), sizes


@pytest.mark.parametrize("name", CONTROLLERS)
def test_a_run_stopped_after_any_update_goes_on_bit_for_bit(name):
    expected = whole(name)
    assert expected.adaptive.updates > 3
    for stop in range(1, expected.adaptive.updates):
        first, second = Run(name), Run(name)
        content = first.train(stop=stop)
        torch.manual_seed(99)
        second.train(*second.load(content))
        assert first.trace + second.trace == expected.trace, stop
        for key, value in expected.model.state_dict().items():
            assert torch.equal(value, second.model.state_dict()[key]), (stop, key)
        assert repr(second.adaptive.records) == repr(expected.adaptive.records), stop
        assert second.adaptive.examples == N * EPOCHS
        assert second.scheduler.last_epoch == expected.scheduler.last_epoch


@pytest.mark.parametrize("name", ["adadamp", "geodamp", "radadamp", "seesaw"])
def test_a_run_goes_on_with_another_grain(name):
    first = Run(name)
    content = first.train(stop=5)
    second = Run(name, grain=3)
    place = second.load(content)
    assert second.adaptive.decision.target == first.adaptive.decision.target
    second.train(*place)
    assert second.adaptive.examples == N * EPOCHS
    assert all(size % 3 == 0 for _, _, size, _ in second.trace)


def test_a_state_of_another_rule_is_refused():
    content = Run("adadamp")
    state = content.adaptive.state_dict()
    with pytest.raises(TrainerError, match=r"is .* in the state and .* here"):
        Run("geodamp").adaptive.load_state_dict(state)
