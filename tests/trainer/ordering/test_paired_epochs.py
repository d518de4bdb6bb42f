"""Orders "reversal" and "blocks": which epochs are played backwards, over which sets, on any ranks."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from samplers import dealt, manifest, rows, sampler, team
from weighted import quiet, weighted

from syllabus.trainer import ManifestSampler

PAIRED = ("blocks", "reversal")


def curriculum(fraction: float = 0.4, epochs: int = 6, schedule: str = "fresh", **options):
    return quiet(manifest(), fraction, epochs, schedule, **options)


def visits(order: str, epochs: int = 12, **options) -> list[list[int]]:
    one = sampler(curriculum(epochs=epochs, **options), order)
    return [rows([one], epoch)[0] for epoch in range(epochs)]


@pytest.mark.parametrize("order", PAIRED)
def test_over_all_data_each_odd_epoch_is_the_one_before_backwards(order):
    seen = visits(order, fraction=1.0, schedule="fresh")
    for even, odd in zip(seen[::2], seen[1::2], strict=True):
        assert odd == even[::-1]
    assert len({tuple(epoch) for epoch in seen}) == len(seen)


def test_reversal_begins_as_shuffle():
    shuffled, paired = (visits(order, fraction=1.0, schedule="fresh") for order in ("shuffle", "reversal"))
    assert paired[::2] == shuffled[::2]


@pytest.mark.parametrize("order", PAIRED)
@pytest.mark.parametrize("refresh_every", [1, 2])
def test_fresh_plays_whole_cycles_backwards(order, refresh_every):
    # 62 examples, 25 an epoch: cycles of three draws, the last one filled up.
    length = 3 * refresh_every
    seen = visits(order, 4 * length, schedule="fresh", refresh_every=refresh_every)
    for first in range(0, 4 * length, 2 * length):
        cycle, mirror = (list(itertools.chain(*seen[at : at + length])) for at in (first, first + length))
        assert mirror == cycle[::-1]
        assert set(cycle) == set(curriculum().manifest.examples().tolist())
        if refresh_every == 1:
            assert seen[first + length] != seen[first + length - 1]


@pytest.mark.parametrize("order", PAIRED)
@pytest.mark.parametrize("refresh_every", [2, 3])
def test_epochs_that_share_a_set_are_paired_and_others_are_not(order, refresh_every):
    seen = visits(order, schedule="redraw", refresh_every=refresh_every)
    drawn = curriculum(schedule="redraw", refresh_every=refresh_every)
    for epoch in range(0, 12, 2):
        assert sorted(seen[epoch + 1]) == sorted(seen[epoch]) or refresh_every == 3
        same = epoch // refresh_every == (epoch + 1) // refresh_every
        assert (seen[epoch + 1] == seen[epoch][::-1]) == same
    for epoch in range(6):
        assert sorted(seen[epoch]) == drawn.indices(epoch).tolist()


@pytest.mark.parametrize("order", PAIRED)
def test_every_number_of_ranks_plays_the_same_and_a_run_resumes_on_another(order):
    alone = team(1, order, schedule="fresh", epochs=12)[0]
    for epoch in (1, 3, 4, 5):
        whole = rows([alone], epoch)[0]
        for world in (2, 3):
            assert dealt(rows(team(world, order, schedule="fresh", epochs=12), epoch))[: len(whole)] == whole
        pair = team(2, order, schedule="fresh", epochs=12)
        for one in pair:
            one.set_epoch(epoch)
        iterators = [iter(one) for one in pair]
        begun = [next(iterator) for _ in range(4) for iterator in iterators]
        again = sampler(alone.curriculum, order)
        again.load_state_dict(pair[0].state_dict())
        assert begun + list(again) == whole


@pytest.mark.parametrize("order", PAIRED)
def test_a_budget_in_units_is_kept_though_mirrored_epochs_have_other_numbers(order):
    units, drawn = weighted(), quiet(weighted(), 0.25, 16, "fresh", budgets="proportional")
    one = ManifestSampler(drawn, order)
    seen = []
    for epoch in range(16):
        one.set_epoch(epoch)
        seen.append(list(one))
        assert len(one) == len(seen[-1])
    weight = dict(zip(units.examples().tolist(), units.weights().tolist(), strict=True))
    for epoch in seen:
        assert abs(sum(weight[row] for row in epoch) - drawn.budget) <= max(weight.values()) * 8
    assert len({len(epoch) for epoch in seen}) > 1
    cycle = -(-sum(weight.values()) // drawn.budget)
    assert list(itertools.chain(*seen[cycle : 2 * cycle])) == list(itertools.chain(*seen[:cycle]))[::-1]


def test_every_block_has_its_share_of_each_partition():
    drawn = curriculum(1.0, schedule="fresh")
    partition = dict(zip(manifest().examples().tolist(), manifest().partitions().tolist(), strict=True))
    strayed = {}
    for order in ("shuffle", "blocks"):
        found = [partition[row] for epoch in (0, 2, 4) for row in rows([sampler(drawn, order)], epoch)[0]]
        shares = np.eye(max(found) + 1)[found].reshape(3, 62, -1)
        strayed[order] = np.abs(np.cumsum(shares - shares.mean(1, keepdims=True), 1)).max((1, 2)).mean()
    assert strayed["blocks"] < 0.7 * strayed["shuffle"]


@pytest.mark.parametrize("order", PAIRED)
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"schedule": "redraw"}, "schedule 'redraw' draws another set for every epoch"),
        ({"schedule": "fresh", "budgets": "equal"}, "schedule 'fresh' draws another set for every epoch"),
        ({"schedule": "fresh", "epochs": 3}, "its 3 epochs are within one cycle of 'fresh', 3 epochs"),
    ],
)
def test_it_warns_where_nothing_can_be_played_backwards(order, options, said):
    drawn = curriculum(**options)
    with pytest.warns(UserWarning, match=f"order '{order}': {said}, so none is played backwards") as caught:
        ManifestSampler(drawn, order)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("order", PAIRED)
@pytest.mark.parametrize(
    "options",
    [
        {"schedule": "fresh"},
        {"schedule": "redraw", "fraction": 1.0},
        {"schedule": "redraw", "refresh_every": 2},
    ],
)
def test_it_is_silent_where_sets_come_again(order, options):
    drawn = curriculum(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ManifestSampler(drawn, order)
