"""Features of GraB: gradients of each example's own loss, whatever the loss is multiplied by."""

from __future__ import annotations

import tempfile
from functools import cache

import numpy as np
import pytest
import torch
from small_manifest import write_small_manifest
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from syllabus.manifests import Manifest
from syllabus.selectors.blocks import Outer, Rows
from syllabus.trainer import (
    CountSketch,
    Curriculum,
    FullGradients,
    GraB,
    LastLayer,
    ManifestSampler,
    MeanGradient,
    TrainerError,
    fit,
)

ROOT = tempfile.TemporaryDirectory(prefix="syllabus-features-")
N, WIDTH, CLASSES = 46, 7, 3


@cache
def manifest() -> Manifest:
    return write_small_manifest(tempfile.mkdtemp(dir=ROOT.name), n=N, gap=0)


def data(n: int = N) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.standard_normal((n, WIDTH))).float(), torch.from_numpy(
        rng.integers(0, CLASSES, n)
    )


def network(bias: bool = True) -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(WIDTH, 5), torch.nn.Tanh(), torch.nn.Linear(5, CLASSES, bias=bias)
    )


def own_gradients(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
    """One backward pass an example."""
    rows: dict[str, list[torch.Tensor]] = {name: [] for name, _ in model.named_parameters()}
    for one, target in zip(x, y, strict=True):
        model.zero_grad()
        functional.cross_entropy(model(one[None]), target[None]).backward()
        for name, parameter in model.named_parameters():
            rows[name].append(parameter.grad.clone())
    model.zero_grad()
    return {name: torch.stack(some) for name, some in rows.items()}


def written(block: Outer) -> torch.Tensor:
    return torch.einsum("bp,bq->bpq", block.left, block.right)


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found.float(), expected.float(), rtol=1e-5, atol=1e-7)


class Way:
    """One way to take a loss backward; all of them train on the same."""

    def __init__(self, reduction: str, watched: bool, accumulate: int, scaled: bool) -> None:
        self.reduction, self.watched, self.accumulate = reduction, watched, accumulate
        self.model = network()
        self.criterion = torch.nn.CrossEntropyLoss(reduction=reduction)
        self.features = LastLayer(self.model[2], None if watched else self.criterion)
        self.scales = [65536.0, 1024.0, 3.0] if scaled else [1.0]
        self.step = 0

    def __call__(self, x: torch.Tensor, y: torch.Tensor) -> Outer:
        loss = self.criterion(self.model(x), y)
        if self.watched:
            loss = self.features.watch(loss, self.reduction)
        loss = loss.mean() if self.reduction == "none" else loss
        loss = loss / len(y) if self.reduction == "sum" else loss
        scale = self.scales[self.step % len(self.scales)]
        (loss / self.accumulate * scale).backward()
        self.step += 1
        if self.step % self.accumulate == 0:
            self.model.zero_grad()
        return self.features()


WAYS = [
    (reduction, watched, accumulate, scaled)
    for reduction in ("mean", "sum", "none")
    for watched in (False, True)
    for accumulate in (1, 4)
    for scaled in (False, True)
]


@pytest.mark.parametrize("way", WAYS)
def test_last_layer_is_of_each_examples_own_loss_and_gives_the_same_order(way):
    x, y = data()
    expected = own_gradients(network(), x, y)
    whole = torch.cat([expected["2.weight"], expected["2.bias"][:, :, None]], 2)
    taken, reference = Way(*way), {}
    for name, features in (("way", taken), ("own", lambda *_: None)):
        grab = GraB()
        sampler = ManifestSampler(Curriculum(manifest(), 1.0, 4, seed=0), grab)
        reference[name] = []
        for epoch in range(4):
            sampler.set_epoch(epoch)
            # 46 examples: the last batch is of 6.
            for rows in DataLoader(range(N), batch_size=8, sampler=sampler):
                block = features(x[rows], y[rows])
                if block is not None:
                    close(written(block), whole[rows])
                grab.step(whole[rows].flatten(1) if block is None else block)
                reference[name] += rows.tolist()
    assert reference["way"] == reference["own"]


def test_a_grad_scaler_is_undone():
    x, y = data(8)
    model, criterion = network(), torch.nn.CrossEntropyLoss()
    features, optimizer = LastLayer(model[2], criterion), torch.optim.SGD(model.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**14, growth_interval=1)
    for _ in range(3):
        expected = own_gradients(model, x, y)["2.weight"]
        features._passed.clear()
        features._loss._passed.clear()
        scaler.scale(criterion(model(x), y)).backward()
        close(written(features())[:, :, :-1], expected)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()


def test_weights_and_ignored_examples_are_undone():
    x, y = data(6)
    model = network(bias=False)
    expected = own_gradients(model, x, y)["2.weight"]
    criterion = torch.nn.CrossEntropyLoss(reduction="none")
    features = LastLayer(model[2], criterion)
    weights = torch.tensor([1.0, 2.0, 0.0, 0.5, 3.0, 1.0])
    (criterion(model(x), y) * weights).sum().backward()
    close(written(features()), expected * (weights != 0)[:, None, None])
    features.remove()
    ignoring = torch.nn.CrossEntropyLoss(ignore_index=-1)
    features = LastLayer(model[2], ignoring)
    kept = torch.tensor([True, False, True, True, False, True])
    ignoring(model(x), torch.where(kept, y, -1)).backward()
    close(written(features()), expected * kept[:, None, None])


def test_evaluation_leaves_no_trace():
    x, y = data(5)
    model, criterion = network(), torch.nn.CrossEntropyLoss()
    features = LastLayer(model[2], criterion)
    criterion(model(x), y).backward()
    with torch.no_grad():
        criterion(model(x[:2]), y[:2])
    assert len(features()) == 5


def test_what_the_hooks_cannot_see_through_says_what_to_state():
    x, y = data(5)
    model = network()
    with pytest.raises(TrainerError, match=r"layer is a Tanh; expected torch.nn.Linear"):
        LastLayer(model[1])
    with pytest.raises(
        TrainerError, match=r"Identity has no reduction of mean, none, sum; leave it out and pass"
    ):
        LastLayer(model[2], torch.nn.Identity())
    features = LastLayer(model[2])
    with pytest.raises(TrainerError, match="0 backward passes went through the layer"):
        features()
    functional.cross_entropy(model(x), y).backward()
    with pytest.raises(
        TrainerError, match=r"loss was not seen.*give the loss module.*watch\(loss, reduction"
    ):
        features()
    with pytest.raises(TrainerError, match="reduction 'max' is unknown"):
        features.watch(functional.cross_entropy(model(x), y), "max")
    with pytest.raises(TrainerError, match=r"loss has shape \(\); reduction 'none' is \(B,\), one loss"):
        features.watch(functional.cross_entropy(model(x), y), "none")
    for _ in range(2):
        features.watch(functional.cross_entropy(model(x), y), "mean").backward()
    with pytest.raises(TrainerError, match="2 backward passes went through the layer since the last call"):
        features()
    weighted = torch.nn.CrossEntropyLoss(weight=torch.ones(CLASSES))
    features = LastLayer(model[2], weighted)
    with pytest.raises(TrainerError, match=r"has class weights.*state reduction='none'"):
        weighted(model(x), y)


def test_inputs_that_are_no_single_vector_an_example_are_refused():
    layer = torch.nn.Linear(4, 2)
    features = LastLayer(layer)
    features.watch(layer(torch.zeros(3, 5, 4)).sum(), "sum").backward()
    with pytest.raises(TrainerError, match=r"inputs have shape \(3, 5, 4\); expected \(B, 4\)"):
        features()


def test_full_gradients_are_those_of_one_backward_an_example_and_train():
    x, y = data(9)
    model = network()
    expected = own_gradients(model, x, y)
    functional.cross_entropy(model(x), y).backward()
    mean = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    full = FullGradients(model, functional.cross_entropy)
    with pytest.raises(TrainerError, match="no backward pass since the last call"):
        full()
    for part in (slice(0, 5), slice(5, 9)):
        losses = full.backward(x[part], y[part], scale=len(x[part]) / 9)
        close(losses, functional.cross_entropy(model(x[part]), y[part], reduction="none").detach())
        close(full().rows, torch.cat([rows[part].flatten(1) for rows in expected.values()], 1))
    for name, parameter in model.named_parameters():
        close(parameter.grad, mean[name])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("watched", [False, True])
def test_mean_gradients_are_of_the_pass_alone(reduction, watched):
    x, y = data(12)
    model, criterion = network(), torch.nn.CrossEntropyLoss(reduction=reduction)
    features = MeanGradient(model.parameters(), None if watched else criterion)
    own = torch.cat([rows.flatten(1) for rows in own_gradients(network(), x, y).values()], 1)
    for part, scale in ((slice(0, 8), 0.25), (slice(8, 12), 512.0)):
        loss = criterion(model(x[part]), y[part])
        if watched:
            loss = features.watch(loss, reduction, len(y[part]))
        (loss.mean() * scale).backward()
        close(features().rows, own[part].mean(0, keepdim=True))
    with pytest.raises(TrainerError, match="no backward pass since the last call"):
        features()
    if reduction == "sum":
        features.watch(functional.cross_entropy(model(x), y, reduction="sum"), "sum").backward()
        if watched:
            with pytest.raises(TrainerError, match="a sum over how many examples"):
                features()


def test_a_sketch_is_linear_seeded_and_keeps_inner_products_on_average():
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.standard_normal((40, 900))).float()
    pieces = [rows[:, :800].contiguous(), rows[:, 800:].contiguous()]
    sketch = CountSketch(64, seed=1)
    found = sketch(pieces).rows
    assert torch.equal(found, CountSketch(64, seed=1)(pieces).rows)
    assert not torch.equal(found, CountSketch(64, seed=2)(pieces).rows)
    torch.testing.assert_close(sketch([2 * piece for piece in pieces]).rows, 2 * found)
    exact = rows @ rows.T
    drawn = torch.stack([Rows.gram(CountSketch(64, seed=s)(pieces)).float() for s in range(200)])
    # Each estimate has deviation about ‖a‖‖b‖/√64; the mean of 200 is 14 times closer.
    assert (drawn.mean(0) - exact).abs().max() < 5 * 900 / 8 / 14
    with pytest.raises(TrainerError, match="pieces of widths"):
        sketch([rows])
    with pytest.raises(TrainerError, match="width=0 is below 1"):
        CountSketch(0, seed=0)


@pytest.mark.parametrize("kind", [FullGradients, MeanGradient])
def test_sketched_features_have_the_sketchs_width(kind):
    x, y = data(4)
    model, criterion = network(), torch.nn.CrossEntropyLoss()
    if kind is FullGradients:
        features = FullGradients(model, criterion, CountSketch(16, seed=0))
        features.backward(x, y)
    else:
        features = MeanGradient(model.parameters(), criterion, CountSketch(16, seed=0))
        criterion(model(x), y).backward()
    assert features().rows.shape == (4 if kind is FullGradients else 1, 16)


# The loop


def run(path=None, stop: int | None = None):
    model, criterion = network(), torch.nn.CrossEntropyLoss()
    sampler = ManifestSampler(Curriculum(manifest(), 0.5, 6, seed=0), GraB())
    seen = []

    def on_epoch(record):
        seen.append(record.loss)
        if len(seen) == stop:
            raise KeyboardInterrupt

    def go():
        return fit(
            model,
            TensorDataset(*data()),
            sampler,
            loss=criterion,
            optimizer=torch.optim.SGD(model.parameters(), 0.5),
            batch_size=5,
            features=LastLayer(model[2], criterion),
            progress=False,
            checkpoint=path,
            checkpoint_every=2,
            on_epoch=on_epoch,
        )

    if stop is None:
        return [record.loss for record in go()], sampler
    with pytest.raises(KeyboardInterrupt):
        go()
    return None, sampler


def test_fit_trains_with_grab_and_continues_in_the_middle_of_an_epoch(tmp_path):
    losses, sampler = run()
    assert losses[-1] < losses[0]
    run(tmp_path / "state", stop=4)
    again, resumed = run(tmp_path / "state")
    assert again == losses
    assert resumed.order.state_dict()["order"].tolist() == sampler.order.state_dict()["order"].tolist()


def test_fit_needs_features_for_grab_and_only_then():
    model = network()
    for order, features in ((GraB(), None), ("shuffle", lambda: None)):
        with pytest.raises(TrainerError, match="a GraB order and features go together"):
            fit(
                model,
                TensorDataset(*data()),
                ManifestSampler(Curriculum(manifest(), 0.5, 2, seed=0), order),
                loss=functional.cross_entropy,
                optimizer=torch.optim.SGD(model.parameters(), 0.1),
                batch_size=5,
                features=features,
                progress=False,
            )
