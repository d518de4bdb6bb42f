"""The sampler: ranks, padding, orders, and what hosts see of it."""

from __future__ import annotations

import itertools

import pytest
from samplers import changed, curriculum, dealt, rows, sampler, team
from small_manifest import write_small_manifest
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from syllabus.trainer import ORDERS, Curriculum, ManifestSampler, TrainerError

# One epoch over ranks


@pytest.mark.parametrize("order", sorted(ORDERS))
@pytest.mark.parametrize(
    ("world", "drop_last"), [*itertools.product([1, 2, 3, 4], [False, True]), (60, False)]
)
@pytest.mark.parametrize("epoch", [0, 3])
def test_the_ranks_together_have_the_epoch_and_what_is_more_or_less_is_counted(
    order, world, drop_last, epoch
):
    whole = rows(team(1, order), epoch)[0]
    assert sorted(whole) == curriculum().indices(epoch).tolist()
    samplers = team(world, order, drop_last)
    ranks = rows(samplers, epoch)
    everything = dealt(ranks)
    for one, mine in zip(samplers, ranks, strict=True):
        assert len(one) == len(mine)
        assert one.padding == max(len(everything) - len(whole), 0)
        assert one.dropped == max(len(whole) - len(everything), 0)
    if drop_last:
        assert everything == whole[: len(whole) // world * world]
    else:
        assert everything == (whole * 3)[: -(-len(whole) // world) * world]


@pytest.mark.parametrize("world", [1, 2, 4])
def test_at_a_constant_global_batch_every_global_batch_is_the_same_set(world):
    alone = rows(team(1), 2)[0]
    ranks = rows(team(world), 2)
    for first in range(0, len(alone) // 8 * 8, 8):
        here = [row for mine in ranks for row in mine[first // world : (first + 8) // world]]
        assert set(here) == set(alone[first : first + 8])


def test_orders_are_what_their_names_say():
    drawn = curriculum()
    stored = drawn.manifest.subset(0.4, drawn.subset_of(0)).tolist()
    assert rows([sampler(drawn, "herding")], 0)[0] == stored
    everything = drawn.manifest.order("balance").tolist()
    chosen = set(drawn.indices(4).tolist())
    assert rows([sampler(drawn, "herding")], 4)[0] == [index for index in everything if index in chosen]
    assert rows([sampler(drawn, "sequential")], 4)[0] == drawn.indices(4).tolist()
    shuffled = [tuple(rows([sampler(drawn, seed=seed)], epoch)[0]) for seed in (0, 1) for epoch in (3, 4)]
    assert len(set(shuffled)) == 4
    assert tuple(rows([sampler(drawn)], 3)[0]) == shuffled[0]


def test_shuffle_once_and_flip_flop_repeat_themselves():
    drawn = curriculum(1.0, schedule="fresh")
    once = sampler(drawn, "shuffle_once")
    assert rows([once], 0) == rows([once], 1) == rows([once], 5)
    flipped = sampler(drawn, "flip_flop")
    for epoch in (0, 2, 4):
        assert rows([flipped], epoch)[0] == rows([flipped], epoch + 1)[0][::-1]
    assert rows([flipped], 0) != rows([flipped], 2)
    for name in ("shuffle_once", "flip_flop"):
        assert rows([sampler(drawn, name)], 0) != rows([sampler(drawn, name, seed=5)], 0)
    part = sampler(curriculum(0.4), "shuffle_once")
    everything = rows([once], 0)[0]
    for epoch in range(6):
        mine = rows([part], epoch)[0]
        assert mine == [row for row in everything if row in set(mine)]


def test_herding_at_fraction_one_is_the_stored_order_of_the_data():
    drawn = curriculum(1.0, schedule="fresh")
    assert list(sampler(drawn, "herding")) == drawn.manifest.order("balance").tolist()


def test_the_same_set_is_shuffled_differently_in_each_epoch():
    one = sampler(curriculum(1.0, schedule="fresh"))
    assert len({tuple(rows([one], epoch)[0]) for epoch in range(6)}) == 6


def test_herding_warns_once_that_it_is_fixed():
    with pytest.warns(UserWarning, match="'herding' is fixed") as caught:
        one = ManifestSampler(curriculum(), "herding")
    assert len(caught) == 1
    rows([one], 4)  # a warning here would be an error


def test_an_int_sampler_that_hosts_leave_alone():
    one = sampler(curriculum())
    assert isinstance(one, DistributedSampler)
    assert not hasattr(one, "batch_size")
    assert all(type(row) is int for row in one)


# With torch


class Rows(Dataset):
    """A data set that gives its row numbers."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, row: int) -> int:
        return row


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_data_loader_keeps_the_order_whatever_its_workers(num_workers):
    one = sampler(curriculum(), ids=changed())
    expected = rows([one], 2)[0]
    loader = DataLoader(Rows(), batch_size=5, sampler=one, num_workers=num_workers)
    assert [row for batch in loader for row in batch.tolist()] == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"order": "random"},
            "'random' is unknown; known: balance, blocks, flip_flop, herding, reversal, sequential, shuffle,"
            " shuffle_once",
        ),
        ({"num_replicas": 0}, "num_replicas=0 is below 1"),
        ({"num_replicas": 2, "rank": 2}, r"rank=2 is outside \[0, num_replicas=2\)"),
        ({"num_replicas": 30, "drop_last": True}, "drop_last leaves nothing of 25 examples for 30 ranks"),
    ],
)
def test_errors_name_the_option_its_value_and_the_bound(options, message):
    with pytest.raises(TrainerError, match=message):
        sampler(curriculum(), **options)


def test_epochs_out_of_range_are_errors():
    one = sampler(curriculum())
    for epoch in (-1, 6):
        with pytest.raises(TrainerError, match=rf"set_epoch: epoch={epoch} is outside \[0, epochs=6\)"):
            one.set_epoch(epoch)
    assert one.epoch == 0
    one.load_state_dict({**one.state_dict(), "epoch": 6})  # of a run that has ended: there is no such epoch
    with pytest.raises(TrainerError, match=r"epoch=6 is outside \[0, epochs=6\)"):
        list(one)


def test_herding_of_a_drawn_epoch_needs_a_stored_order(tmp_path):
    bare = write_small_manifest(tmp_path, n=61, orders=())
    one = sampler(Curriculum(bare, 0.1, 2, seed=0), "herding")
    with pytest.raises(
        TrainerError, match="order 'herding': epoch 0 is drawn and the manifest stores no full order"
    ):
        list(one)
