"""Losses and layers called by position, by keyword and by both, and batches with nothing to learn."""

from __future__ import annotations

import pytest
import torch
from small_network import close, data, manifest, network

from syllabus.trainer import Curriculum, GraB, LastLayer, ManifestSampler, MeanGradient, TrainerError

FORMS = {
    "positions": lambda loss, outputs, targets: loss(outputs, targets),
    "keywords": lambda loss, outputs, targets: loss(input=outputs, target=targets),
    "other order": lambda loss, outputs, targets: loss(target=targets, input=outputs),
    "mixture": lambda loss, outputs, targets: loss(outputs, target=targets),
}


def written(block) -> torch.Tensor:
    return torch.einsum("bp,bq->bpq", block.left, block.right.double()).flatten(1)


class Own(torch.nn.Module):
    """A loss of a user's own, whose arguments have other names."""

    reduction, ignore_index = "mean", -100

    def forward(self, logits, labels):
        return torch.nn.functional.cross_entropy(logits, labels)


def features_of(form: str, kind, loss: torch.nn.Module, targets: torch.Tensor):
    x, model = data(8)[0], network()
    features = kind(model[2] if kind is LastLayer else model.parameters(), loss)
    hidden = model[1](model[0](x))
    outputs = model[2](hidden) if form == "positions" else model[2](input=hidden)
    FORMS[form](loss, outputs, targets).mean().backward()
    found = features()
    features.remove()
    return written(found) if kind is LastLayer else found.rows


@pytest.mark.parametrize("kind", [LastLayer, MeanGradient])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("form", [form for form in FORMS if form != "positions"])
def test_features_do_not_depend_on_the_form_of_the_call(form, reduction, kind):
    targets = data(8)[1].clone()
    targets[2:4] = -100
    loss = torch.nn.CrossEntropyLoss(reduction=reduction)
    close(features_of(form, kind, loss, targets), features_of("positions", kind, loss, targets))


def test_a_loss_of_other_names_is_understood_and_one_without_targets_is_one_line():
    x, y = data(8)
    for call in (lambda loss, o: loss(o, y), lambda loss, o: loss(labels=y, logits=o)):
        model, loss = network(), Own()
        features = LastLayer(model[2], loss)
        call(loss, model(x)).backward()
        assert torch.isfinite(written(features())).all()

    class Alone(Own):
        def forward(self, outputs):
            return outputs.sum()

    model, loss = network(), Alone()
    LastLayer(model[2], loss)
    with pytest.raises(
        TrainerError, match="LastLayer: Alone was called without a tensor of targets; leave it"
    ):
        loss(model(x))


@pytest.mark.parametrize("balance", ["pair", "mean", "kernel-halving", "greedy"])
@pytest.mark.parametrize("kind", [LastLayer, MeanGradient])
def test_a_batch_whose_targets_are_all_ignored_is_passed_over(kind, balance):
    x, y = data(46)
    orders = []
    for told in (True, False):
        model, loss = network(), torch.nn.CrossEntropyLoss()
        unit = 1 if kind is LastLayer else 2
        features = kind(model[2] if kind is LastLayer else model.parameters(), loss)
        grab = GraB(balance, unit=unit)
        sampler = ManifestSampler(Curriculum(manifest(), 1.0, 2, seed=0), grab)
        rows = iter(sampler)
        for number in range(20):
            batch = [next(rows), next(rows)]
            targets = y[batch] if number != 5 else torch.full((2,), -100)
            model.zero_grad()
            loss(model(x[batch]), targets).backward()
            found = features()
            if number == 5:
                assert not torch.isfinite(found.rows if kind is MeanGradient else found.left).any()
            if told or number != 5:
                grab.step(found, batch)
        sampler.set_epoch(1)
        orders.append(list(sampler))
    assert orders[0] == orders[1]
