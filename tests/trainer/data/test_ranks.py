"""Ranks found too early or dealt out twice are errors; a loader's state gives up the sampler's."""

from __future__ import annotations

import sys
import types

import pytest
import torch.distributed
from small_manifest import write_small_manifest
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from syllabus.trainer import Curriculum, ManifestSampler, TrainerError


@pytest.fixture
def curriculum(tmp_path) -> Curriculum:
    return Curriculum(write_small_manifest(tmp_path, n=61), 0.4, 3, seed=0)


@pytest.fixture(autouse=True)
def _without_accelerate(monkeypatch):
    """Another test of this process may have started it."""
    monkeypatch.delitem(sys.modules, "accelerate.state", raising=False)


@pytest.fixture
def start_ranks(monkeypatch):
    """Let torch.distributed seem to have started W ranks, of which this is the last."""

    def start(world: int) -> None:
        monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: world)
        monkeypatch.setattr(torch.distributed, "get_rank", lambda: world - 1)

    return start


@pytest.fixture
def accelerate_runs(monkeypatch):
    state = types.ModuleType("accelerate.state")
    state.PartialState = type("PartialState", (), {"_shared_state": {"num_processes": 2}})
    monkeypatch.setitem(sys.modules, "accelerate.state", state)


def test_ranks_are_found_where_torch_has_started_them(curriculum, start_ranks):
    start_ranks(3)
    sampler = ManifestSampler(curriculum)
    assert (sampler.num_replicas, sampler.rank) == (3, 2)
    alone = list(ManifestSampler(curriculum, num_replicas=1, rank=0))
    assert list(sampler) == alone[2::3]


def test_ranks_that_start_after_the_sampler_was_made_are_an_error(curriculum, start_ranks):
    early, told = ManifestSampler(curriculum), ManifestSampler(curriculum, num_replicas=1, rank=0)
    assert len(list(early)) == len(curriculum)
    start_ranks(2)
    with pytest.raises(TrainerError, match=r"made for 1 rank\(s\), and torch.distributed has 2 now"):
        list(DataLoader(range(63), sampler=early))
    assert len(list(told)) == len(curriculum)


@pytest.mark.usefixtures("accelerate_runs")
def test_ranks_must_be_given_where_accelerate_deals_them_out(curriculum, start_ranks):
    assert ManifestSampler(curriculum).num_replicas == 1  # one process: nothing is dealt out
    start_ranks(2)
    with pytest.raises(TrainerError, match="to its 2 processes itself; give num_replicas=1, rank=0"):
        ManifestSampler(curriculum)
    assert len(ManifestSampler(curriculum, num_replicas=1, rank=0)) == len(curriculum)
    assert len(ManifestSampler(curriculum, num_replicas=2)) == -(-len(curriculum) // 2)


# The sampler's state inside a loader's


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loaders_state_moves_the_sampler_without_what_was_fetched_ahead(curriculum, num_workers):
    sampler = ManifestSampler(curriculum)
    sampler.set_epoch(1)
    whole = list(sampler)
    loader = StatefulDataLoader(range(63), 2, sampler=sampler, num_workers=num_workers)
    batches = iter(loader)
    next(batches), next(batches)
    state = loader.state_dict()
    assert sampler.state_dict()["global_examples"] >= 4 + 2 * num_workers  # workers fetch ahead
    moved = ManifestSampler(curriculum)
    moved.load_state_dict(state)
    assert (moved.epoch, moved.state_dict()["global_examples"]) == (1, 4)
    assert list(moved) == whole[4:]


def test_a_state_without_a_sampler_or_with_two_is_refused(curriculum):
    sampler = ManifestSampler(curriculum)
    state = sampler.state_dict()
    with pytest.raises(TrainerError, match="there is no state of a ManifestSampler inside"):
        sampler.load_state_dict(StatefulDataLoader(range(9)).state_dict())
    sampler.load_state_dict({"loaders": [state, {"again": dict(state)}]})
    with pytest.raises(TrainerError, match="there are states of several ManifestSamplers inside"):
        sampler.load_state_dict({"loaders": [state, {**state, "global_examples": 3}]})


def test_a_loaders_state_that_lies_behind_is_refused(curriculum):
    sampler = ManifestSampler(curriculum)
    loader = StatefulDataLoader(range(63), 5, sampler=sampler, num_workers=1, snapshot_every_n_steps=3)
    batches = iter(loader)
    for _ in range(4):
        next(batches)
    with pytest.raises(TrainerError, match="1 batches behind what it gave out; make the loader with"):
        ManifestSampler(curriculum).load_state_dict(loader.state_dict())


def test_a_position_waits_until_a_row_is_drawn(curriculum):
    # torchdata's loader with workers makes an iterator, throws it away, and uses another.
    sampler = ManifestSampler(curriculum)
    whole = list(sampler)
    sampler.load_state_dict({**sampler.state_dict(), "epoch": 0, "global_examples": 7})
    iter(sampler)
    assert sampler.state_dict()["global_examples"] == 7
    second = iter(sampler)
    sampler.set_epoch(0)  # as Lightning does, with the iterator in its hands
    assert list(second) == whole[7:]
    assert list(sampler) == whole  # only once
    second = iter(sampler)
    sampler.load_state_dict({**sampler.state_dict(), "epoch": 0, "global_examples": 9})
    assert list(second) == whole[9:]  # one that has given nothing goes along
    assert list(sampler) == whole
