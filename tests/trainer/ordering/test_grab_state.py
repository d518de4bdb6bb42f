"""GraB's state: resumed anywhere it replays; it is small, and refused where it does not belong."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from grab_runs import BALANCES, Run, features, make, visit
from torch.utils.data import DataLoader

from syllabus.trainer import Curriculum, GraB, ManifestSampler, TrainerError


def stored(grab: GraB) -> dict:
    file = io.BytesIO()
    torch.save(grab.state_dict(), file)
    return torch.load(io.BytesIO(file.getvalue()), weights_only=True)


@pytest.mark.parametrize("balance", BALANCES)
@pytest.mark.parametrize("fraction", [1.0, 0.4])
def test_resuming_after_every_batch_replays_orders_and_losses(balance, fraction):
    size, whole = 3, Run(23, fraction, balance)
    for epoch in range(7):
        whole.epoch(epoch, size)
    steps = -(-len(whole.sampler) // size)
    for epoch in (0, 1, 4):
        for step in range(steps):
            first, again = Run(23, fraction, balance), Run(23, fraction, balance)
            for before in range(epoch):
                first.epoch(before, size)
            first.sampler.set_epoch(epoch)
            loader = iter(DataLoader(first.data, size, sampler=first.sampler))
            for _ in range(step + 1):
                first.train(*next(loader))
            place = min((step + 1) * size, len(first.sampler))
            again.grab.load_state_dict(stored(first.grab))
            again.sampler.load_state_dict(first.sampler.state_dict(place))
            again.weight = first.weight
            for later in range(again.sampler.epoch, 7):
                again.epoch(later, size)
            assert first.losses + again.losses == whole.losses
            assert first.rows + again.rows == whole.rows


def test_a_state_of_something_else_is_refused():
    run, other, mean = Run(20, 0.5, "pair"), Run(20, 0.5, "pair"), Run(20, 0.5, "mean")
    run.epoch(0, 4)
    run.epoch(1, 4)
    run.sampler.set_epoch(2)
    loader = iter(DataLoader(run.data, 4, sampler=run.sampler))
    run.train(*next(loader))
    state = run.sampler.state_dict(4)
    assert all(isinstance(value, (str, int, bool)) for value in state.values())
    with pytest.raises(TrainerError, match="load GraB's own state first"):
        other.sampler.load_state_dict(state)
    with pytest.raises(TrainerError, match="name is 'grab-pair' in the state and 'grab-mean' here"):
        mean.grab.load_state_dict(run.grab.state_dict())
    with pytest.raises(TrainerError, match="order is 'grab-pair' in the state and 'grab-mean' here"):
        mean.sampler.load_state_dict(state)


def size(value) -> int:
    """Bytes of all arrays in it, without those of the sampler and its curriculum."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return value.nbytes
    if isinstance(value, dict):
        return sum(map(size, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(size, value))
    inside = type(value).__module__.startswith("syllabus.")
    return size(vars(value)) if inside and not isinstance(value, (ManifestSampler, Curriculum)) else 0


@pytest.mark.parametrize(
    ("balance", "vectors"), [("pair", 1.5), ("kernel-halving", 1.5), ("mean", 3), ("greedy", None)]
)
def test_memory_is_a_few_vectors_and_two_numbers_an_example(balance, vectors):
    width, n = 1000, 61
    sampler, grab = make(n, grab=GraB(balance))
    for epoch in range(2):
        visit(sampler, grab, epoch, features(n, width), 7)
    sampler.set_epoch(2)
    iterator = iter(sampler)
    grab.step(features(7, width), [next(iterator) for _ in range(7)])  # odd: one waits for its partner
    if vectors is None:  # what is counted would show if all gradients were kept
        assert min(size(grab.state_dict()), size(grab)) >= 4 * width * n
    else:
        assert size(grab.state_dict()) <= 8 * width * vectors + 17 * n
        assert (
            size(grab) <= 8 * width * vectors + 33 * n + 8
        )  # the rows of an epoch that was named, a threshold
