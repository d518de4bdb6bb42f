"""The probe subset: a stratified draw, measured in eval mode, that leaves everything as it was."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from small_manifest import write_small_manifest

from syllabus.trainer import Curriculum, TrainerError
from syllabus.trainer.batch_size import (
    AdaDamp,
    AdaDampNN,
    AdaptiveBatchSize,
    BatchSizeController,
    Probe,
    stratified,
)

loss = torch.nn.functional.cross_entropy


@pytest.fixture(scope="module")
def curriculum(tmp_path_factory) -> Curriculum:
    return Curriculum(write_small_manifest(tmp_path_factory.mktemp("m"), n=101), 0.4, 3, "fresh", seed=0)


@pytest.mark.parametrize("size", [1, 7, 30, 101, 500])
def test_of_every_partition_its_share(curriculum, size):
    chosen = stratified(curriculum, size, seed=3)
    assert len(set(chosen.tolist())) == len(chosen) == min(size, 101)
    assert set(chosen.tolist()) <= set(curriculum.examples.tolist())
    assert chosen.tolist() == sorted(chosen.tolist())
    every = curriculum.manifest.examples()
    partitions = dict(zip(every.tolist(), np.asarray(curriculum.manifest.partitions()).tolist(), strict=True))
    counts = np.bincount(list(partitions.values()))
    found = np.bincount([partitions[index] for index in chosen.tolist()], minlength=len(counts))
    assert (np.abs(found - counts * min(size, 101) / 101) < 1).all()


def test_the_draw_depends_on_the_seed_and_on_nothing_else(curriculum):
    other = Curriculum(curriculum.manifest, 0.1, 9, "redraw", seed=8)
    assert stratified(curriculum, 20, seed=1).tolist() == stratified(other, 20, seed=1).tolist()
    assert stratified(curriculum, 20, seed=1).tolist() != stratified(curriculum, 20, seed=2).tolist()
    with pytest.raises(TrainerError, match="size=0 is below 1"):
        stratified(curriculum, 0, seed=1)


class Noisy(torch.utils.data.Dataset):
    """Examples with noise from all three generators."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(20, 3, generator=generator)
        self.read = 0

    def __len__(self):
        return 20

    def __getitem__(self, row):
        self.read += 1
        noise = random.random() + np.random.random() + torch.rand(()).item()  # noqa: NPY002 - as users do
        return self.x[row] + noise, int(self.x[row, 0] > 0)


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(3, 5), torch.nn.BatchNorm1d(5), torch.nn.Dropout(0.5), torch.nn.Linear(5, 2)
    )


def generators():
    return (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: NPY002


def test_it_is_the_mean_in_eval_mode_and_leaves_no_trace():
    model, data = network(), Noisy()
    model[2].eval()  # a mode that is not its parents' stays
    model[0].weight.grad = torch.ones(5, 3)
    before = generators()
    probe = Probe(model, data, [3, 5, 8, 13, 19], loss, batch_size=2)
    assert (len(probe), data.read) == (5, 5)
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    measured = probe.loss(), probe.squared_norm()
    assert measured == (probe.loss(), probe.squared_norm())
    assert data.read == 5
    assert generators() == before
    assert [module.training for module in model.modules()] == [True, True, True, False, True]
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())
    assert torch.equal(model[0].weight.grad, torch.ones(5, 3))
    # By hand, over all rows at once.
    model.eval()
    x = torch.cat([part[0] for part in probe._batches])
    y = torch.cat([part[1] for part in probe._batches])
    value = loss(model(x), y)
    assert measured[0] == pytest.approx(value.item())
    gradients = torch.autograd.grad(value, list(model.parameters()))
    assert measured[1] == pytest.approx(sum(float(g.square().sum()) for g in gradients), rel=1e-5)


def test_what_is_random_in_the_data_is_drawn_once_and_for_all():
    model, data = network(), Noisy()
    first = Probe(model, data, range(6), loss).loss()
    torch.manual_seed(5)
    random.seed(5)
    assert Probe(model, data, range(6), loss).loss() == first
    assert Probe(model, data, range(6), loss, seed=1).loss() != first


@pytest.mark.parametrize(("rule", "every"), [(AdaDamp(), 200), (AdaDampNN(), 600)])
def test_by_default_it_may_cost_a_hundredth_of_the_training(rule, every):
    model, data = network(), Noisy()
    controller = BatchSizeController(rule, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    AdaptiveBatchSize(model, optimizer, controller, grain=4, probe=Probe(model, data, range(6), loss)).close()
    assert controller.every == every
    own = BatchSizeController(rule, 4, every=7)
    AdaptiveBatchSize(model, optimizer, own, grain=4, probe=Probe(model, data, range(6), loss))
    assert own.every == 7


def test_errors_name_the_option_its_value_and_the_bound():
    with pytest.raises(TrainerError, match="rows is empty"):
        Probe(network(), Noisy(), [], loss)
    with pytest.raises(TrainerError, match="batch_size=0 is below 1"):
        Probe(network(), Noisy(), [1], loss, batch_size=0)
