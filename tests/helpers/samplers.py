"""Samplers over one small manifest, one or a team of ranks, for the tests of the trainer."""

from __future__ import annotations

import tempfile
import warnings
from functools import cache

import numpy as np
from hypothesis import settings
from small_manifest import write_small_manifest

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, ManifestSampler

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


def changed(seed: int = 0) -> list[str]:
    """The ids of a data set with the manifest's rows shuffled among rows that it does not know."""
    ids = [*manifest().table("examples", ["id"])["id"].to_pylist(), "stranger-1", "stranger-2"]
    return np.random.default_rng(seed).permutation(ids).tolist()
