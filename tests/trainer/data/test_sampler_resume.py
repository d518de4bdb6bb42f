"""The sampler's state: resuming at every position, on any number of ranks, and what is refused."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samplers import curriculum, dealt, relations, rows, sampler, team

from syllabus.trainer import TrainerError

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


def test_a_state_in_the_middle_of_a_chunk_and_after_the_end(monkeypatch):
    monkeypatch.setattr("syllabus.trainer.data.epoch_iterator.CHUNK", 4)
    whole = rows(team(1), 2)[0]
    for taken in range(len(whole) + 1):
        one = sampler(curriculum())
        one.set_epoch(2)
        iterator = iter(one)
        assert [next(iterator) for _ in range(taken)] == whole[:taken]
        state = iterator.state_dict()
        later = [next(iterator, None) for _ in range(2)]
        if taken + 2 <= len(whole):
            iterator.load_state_dict(state)  # back, in the middle of a chunk
            assert [next(iterator) for _ in range(2)] == later
            assert list(iterator) == whole[taken + 2 :]
            assert iterator.state_dict()["epoch"] == 3
        else:
            assert list(iterator) == []
        with pytest.raises(TrainerError, match="the iterator has ended; load the state into a new one"):
            iterator.load_state_dict(state)
