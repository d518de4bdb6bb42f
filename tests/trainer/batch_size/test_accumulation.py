"""Gradients and trajectories of the mechanism beside those of one big batch and of plain training."""

from __future__ import annotations

import copy
import itertools
import math
import warnings

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from syllabus.trainer import TrainerError
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

N = 41
criterion = torch.nn.functional.cross_entropy


def network(dtype=torch.float64):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3)).to(dtype)


def points(dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    return TensorDataset(
        torch.randn(N, 5, generator=generator, dtype=dtype), torch.randint(3, (N,), generator=generator)
    )


def gradients(model):
    return [p.grad.clone() for p in model.parameters()]


def relative(found, expected):
    difference = sum(float((a - b).square().sum()) for a, b in zip(found, expected, strict=True))
    return math.sqrt(difference / sum(float(b.square().sum()) for b in expected))


class Spy(torch.optim.SGD):
    """Keeps the gradients, learning rates and βs that each step finds."""

    def __init__(self, parameters, lr=0.1, **options):
        super().__init__(parameters, lr=lr, **options)
        self.seen, self.rates = [], []

    def step(self, closure=None):
        self.seen.append([p.grad.clone() for group in self.param_groups for p in group["params"]])
        self.rates.append([float(group["lr"]) for group in self.param_groups])
        return super().step(closure)


def train(size, grain, microbatch=None, loader_batch=None, epochs=1, dtype=torch.float64, **options):
    model, data = network(dtype), points(dtype)
    optimizer = Spy(model.parameters())
    controller = BatchSizeController(options.pop("rule", Constant()), size, **options.pop("limits", {}))
    adaptive = AdaptiveBatchSize(model, optimizer, controller, grain=grain, microbatch=microbatch, **options)
    for _ in range(epochs):
        for x, y in adaptive.microbatches(DataLoader(data, loader_batch or grain)):
            adaptive.backward(criterion(model(x), y))
            adaptive.step()
    return model, optimizer, adaptive


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


def test_a_step_in_the_middle_of_an_update_is_refused():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    adaptive = AdaptiveBatchSize(model, optimizer, BatchSizeController(Constant(), 8), grain=4)
    for x, y in itertools.islice(adaptive.microbatches(DataLoader(points(), 4)), 1):
        adaptive.backward(criterion(model(x), y))
        with pytest.raises(TrainerError, match="in the middle of an update: a host that steps by itself"):
            optimizer.step()
        with pytest.raises(TrainerError, match="the update is not complete"):
            adaptive.updated()
        with pytest.raises(TrainerError, match="4 examples of an update are accumulated"):
            adaptive.state_dict()
        with pytest.raises(TrainerError, match="call it once for each microbatch"):
            adaptive.backward(criterion(model(x), y))


def test_an_unfinished_update_is_dropped_with_a_warning():
    model = network()
    optimizer = Spy(model.parameters())
    adaptive = AdaptiveBatchSize(model, optimizer, BatchSizeController(Constant(), 8), grain=4)
    for x, y in itertools.islice(adaptive.microbatches(DataLoader(points(), 4)), 1):
        adaptive.backward(criterion(model(x), y))
    again = adaptive.microbatches(DataLoader(points(), 4))
    with pytest.warns(UserWarning, match="4 examples of an unfinished update are dropped"):
        batches = itertools.chain([next(again)], again)
    for x, y in batches:
        adaptive.backward(criterion(model(x), y))
        adaptive.step()
    assert relative(optimizer.seen[0], train(8, 4)[1].seen[0]) == 0


def test_a_forgotten_step_is_an_error():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    adaptive = AdaptiveBatchSize(model, optimizer, BatchSizeController(Constant(), 4), grain=4)
    batches = adaptive.microbatches(DataLoader(points(), 4))
    x, y = next(batches)
    adaptive.backward(criterion(model(x), y))
    with pytest.raises(TrainerError, match="complete and was not stepped"):
        next(batches)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grain": 0}, "grain=0 is below 1"),
        ({"microbatch": 0}, "microbatch=0 is below 1"),
        ({"rule": "probe"}, "AdaDamp measures probe_loss; give probe=Probe"),
    ],
)
def test_errors_name_the_option_its_value_and_the_bound(options, message):
    from syllabus.trainer.batch_size import AdaDamp

    rule = AdaDamp() if options.pop("rule", None) else Constant()
    with pytest.raises(TrainerError, match=message):
        train(8, rule=rule, **{"grain": 4, **options})


def test_a_loss_of_one_an_example_is_refused():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    adaptive = AdaptiveBatchSize(model, optimizer, BatchSizeController(Constant(), 8), grain=4)
    for x, y in itertools.islice(adaptive.microbatches(DataLoader(points(), 4)), 1):
        with pytest.raises(TrainerError, match=r"the loss has shape \(4,\); expected a mean"):
            adaptive.backward(criterion(model(x), y, reduction="none"))


def test_rada_damp_grows_in_training():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, _, adaptive = train(
            4, 4, rule=RadaDamp(), epochs=30, limits={"wait": 5, "dwell": 3, "maximum": 32}
        )
    assert adaptive.decision.batch_size > 4


def test_ranks_without_averaging_are_refused(monkeypatch):
    monkeypatch.setattr("syllabus.trainer.batch_size.accumulation.world_size", lambda: 2)
    with pytest.raises(TrainerError, match="2 ranks and the model is a Sequential; wrap it in Distributed"):
        train(8, 4)


def test_an_update_of_which_nothing_counts_is_an_error():
    for size in (4, 8):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        adaptive = AdaptiveBatchSize(model, optimizer, BatchSizeController(Constant(), size), grain=4)
        batches = adaptive.microbatches(DataLoader(points(), 4))
        for _ in range(size // 4 - 1):
            x, y = next(batches)
            adaptive.backward(criterion(model(x), y), count=0)
        x, y = next(batches)
        with pytest.raises(TrainerError, match="nothing in an update counts"):
            adaptive.backward(criterion(model(x), y), count=0)
