"""Resuming under real loaders: every position of an epoch, ranks and workers before × those after.

The ranks of a team are objects in this process, the workers are processes. Those of the runs that go on live
on from one position to the next, which is why the whole product takes seconds.
"""

from __future__ import annotations

import itertools
from functools import cache
from tempfile import TemporaryDirectory

import pytest
from small_manifest import write_small_manifest
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, ManifestSampler

ROOT = TemporaryDirectory(prefix="syllabus-resume-")
EPOCH, LENGTH = 1, 17  # neither 2 nor 4 divides the examples
BEFORE, AFTER = 1, 3  # examples a batch: the first stops at every position, the second is another
WORLDS, WORKERS = (1, 2, 4), (0, 1, 2)
TEAMS = [*itertools.product(WORLDS, WORKERS)]


@pytest.fixture(scope="module", autouse=True)
def _let_the_workers_end():
    yield
    later.cache_clear()


@cache
def manifest() -> Manifest:
    return write_small_manifest(ROOT.name, n=43, fractions=(0.4,))


def team(world: int) -> list[ManifestSampler]:
    curriculum = Curriculum(manifest(), 0.4, 3, seed=0)
    return [ManifestSampler(curriculum, num_replicas=world, rank=rank) for rank in range(world)]


def load(sampler: ManifestSampler, kind: type, batch: int, workers: int, persistent: bool = False):
    ahead = {"num_workers": workers, "persistent_workers": persistent and workers > 0}
    return kind(range(64), batch, sampler=sampler, **ahead)


@cache
def whole(epoch: int = EPOCH) -> list[int]:
    (sampler,) = team(1)
    sampler.set_epoch(epoch)
    order = list(sampler)
    assert len(order) == LENGTH
    return order


def dealt(ranks: list[list[int]]) -> list[int]:
    """What the ranks have, in the global order."""
    return [row for step in zip(*ranks, strict=True) for row in step]


@cache
def states(kind: type, world: int, workers: int, batch: int = BEFORE) -> list[tuple[list[int], list[dict]]]:
    """After each step of a run: what was used until then, in the global order, and each rank's state."""
    samplers = team(world)
    for sampler in samplers:
        sampler.set_epoch(EPOCH)
    loaders = [load(sampler, kind, batch, workers) for sampler in samplers]
    used: list[list[int]] = [[] for _ in samplers]

    def now() -> tuple[list[int], list[dict]]:
        # Torch's loader has no state: the loop says what it has used.
        counted = [sampler.state_dict(sum(map(len, used))) for sampler in samplers]
        kept = counted if kind is DataLoader else [one.state_dict() for one in loaders]
        return dealt(used), kept

    kept = [now()]
    for step in zip(*loaders, strict=True):
        for mine, rows in zip(used, step, strict=True):
            mine += rows.tolist()
        kept.append(now())
    return kept


@cache
def later(kind: type, world: int, workers: int) -> list[tuple[ManifestSampler, DataLoader]]:
    """The ranks of a run that goes on, with workers that live on."""
    return [(one, load(one, kind, AFTER, workers, persistent=True)) for one in team(world)]


def replayed(ranks: list[tuple[ManifestSampler, DataLoader]], state: dict) -> list[int]:
    """What the ranks of a new run still have, in the global order."""
    for sampler, _ in ranks:
        sampler.load_state_dict(state)
        sampler.set_epoch(sampler.epoch)
    return dealt([[row for rows in loader for row in rows.tolist()] for _, loader in ranks])


def check(used: list[int], tail: list[int], world: int) -> None:
    """Nothing of the epoch lost, nothing twice but the padding of the last step, and the order kept."""
    order = whole()
    if len(used) >= len(order):  # the epoch was over, the next one is whole
        assert used[: len(order)] == order
        used, order = [], whole(EPOCH + 1)
    assert used == order[: len(used)]
    left = order[len(used) :]
    assert tail[: len(left)] == left
    assert len(tail) == -(-len(left) // world) * world
    assert tail[len(left) :] == order[: len(tail) - len(left)]


@pytest.mark.parametrize("kind", [DataLoader, StatefulDataLoader])
@pytest.mark.parametrize("before", TEAMS, ids=str)
def test_every_position_on_any_number_of_ranks_and_workers(kind, before):
    positions = states(kind, *before)
    assert len(positions) == 1 + -(-LENGTH // before[0])
    for after, (used, ranks) in itertools.product(TEAMS, positions):
        # Any rank's state does: here one rank's after the other.
        tail = replayed(later(kind, *after), ranks[len(used) // before[0] % before[0]])
        check(used, tail, after[0])


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize(("before", "after"), [*itertools.product(WORLDS, WORLDS)])
def test_every_position_of_a_state_that_the_loader_itself_takes(workers, before, after):
    for used, ranks in states(StatefulDataLoader, before, workers, AFTER):
        new = [(one, load(one, StatefulDataLoader, AFTER, workers)) for one in team(after)]
        for place, (_, loader) in enumerate(new):
            loader.load_state_dict(ranks[place % before])
        check(used, replayed(new, ranks[0]), after)


def test_the_state_is_the_same_on_every_rank():
    for kind, world in itertools.product((DataLoader, StatefulDataLoader), WORLDS):
        for _, ranks in states(kind, world, 0):
            assert all(state == ranks[0] for state in ranks)
