"""Full, mean and sketched gradients, and the loop that orders by them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_network import close, data, manifest, network, own_gradients
from torch.nn import functional
from torch.utils.data import TensorDataset

from syllabus.selectors.balancing.vectors import DenseVectors
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
    drawn = torch.stack([DenseVectors.gram(CountSketch(64, seed=s)(pieces)).float() for s in range(200)])
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
