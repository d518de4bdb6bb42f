"""GraB's orders by plain references, and what is refused."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch
from grab_runs import BALANCES, features, make, manifest, relations, visit
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from syllabus.selectors import herding
from syllabus.selectors.balancing.vectors import OuterProducts
from syllabus.trainer import GraB, ManifestSampler, TrainerError


@relations
@given(n=st.integers(3, 40), batch=st.integers(1, 9), seed=st.integers(0, 10**6))
def test_pairs_by_reference_whatever_the_batches_odd_n_included(n, batch, seed):
    sampler, grab = make(n, grab=GraB("pair"))
    known = features(n, seed=seed)
    first = visit(sampler, grab, 0, known, batch)
    for epoch in range(1, 5):
        rows = known.numpy()[first]
        expected = np.array(first)[oracles.pair_balance(rows, epoch)]
        assert visit(sampler, grab, epoch, known, batch) == expected.tolist()


@relations
@given(n=st.integers(3, 32), batch=st.integers(1, 9), seed=st.integers(0, 10**6))
def test_means_by_reference(n, batch, seed):
    sampler, grab = make(n, grab=GraB("mean"))
    known = features(n, seed=seed) * n  # so that the mean is whole, too
    order = visit(sampler, grab, 0, known, batch)
    mean = np.zeros(known.shape[1])
    for epoch in range(1, 5):
        signs, _ = oracles.signed_walk(known.numpy(), order, mean)
        mean = known.double().mean(0).numpy()
        front = [row for row, sign in zip(order, signs, strict=True) if sign > 0]
        back = [row for row, sign in zip(order, signs, strict=True) if sign < 0]
        order = front + back[::-1]
        assert visit(sampler, grab, epoch, known, batch) == order


def test_greedy_herds_the_gradients_of_the_cycle_before():
    sampler, grab = make(31, grab=GraB("greedy"))
    known = features(31)
    order = visit(sampler, grab, 0, known)
    for epoch in range(1, 4):
        # Ties go to the first in the order, so the order before has its part in the next.
        expected = np.array(order)[herding.greedy(known.numpy()[order])].tolist()
        order = visit(sampler, grab, epoch, known)
        assert order == expected


def test_the_first_epoch_is_that_of_shuffle_and_herding_starts_from_the_manifest():
    sampler, _ = make()
    shuffle = ManifestSampler(sampler.curriculum, "shuffle")
    assert list(sampler) == list(shuffle)
    herded, _ = make(grab=GraB(start="herding"))
    assert list(herded) == manifest(60, 0).order("balance").tolist()


@pytest.mark.parametrize("balance", BALANCES)
def test_the_order_of_fixed_features_becomes_far_better_than_random(balance):
    sampler, grab = make(200, grab=GraB(balance), epochs=40)
    known = torch.from_numpy(oracles.planted("normal", 200, 8, seed=0))
    norms = [oracles.prefix_norms(known.numpy(), visit(sampler, grab, e, known))[0].max() for e in range(12)]
    # The thresholds of kernel halving are random, and its orders between the others' and random ones.
    assert np.mean(norms[8:]) < (0.75 if balance == "kernel-halving" else 0.5) * norms[0]


def test_factors_and_written_features_give_the_same_order():
    left, right = features(60, 3, seed=1), features(60, 4, seed=2)
    written = torch.einsum("bp,bq->bpq", left, right).reshape(60, 12)
    (one, grab), (other, factored) = make(), make()
    for epoch in range(3):
        expected = visit(one, grab, epoch, written, 5)
        other.set_epoch(epoch)
        seen = []
        for rows in DataLoader(range(60), batch_size=5, sampler=other):
            factored.step(OuterProducts(left[rows], right[rows]))
            seen += rows.tolist()
        assert seen == expected


def test_what_grab_cannot_do_is_refused():
    with pytest.raises(
        TrainerError, match="balance 'pairs' is unknown; known: greedy, kernel-halving, mean, pair"
    ):
        GraB("pairs")
    with pytest.raises(TrainerError, match="start 'none' is unknown"):
        GraB(start="none")
    with pytest.raises(TrainerError, match="unit=0 is below 1"):
        GraB(unit=0)
    sampler, grab = make()
    with pytest.raises(TrainerError, match="already the order of another sampler"):
        ManifestSampler(sampler.curriculum, grab)
    with pytest.raises(TrainerError, match="num_replicas=2"):
        ManifestSampler(sampler.curriculum, GraB(), num_replicas=2, rank=0)
    with pytest.raises(TrainerError, match="budgets 'equal' cannot be kept"):
        make(fraction=0.5, budgets="equal")
    with pytest.raises(TrainerError, match="epochs of 30 examples are not whole units of 4"):
        make(fraction=0.5, grab=GraB(unit=4))
    with pytest.raises(TrainerError, match="unit=70 is above the 60"):
        make(grab=GraB(unit=70))
    wide, greedy = make(grab=GraB("greedy"))
    wide.set_epoch(0)
    next(iter(wide))
    with pytest.raises(
        TrainerError, match=r"would keep 60 x 20000000 numbers, 4,800,000,000 bytes; the limit"
    ):
        greedy.step(torch.zeros(20_000_000))
    with pytest.raises(TrainerError, match="not the order of a sampler yet"):
        GraB().state_dict()
    visit(sampler, grab, 2, features(60))
    sampler.set_epoch(1)
    with pytest.raises(TrainerError, match="epoch 1 comes after 2"):
        list(sampler)
