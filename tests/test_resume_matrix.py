"""Resuming under a real StatefulDataLoader: every position, ranks and workers before and after."""

from __future__ import annotations

import itertools
from functools import cache
from tempfile import TemporaryDirectory

import pytest
from small_manifest import write_small_manifest
from torchdata.stateful_dataloader import StatefulDataLoader

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, ManifestSampler

ROOT = TemporaryDirectory(prefix="syllabus-resume-")
EPOCH, BATCH = 1, 2
WORLDS, WORKERS = (1, 2, 4), (0, 1, 2)


@cache
def manifest() -> Manifest:
    return write_small_manifest(ROOT.name, n=43, fractions=(0.4,))  # 17 examples: neither 2 nor 4 divides it


def team(world: int) -> list[ManifestSampler]:
    curriculum = Curriculum(manifest(), 0.4, 3, seed=0)
    return [ManifestSampler(curriculum, num_replicas=world, rank=rank) for rank in range(world)]


def loader(sampler: ManifestSampler, workers: int) -> StatefulDataLoader:
    return StatefulDataLoader(range(64), BATCH, sampler=sampler, num_workers=workers)


def whole() -> list[int]:
    (sampler,) = team(1)
    sampler.set_epoch(EPOCH)
    return list(sampler)


def dealt(ranks: list[list[int]]) -> list[int]:
    """What the ranks have, in the global order."""
    return [row for step in zip(*ranks, strict=True) for row in step]


@cache
def states(world: int, workers: int) -> list[tuple[list[int], list[dict]]]:
    """After each step of a run: what was used until then, in the global order, and each rank's state."""
    samplers = team(world)
    for sampler in samplers:
        sampler.set_epoch(EPOCH)
    loaders = [loader(sampler, workers) for sampler in samplers]
    used: list[list[int]] = [[] for _ in samplers]
    kept = [([], [one.state_dict() for one in loaders])]
    for step in zip(*loaders, strict=True):
        for mine, batch in zip(used, step, strict=True):
            mine += batch.tolist()
        kept.append((dealt(used), [one.state_dict() for one in loaders]))
    return kept


def replayed(state: dict, world: int, workers: int, into_loader: bool) -> list[int]:
    """What the ranks of a new run still have, in the global order."""
    samplers = team(world)
    for sampler in samplers:
        sampler.load_state_dict(state)
        sampler.set_epoch(sampler.epoch)
    loaders = [loader(sampler, workers) for sampler in samplers]
    if into_loader:
        for one in loaders:
            one.load_state_dict(state)
    return dealt([[row for batch in one for row in batch.tolist()] for one in loaders])


def check(used: list[int], tail: list[int], world: int) -> None:
    """Nothing of the epoch lost, nothing twice but the padding of the last step, and the order kept."""
    order = whole()
    if len(used) >= len(order):
        return  # the epoch was over
    assert used == order[: len(used)]
    left = order[len(used) :]
    assert tail[: len(left)] == left
    assert len(tail) == -(-len(left) // world) * world
    assert tail[len(left) :] == order[: len(tail) - len(left)]


@pytest.mark.parametrize(("before", "after"), [*itertools.product(WORLDS, WORLDS)])
def test_every_position_on_any_number_of_ranks(before, after):
    for used, ranks in states(before, 0):
        assert all(state == ranks[0] for state in ranks), "the state depends on the rank"
        for into_loader in (False, True):
            check(used, replayed(ranks[0], after, 0, into_loader), after)


@pytest.mark.parametrize("workers", WORKERS[1:])
@pytest.mark.parametrize("world", WORLDS)
def test_every_position_with_workers_that_fetch_ahead(world, workers):
    for used, ranks in states(world, workers):
        check(used, replayed(ranks[-1], world, workers, into_loader=True), world)


@pytest.mark.parametrize(("before", "after"), [*itertools.permutations(WORKERS, 2)])
def test_every_position_on_another_number_of_workers_and_ranks(before, after):
    for used, ranks in states(2, before):
        check(used, replayed(ranks[1], 1, after, into_loader=False), 1)


def test_the_end_of_an_epoch_is_the_next_ones_beginning():
    for workers in WORKERS:
        used, ranks = states(1, workers)[-1]
        assert sorted(used) == sorted(whole())
        (sampler,) = team(1)
        sampler.set_epoch(EPOCH + 1)
        following = list(sampler)
        assert set(following) != set(used)
        assert replayed(ranks[0], 1, workers, into_loader=True) == following
