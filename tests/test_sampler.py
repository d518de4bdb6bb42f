"""The sampler: ranks, padding, resuming at every position, and the rows of a data set that has changed."""

from __future__ import annotations

import copy
import itertools
import tempfile
import warnings
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_manifest import write_small_manifest
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from syllabus.manifests import Manifest, ManifestError
from syllabus.trainer import ORDERS, Curriculum, ManifestSampler, TrainerError

ROOT = tempfile.TemporaryDirectory(prefix="syllabus-sampler-")
relations = settings(deadline=None, max_examples=60, derandomize=True)


@cache
def manifest(n: int = 62) -> Manifest:
    return write_small_manifest(tempfile.mkdtemp(dir=ROOT.name), n=n, fractions=(0.1, 0.4))


def curriculum(fraction: float = 0.4, epochs: int = 6, schedule: str = "milo", **options) -> Curriculum:
    return Curriculum(manifest(), fraction, epochs, schedule, seed=0, **options)


def sampler(*arguments, **options) -> ManifestSampler:
    """A sampler; the warning about herding has a test of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return ManifestSampler(*arguments, **options)


def team(world: int, order: str = "shuffle", drop_last: bool = False, **options) -> list[ManifestSampler]:
    """The samplers of all ranks."""
    drawn = curriculum(**options)
    return [
        sampler(drawn, order, num_replicas=world, rank=rank, drop_last=drop_last) for rank in range(world)
    ]


def rows(samplers: list[ManifestSampler], epoch: int) -> list[list[int]]:
    for one in samplers:
        one.set_epoch(epoch)
    return [list(one) for one in samplers]


def dealt(ranks: list[list[int]]) -> list[int]:
    """What the ranks have, in the global order."""
    return [row for step in zip(*ranks, strict=True) for row in step]


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


# Resuming


def shared_tail(world: int, order: str, epoch: int, position: int, drop_last: bool) -> list[int]:
    """What is left of the epoch after `position`, from the definition."""
    whole = rows(team(1, order), epoch)[0]
    left = len(whole) - position
    length = left // world if drop_last else -(-left // world)
    return [whole[(position + place) % len(whole)] for place in range(length * world)]


@pytest.mark.parametrize("before", [1, 2, 4])
@pytest.mark.parametrize("after", [1, 2, 4])
@pytest.mark.parametrize("drop_last", [False, True])
def test_resuming_at_every_position_on_any_number_of_ranks_replays_the_tail(before, after, drop_last):
    epoch = 3
    old = team(before, drop_last=drop_last)
    new = team(after, drop_last=drop_last)
    length = len(old[0])
    for given_out in range(length):
        states = []
        for one in old:
            one.set_epoch(epoch)
            iterator = iter(one)
            for _ in range(given_out):
                next(iterator)
            states.append(one.state_dict())
            assert iterator.state_dict() == states[-1]
        assert all(state == states[0] for state in states), "the state depends on the rank"
        for one in new:
            one.load_state_dict(states[0])
            assert one.epoch == epoch
            one.set_epoch(epoch)
        expected = shared_tail(after, "shuffle", epoch, given_out * before, drop_last)
        assert dealt([list(one) for one in new]) == expected
        # It resumes once: the same epoch again is whole, and so is the next.
        assert dealt(rows(new, epoch)) == shared_tail(after, "shuffle", epoch, 0, drop_last)
        assert len(new[0]) == len(rows(new, epoch + 1)[0])


@pytest.mark.parametrize("world", [1, 4])
@pytest.mark.parametrize("drop_last", [False, True])
def test_the_state_at_the_end_of_an_epoch_is_the_next_ones_beginning(world, drop_last):
    samplers = team(world, drop_last=drop_last)
    rows(samplers, 2)
    state = samplers[0].state_dict()
    assert (state["epoch"], state["global_examples"]) == (3, 0)
    again = team(world, drop_last=drop_last)
    for one in again:
        one.load_state_dict(state)
    assert [list(one) for one in again] == rows(team(world, drop_last=drop_last), 3)


@relations
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([1, 2, 4])), max_size=6), st.data())
def test_a_chain_of_interruptions_gives_every_example_once(stops, data):
    epoch, state, seen = 4, None, []
    for steps, world in [*stops, (10**6, 1)]:
        samplers = team(world)
        for one in samplers:
            one.set_epoch(epoch)
            if state is not None:
                one.load_state_dict(state)
        iterators = [iter(one) for one in samplers]
        for _ in range(steps):
            step = [next(iterator, None) for iterator in iterators]
            if None in step:
                break
            seen += step
        state = samplers[data.draw(st.integers(0, world - 1))].state_dict()
        if state["epoch"] != epoch:
            break
    whole = rows(team(1), epoch)[0]
    assert seen[: len(whole)] == whole
    assert len(seen) - len(whole) < 4  # the padding of the last team


def test_a_state_is_small_fresh_and_survives_torch_save(tmp_path):
    one = sampler(curriculum())
    iterator = iter(one)
    first = one.state_dict()
    kept = copy.deepcopy(first)
    next(iterator)
    assert first == kept
    assert one.state_dict()["global_examples"] == 1
    first.clear()
    assert one.state_dict()["global_examples"] == 1
    assert all(isinstance(value, (str, int, bool)) for value in kept.values())
    torch.save(kept, tmp_path / "state")
    assert torch.load(tmp_path / "state", weights_only=True) == kept


def test_loading_a_state_twice_or_into_sampler_and_iterator_is_loading_it_once():
    # As torchdata's StatefulDataLoader restores: sampler.load_state_dict, iter, iterator.load_state_dict.
    one = sampler(curriculum())
    one.set_epoch(1)
    iterator = iter(one)
    head = [next(iterator) for _ in range(7)]
    state, tail = iterator.state_dict(), list(iterator)
    other = sampler(curriculum())
    other.load_state_dict(state)
    other.load_state_dict(state)
    again = iter(other)
    again.load_state_dict(state)
    assert again.state_dict() == state == other.state_dict()
    assert head + list(again) == head + tail


def test_an_aborted_epoch_begins_anew_and_another_epoch_forgets_the_position():
    one = sampler(curriculum())
    iterator = iter(one)
    whole = [next(iterator) for _ in range(5)]
    assert list(one)[:5] == whole
    one.set_epoch(2)
    next(iter(one))
    one.load_state_dict(one.state_dict())
    with pytest.warns(UserWarning, match=r"set_epoch\(3\) drops the position loaded: epoch 2, 1 examples in"):
        one.set_epoch(3)
    assert one.state_dict()["global_examples"] == 0
    assert len(list(one)) == len(one)


def test_a_loop_that_prefetches_says_what_it_has_used():
    one = sampler(curriculum())
    assert len(list(one)) == 25
    assert one.state_dict()["epoch"] == 1
    assert one.state_dict(8)["global_examples"] == 8
    assert one.state_dict(8)["epoch"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version is 2; this code reads 1"),
        ({"manifest": "beef"}, "manifest is 'beef' in the state and '[0-9a-f]{64}' here"),
        ({"n": 5}, "n is 5 in the state and 62 here"),
        ({"schedule": "fresh"}, "schedule is 'fresh' in the state and 'milo' here"),
        ({"budget": 6}, "budget is 6 in the state and 25 here"),
        (
            {"seed": 9, "order": "herding"},
            "seed is 9 in the state and 0 here; order is 'herding' in the state",
        ),
        ({"drop_last": True}, "drop_last is True in the state and False here"),
        ({"easy_epochs": 4}, "easy_epochs is 4 in the state and 1 here"),
        ({"epoch": 7}, r"epoch=7 is outside \[0, epochs=6\]"),
        ({"global_examples": 25}, r"global_examples=25 is outside \[0, 25\)"),
        ({"global_examples": -1}, r"global_examples=-1 is outside"),
    ],
)
def test_a_state_of_something_else_is_refused(change, message):
    one = sampler(curriculum())
    with pytest.raises(TrainerError, match=message):
        one.load_state_dict({**one.state_dict(), **change})
    assert one.state_dict()["global_examples"] == 0


# A data set that has changed


def changed(seed: int = 0) -> list[str]:
    """The ids of a data set with the manifest's rows shuffled among rows that it does not know."""
    ids = [*manifest().table("examples", ["id"])["id"].to_pylist(), "stranger-1", "stranger-2"]
    return np.random.default_rng(seed).permutation(ids).tolist()


@pytest.mark.parametrize("kind", [list, tuple, np.array, pa.array, iter])
def test_rows_follow_the_ids(kind):
    ids, drawn = changed(), curriculum()
    one = sampler(drawn, ids=kind(ids))
    plain = sampler(drawn)
    known = dict(
        zip(*(drawn.manifest.table("examples")[name].to_pylist() for name in ("id", "index")), strict=True)
    )
    for epoch in range(drawn.epochs):
        assert [known[ids[row]] for row in rows([one], epoch)[0]] == rows([plain], epoch)[0]


def test_integer_ids_stand_for_their_text(tmp_path):
    numbers = np.random.default_rng(0).permutation(61) + 1000
    small = write_small_manifest(tmp_path, n=61, ids=[str(number) for number in numbers])
    one = sampler(Curriculum(small, 1.0, 1, seed=0), "sequential", ids=torch.from_numpy(np.sort(numbers)))
    assert (np.sort(numbers)[list(one)] == numbers).all()


def test_ids_that_do_not_fit_are_one_error_with_counts_and_three_of_each():
    ids = manifest().table("examples", ["id"])["id"].to_pylist()
    with pytest.raises(TrainerError) as caught:
        sampler(curriculum(), ids=ids[5:] + ids[30:32])
    assert str(caught.value) == (
        "ids: of 62 in the manifest, 5 in no row: 'example-00000', 'example-00001', 'example-00002'; "
        "2 in more than one row: 'example-00032', 'example-00033'; the data set has 59 rows"
    )
    with pytest.raises(ManifestError, match="1 of 63 are null"):
        sampler(curriculum(), ids=[*ids, None])
    with pytest.raises(ManifestError, match="expected strings or integers"):
        sampler(curriculum(), ids=np.linspace(0, 1, 61))


def test_the_length_of_the_data_set_is_checked():
    one = sampler(curriculum())
    one.check(range(64))
    with pytest.raises(
        TrainerError, match="has 61 rows, the manifest's source has 64; give the data set's ids"
    ):
        one.check(range(61))
    aligned = sampler(curriculum(), ids=changed())
    aligned.check(range(64))
    with pytest.raises(TrainerError, match="has 62 rows, ids were given 64"):
        aligned.check(range(62))


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
            "'random' is unknown; known: balance, flip_flop, herding, sequential, shuffle, shuffle_once",
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
    with pytest.raises(TrainerError, match="epoch=-1 is below 0"):
        one.set_epoch(-1)
    one.set_epoch(6)
    with pytest.raises(TrainerError, match=r"epoch=6 is outside \[0, epochs=6\)"):
        list(one)


def test_herding_of_a_drawn_epoch_needs_a_stored_order(tmp_path):
    bare = write_small_manifest(tmp_path, n=61, orders=())
    one = sampler(Curriculum(bare, 0.1, 2, seed=0), "herding")
    with pytest.raises(
        TrainerError, match="order 'herding': epoch 0 is drawn and the manifest stores no full order"
    ):
        list(one)
