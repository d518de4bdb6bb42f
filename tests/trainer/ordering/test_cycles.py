"""What GraB refines: slices of a cycle, stored subsets, units; and that it says where none comes again."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import oracles
import pytest
import torch
from grab_runs import BALANCES, Run, features, make, visit
from torch.utils.data import DataLoader

from syllabus.trainer import GraB, ManifestSampler


@pytest.mark.parametrize("balance", BALANCES)
@pytest.mark.parametrize(("slices", "batch"), [(2, 6), (3, 5), (4, 1)])
def test_slices_of_a_cycle_are_full_data_grab_bit_for_bit(balance, slices, batch):
    whole, cut = Run(60, 1.0, balance, 4), Run(60, 1 / slices, balance, 4 * slices)
    for epoch in range(4):
        whole.epoch(epoch, batch)
        for part in range(slices):
            cut.epoch(epoch * slices + part, batch)
    assert cut.rows == whole.rows
    assert cut.losses == whole.losses
    assert torch.equal(cut.weight, whole.weight)


def test_what_a_cycle_leaves_over_comes_in_the_next():
    sampler, grab = make(50, 0.3)  # three slices of 15, and 5 left over
    known = features(50)
    cycles = [
        np.concatenate([visit(sampler, grab, 3 * cycle + part, known) for part in range(3)]).tolist()
        for cycle in range(4)
    ]
    for before, after in itertools.pairwise(cycles):
        assert len(set(before)) == 45
        assert set(before) | set(after) == set(range(50))
        rest = [row for row in range(50) if row not in before]
        expected = np.array(before)[oracles.pair_balance(known.numpy()[before], 1)].tolist()
        # The walk's order with the rest in its middle, cut after 45.
        assert after[:22] == expected[:22]
        assert sorted(set(after) - set(expected)) == rest


def test_a_slice_stays_for_as_many_epochs_as_the_set():
    sampler, grab = make(40, 0.5, refresh_every=2)
    epochs = [sorted(visit(sampler, grab, epoch, features(40))) for epoch in range(8)]
    assert epochs[0::2] == epochs[1::2]
    assert sorted(epochs[0] + epochs[2]) == sorted(epochs[4] + epochs[6]) == list(range(40))


def test_a_stored_subset_is_refined_while_it_stays_and_a_change_is_told_once():
    sampler, grab = make(40, 0.5, schedule="milo", easy_fraction=1.0, refresh_every=3)
    known = features(40)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        epochs = [visit(sampler, grab, epoch, known) for epoch in range(9)]
    assert len(caught) == 1
    assert "epoch 3 has another set than the one before" in str(caught[0].message)
    for first in (0, 3, 6):
        assert sorted(epochs[first]) == sampler.curriculum.indices(first).tolist()
        rows = known.numpy()[epochs[first]]
        for more in (1, 2):
            expected = np.array(epochs[first])[oracles.pair_balance(rows, more)]
            assert epochs[first + more] == expected.tolist()


def test_a_schedule_of_ones_own_keeps_its_set_though_it_has_a_known_name():
    def fresh(curriculum, epoch):  # noqa: ARG001
        return curriculum.examples[:20]

    sampler, grab = make(40, 0.5, schedule=fresh)
    known = features(40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the set is fixed
        for epoch in range(2):
            assert sorted(visit(sampler, grab, epoch, known)) == list(range(20))


@pytest.mark.parametrize("schedule", ["milo", "redraw"])
def test_where_no_set_comes_again_it_says_so_at_once_and_shuffles(schedule):
    with pytest.warns(UserWarning, match=f"schedule '{schedule}' draws another set .* nothing is gained"):
        sampler, grab = make(40, 0.5, schedule=schedule, easy_fraction=0.2)
    shuffle = ManifestSampler(sampler.curriculum, "shuffle")
    for epoch in range(4):  # and no further warning
        shuffle.set_epoch(epoch)
        assert visit(sampler, grab, epoch, features(40)) == list(shuffle)


def test_units_are_ordered_as_one_and_a_short_one_stays_last():
    sampler, grab = make(22, grab=GraB(unit=4))
    rng = np.random.default_rng(0)
    groups = None
    for epoch in range(4):
        sampler.set_epoch(epoch)
        batches = []
        for rows in DataLoader(range(22), batch_size=4, sampler=sampler):
            grab.step(torch.from_numpy(rng.standard_normal(3)))
            batches.append(tuple(rows.tolist()))
        groups = groups or batches
        assert sorted(batches[:-1]) == sorted(groups[:-1])
        assert batches[-1] == groups[-1]
    assert batches != groups
