"""Gradients and trajectories of the mechanism beside those of one big batch and of plain training."""

from __future__ import annotations

import copy
import itertools
import math
import warnings

import pytest
import torch
from accumulated_training import N, Spy, criterion, network, points, relative, train
from torch.utils.data import DataLoader, TensorDataset

from syllabus.trainer.batch_size import (
    AdaptiveBatchSize,
    BatchSizeController,
    Constant,
    GeoDamp,
    NoiseScale,
    RadaDamp,
    Rule,
    Steps,
)


def gradients(model):
    return [p.grad.clone() for p in model.parameters()]


@pytest.mark.parametrize(
    ("size", "grain", "microbatch", "loader_batch"),
    [
        (24, 8, None, None),  # accumulated
        (24, 8, 16, None),  # joined and accumulated: 16 + 8
        (24, 8, 3, None),  # divided
        (24, 1, 5, 7),  # cut anew across batches
        (17, 1, 17, 4),  # any size
        (1000, 8, None, None),  # more than there is: one update of all
        (10, 10, 1, None),  # one by one
    ],
)
def test_an_updates_gradient_is_one_big_batchs(size, grain, microbatch, loader_batch):
    _, optimizer, adaptive = train(size, grain, microbatch, loader_batch)
    model, (x, y) = network(), points().tensors
    first = 0
    whole = adaptive.decision.batch_size
    for found in optimizer.seen:
        model.zero_grad()
        criterion(model(x[first : first + whole]), y[first : first + whole]).backward()
        assert relative(found, gradients(model)) < 1e-12
        first += whole
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.1 * p.grad
    assert (len(optimizer.seen), adaptive.examples) == (math.ceil(N / whole), N)


def test_the_number_of_updates_and_examples_of_a_growing_size():
    _, optimizer, adaptive = train(4, 4, rule=GeoDamp(epochs=1), epochs=3)
    assert len(optimizer.seen) == adaptive.updates == math.ceil(N / 4) + math.ceil(N / 8) + math.ceil(N / 16)
    assert (adaptive.examples, adaptive.epoch) == (3 * N, 3)
    assert [(r.updates, r.batch_size) for r in adaptive.records] == [(0, 4), (11, 8), (17, 16), (20, 32)]


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize(("grain", "microbatch"), [(7, None), (1, 7), (7, 100)])
def test_a_constant_size_is_plain_training_bit_for_bit(make, grain, microbatch):
    def run(adaptive_size):
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Linear(5, 7), torch.nn.BatchNorm1d(7), torch.nn.Dropout(0.3), torch.nn.Linear(7, 3)
        )
        optimizer = make(model.parameters(), lr=0.05)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 18)
        data = points(torch.float32)
        if not adaptive_size:
            for _ in range(3):
                for x, y in DataLoader(data, 7):
                    criterion(model(x), y).backward()
                    optimizer.step()
                    optimizer.zero_grad()
                    scheduler.step()
            return model, optimizer, scheduler
        adaptive = AdaptiveBatchSize(
            model, optimizer, BatchSizeController(Constant(), 7), grain=grain, microbatch=microbatch
        )
        for _ in range(3):
            for x, y in adaptive.microbatches(DataLoader(data, grain)):
                adaptive.backward(criterion(model(x), y))
                if adaptive.step():
                    scheduler.step()
        return model, optimizer, scheduler

    (plain, _, rates), (found, _, same_rates) = run(False), run(True)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, found.state_dict()[name]), name
    assert rates.state_dict() == same_rates.state_dict()


def test_a_scheduler_is_stepped_by_examples_whatever_the_size():
    def rates(rule):
        model = network()
        optimizer = Spy(model.parameters())
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
        adaptive = AdaptiveBatchSize(
            model, optimizer, BatchSizeController(rule, 4), grain=4, scheduler=scheduler
        )
        for _ in range(2):
            for x, y in adaptive.microbatches(DataLoader(points(), 4)):
                adaptive.backward(criterion(model(x), y))
                adaptive.step()
        return [rate[0] for rate in optimizer.rates], scheduler.last_epoch

    plain, steps = rates(Constant())
    assert (len(plain), steps) == (22, 22)
    grown, steps = rates(GeoDamp(examples=8))
    assert steps == 22
    # 4, 4, 8, then 16, 9 of the epoch's end, then all the second epoch at once.
    assert grown == pytest.approx([plain[place] for place in (0, 1, 2, 4, 8, 11)])


def test_the_counts_of_tokens_weigh_instead_of_examples():
    model = network()
    x, y = points().tensors
    lengths = torch.arange(1, N + 1) % 6
    optimizer = Spy(model.parameters())
    adaptive = AdaptiveBatchSize(model, optimizer, BatchSizeController(Constant(), 16), grain=4)

    def mean(model, x, y, lengths):
        return (criterion(model(x), y, reduction="none") * lengths).sum() / lengths.sum().clamp(min=1)

    for a, b, c in adaptive.microbatches(DataLoader(TensorDataset(x, y, lengths), 4)):
        adaptive.backward(mean(model, a, b, c), count=int(c.sum()))
        adaptive.step()
    model = network()
    for found, first in zip(optimizer.seen, range(0, N, 16), strict=True):
        part = slice(first, first + 16)
        model.zero_grad()
        mean(model, x[part], y[part], lengths[part]).backward()
        assert relative(found, gradients(model)) < 1e-12
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.1 * p.grad


def test_clipping_meets_the_updates_mean():
    model, big = network(), network()
    optimizer = Spy(model.parameters())
    adaptive = AdaptiveBatchSize(model, optimizer, BatchSizeController(Constant(), 16), grain=4)
    for x, y in adaptive.microbatches(DataLoader(points(), 4)):
        adaptive.backward(criterion(model(x), y))
        if adaptive.complete:
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.05)
            adaptive.step()
    x, y = points().tensors
    criterion(big(x[:16]), y[:16]).backward()
    torch.nn.utils.clip_grad_norm_(big.parameters(), 0.05)
    assert relative(optimizer.seen[0], gradients(big)) < 1e-12


def test_a_grad_scaler_scales_and_unscales():
    model = network(torch.float32)
    optimizer = Spy(model.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    controller = BatchSizeController(Constant(), 16)
    adaptive = AdaptiveBatchSize(model, optimizer, controller, grain=4, scaler=scaler)
    for x, y in adaptive.microbatches(DataLoader(points(torch.float32), 4)):
        adaptive.backward(criterion(model(x), y))
        adaptive.step()
    plain, without, other = train(16, 4, dtype=torch.float32)
    assert len(optimizer.seen) == 3
    for found, expected in zip(optimizer.seen, without.seen, strict=True):
        assert relative(found, expected) < 1e-6
    # Norms are of the gradients themselves.
    noises = [a._decider._pending.signals(0) for a in (adaptive, other)]
    assert noises[0].norms == pytest.approx(noises[1].norms, rel=1e-5)
    assert noises[0].noise == pytest.approx(noises[1].noise, rel=1e-4)
    assert plain[0].weight.allclose(model[0].weight)


def test_signals_are_the_updates_own():
    class Look(Rule):
        needs = frozenset({"loss", "norm"})
        given: list = []  # noqa: RUF012 - one test

        def target(self, state, initial, at):  # noqa: ARG002
            self.given.append(at.signals)

    _, optimizer, _ = train(12, 4, rule=Look(), limits={"dwell": 2})
    model, (x, y) = network(), points().tensors
    losses, norms = [], []
    for found, first in zip(optimizer.seen, range(0, N, 12), strict=True):
        losses.append(criterion(model(x[first : first + 12]), y[first : first + 12]).item())
        norms.append(sum(float(g.square().sum()) for g in found))
        with torch.no_grad():
            for p, g in zip(model.parameters(), found, strict=True):
                p -= 0.1 * g
    first, second, third = Look.given
    assert first.losses == ()
    assert (*second.losses, *third.losses) == pytest.approx(losses)
    assert (*second.norms, *third.norms) == pytest.approx(norms)
    assert (*second.counts, *third.counts) == (12, 12, 12, 5)


def test_the_noise_is_measured_without_bias_where_an_update_has_two_microbatches():
    # A linear loss: every example's gradient is its own input, whatever the weights.
    generator = torch.Generator().manual_seed(0)
    x = 0.1 + 2 * torch.randn(40_000, 3, generator=generator, dtype=torch.float64)
    model = torch.nn.Linear(3, 1, bias=False, dtype=torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    controller = BatchSizeController(NoiseScale(), 40, growth=1, half_life=1e9)
    adaptive = AdaptiveBatchSize(model, optimizer, controller, grain=10, microbatch=40)
    for (part,) in adaptive.microbatches(DataLoader(TensorDataset(x), 10)):
        assert len(part) == 20  # halves, though all would fit
        adaptive.backward(model(part).mean())
        adaptive.step()
    averages = adaptive.records[-1].averages
    assert averages.noise == pytest.approx(12, rel=0.1)
    assert averages.squared_gradient == pytest.approx(0.03, abs=0.03)
    free, *_ = itertools.islice(train(8, 4, epochs=40)[2].records[1:], 1)
    assert free.signals.noise is not None  # recorded under every rule where it is free
    assert train(4, 4, epochs=40)[2].records[1].signals.noise is None


def test_factors_are_in_force_in_steps_and_nowhere_else():
    model = network()
    groups = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[2].parameters(), "lr": 0.02}]
    seen = []

    class Adam(torch.optim.Adam):
        def step(self, closure=None):
            seen.append([(group["lr"], group["betas"]) for group in self.param_groups])
            return super().step(closure)

    optimizer = Adam(groups, betas=(0.9, 0.96))
    controller = BatchSizeController(Steps("0:4 20:16"))
    adaptive = AdaptiveBatchSize(model, optimizer, controller, grain=4)
    for x, y in adaptive.microbatches(DataLoader(points(), 4)):
        adaptive.backward(criterion(model(x), y))
        adaptive.step()
        assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.02]
        assert all(group["betas"] == (0.9, 0.96) for group in optimizer.param_groups)
    # Root scaling by √(16/4), and a half-life of as many examples in a quarter of the updates.
    assert seen[:5] == [[(0.1, (0.9, 0.96)), (0.02, (0.9, 0.96))]] * 5
    assert seen[5] == [(0.2, (0.9, 0.96**4)), (0.04, (0.9, 0.96**4))]
    adaptive.close()
    optimizer.step()
    assert seen[-1] == seen[0]


def test_a_learning_rate_in_a_tensor_is_changed_in_place_and_restored():
    model = network()
    rate = torch.tensor(0.1, dtype=torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    reference = copy.deepcopy(model)
    controller = BatchSizeController(Steps("0:40", scaling="none"), maximum=40)
    adaptive = AdaptiveBatchSize(model, optimizer, controller, grain=1, microbatch=40)
    controller._state["target"] = 80.0  # past the cap
    controller.rule.__class__.past_cap, kept = lambda *_: 1.0, controller.rule.__class__.past_cap
    try:
        controller.bind(1)
    finally:
        controller.rule.__class__.past_cap = kept
    for x, y in itertools.islice(adaptive.microbatches(DataLoader(points(), 40)), 1):
        adaptive.backward(criterion(model(x), y))
        adaptive.step()
    x, y = points().tensors
    criterion(reference(x[:40]), y[:40]).backward()
    assert optimizer.param_groups[0]["lr"] is rate
    assert float(rate) == 0.1
    expected = reference[0].weight - 0.1 * reference[0].weight.grad
    assert model[0].weight.allclose(expected)


def test_rada_damp_grows_in_training():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, _, adaptive = train(
            4, 4, rule=RadaDamp(), epochs=30, limits={"wait": 5, "dwell": 3, "maximum": 32}
        )
    assert adaptive.decision.batch_size > 4
