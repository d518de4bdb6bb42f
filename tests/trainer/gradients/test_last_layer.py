"""Last-layer features: gradients of each example's own loss, whatever the loss is multiplied by."""

from __future__ import annotations

import pytest
import torch
from small_network import CLASSES, N, close, data, manifest, network, own_gradients
from torch.nn import functional
from torch.utils.data import DataLoader

from syllabus.selectors.balancing.vectors import OuterProducts
from syllabus.trainer import Curriculum, GraB, LastLayer, ManifestSampler, TrainerError


def written(block: OuterProducts) -> torch.Tensor:
    """The gradients of weights and bias side by side: (B, p, q + 1)."""
    products = torch.einsum("bp,bq->bpq", block.left, block.right.double())
    return torch.cat([products, block.left[:, :, None]], 2) if block.bias else products


class Way:
    """One way to take a loss backward; all of them train on the same."""

    def __init__(self, reduction: str, watched: bool, accumulate: int, scaled: bool) -> None:
        self.reduction, self.watched, self.accumulate = reduction, watched, accumulate
        self.model = network()
        self.criterion = torch.nn.CrossEntropyLoss(reduction=reduction)
        self.features = LastLayer(self.model[2], None if watched else self.criterion)
        self.scales = [65536.0, 1024.0, 3.0] if scaled else [1.0]
        self.step = 0

    def __call__(self, x: torch.Tensor, y: torch.Tensor) -> OuterProducts:
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
    scaler, unwatched = torch.amp.GradScaler("cpu", init_scale=2.0**14, growth_interval=1), network()
    for _ in range(3):
        unwatched.load_state_dict(model.state_dict())
        expected = own_gradients(unwatched, x, y)["2.weight"]
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
