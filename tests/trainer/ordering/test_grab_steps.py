"""GraB in loops as people write them: batches dropped, workers ahead, gradients that do not match."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch
from grab_runs import BALANCES, Run, features, make, manifest, relations, visit
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from syllabus.trainer import GraB, TrainerError


@pytest.mark.parametrize("balance", BALANCES)
@relations
@given(n=st.integers(2, 30), data=st.data())
def test_whatever_is_stepped_the_next_epoch_is_a_permutation_and_the_rest_keeps_its_rank(balance, n, data):
    sampler, grab = make(n, grab=GraB(balance))
    known = features(n)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        order, stepped = list(sampler), []
        for first in range(0, n, 4):
            rows = order[first : first + 4]
            kind = data.draw(st.sampled_from(["next", "named", "skip", "broken"]))
            if first == 0:
                kind = "named"
            if kind == "next" and grab.state_dict()["place"] == first:
                grab.step(known[rows])
            elif kind in ("next", "named"):
                grab.step(known[rows], rows)
            elif kind == "broken":
                grab.step(known[rows] * torch.nan, rows)
            stepped += rows if kind in ("next", "named") else []
        sampler.set_epoch(epoch + 1)
        after = list(sampler)
        assert sorted(after) == list(range(n))
        rest = [row for row in order if row not in stepped]
        assert [row for row in after if row in set(rest)] == rest
        grab.step(known[after[:1]])


def test_drop_last_and_an_early_break_leave_the_unseen_their_rank():
    sampler, grab = make(30)
    known = features(30)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        order = []
        for rows in DataLoader(range(30), batch_size=4, sampler=sampler, drop_last=True):
            grab.step(known[rows])
            order += rows.tolist()
            if epoch == 1 and len(order) == 12:
                break
    sampler.set_epoch(3)
    assert sorted(sampler) == list(range(30))


def test_prefetching_workers_change_nothing():
    plain, fetched = Run(48, 0.5, "pair"), Run(48, 0.5, "pair")
    for epoch in range(3):
        plain.epoch(epoch, 5)
        fetched.epoch(epoch, 5, workers=2)
    assert fetched.rows == plain.rows
    assert fetched.losses == plain.losses


def test_rows_of_a_data_set_that_was_shuffled():
    names = manifest(40, 0).table("examples", ["id"])["id"].to_pylist()
    moved = np.random.default_rng(0).permutation(40)
    (one, grab), (other, named) = make(40, 0.5), make(40, 0.5, ids=[names[row] for row in moved])
    known = features(40)
    for epoch in range(4):
        expected = visit(one, grab, epoch, known)
        other.set_epoch(epoch)
        seen = []
        for rows in DataLoader(range(40), batch_size=4, sampler=other):
            named.step(known[moved[rows]], rows.tolist())
            seen += moved[rows].tolist()
        assert seen == expected


def test_a_block_that_is_not_finite_is_passed_over():
    sampler, grab = make(20)
    known = features(20)
    sampler.set_epoch(0)
    order = list(sampler)
    for first in range(0, 20, 5):
        rows = order[first : first + 5]
        grab.step(known[rows] * (torch.inf if first == 5 else 1))
    sampler.set_epoch(1)
    rest = order[:5] + order[10:]
    expected = np.array(rest)[oracles.pair_balance(known.numpy()[rest], 1)].tolist()
    after = list(sampler)
    assert [row for row in after if row in rest] == expected
    assert [row for row in after if row not in rest] == order[5:10]


def test_an_epoch_without_a_step_is_an_error_at_the_next():
    sampler, _ = make()
    sampler.set_epoch(0)
    list(sampler)
    sampler.set_epoch(0)
    with pytest.raises(TrainerError, match=r"epoch 0 of \d+ examples got no gradients; call grab\.step"):
        sampler.set_epoch(1)


def test_gradients_that_do_not_match_are_errors():
    sampler, grab = make(20, 0.5)
    known = features(20)
    with pytest.raises(TrainerError, match="no epoch has begun"):
        grab.step(known[:4])
    iterator = iter(sampler)
    rows = [next(iterator) for _ in range(6)]
    grab.step(known[rows[:4]])
    with pytest.raises(TrainerError, match="3 gradients, but of the 6 examples given out in epoch 0 4 were"):
        grab.step(known[:3])
    with pytest.raises(TrainerError, match="gradients have width 2; before it was 6"):
        grab.step(known[:2, :2])
    with pytest.raises(TrainerError, match="2 gradients of units of 1, and int64 indices"):
        grab.step(known[:2], rows[:3])
    stranger = next(row for row in range(20) if row not in list(sampler))
    with pytest.raises(TrainerError, match=f"row {stranger} is not in epoch 0"):
        grab.step(known[:2], [rows[5], stranger])
    with pytest.raises(TrainerError, match="a row occurs more than once"):
        grab.step(known[:2], [rows[5], rows[5]])
