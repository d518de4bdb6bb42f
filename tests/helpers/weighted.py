"""Manifests whose budgets count tokens, and curricula over them, for the tests of the trainer."""

from __future__ import annotations

import tempfile
import warnings
from functools import cache

import numpy as np
from small_manifest import write_small_manifest

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum

ROOT = tempfile.TemporaryDirectory(prefix="syllabus-weighted-")
FRACTIONS = (0.1, 0.25, 0.4, 0.7)


@cache
def weighted(
    n: int = 101, classes: int = 5, neighbours: bool = False, subsets: bool = True, scale: int = 1
) -> Manifest:
    """A manifest of texts of 1 to about 100 tokens, times `scale`."""
    lengths = scale * np.random.default_rng(n).geometric(0.08, n)
    return _written(n, classes, lengths, neighbours=neighbours, fractions=FRACTIONS if subsets else ())


@cache
def even(length: int | None) -> Manifest:
    """A manifest of 101 texts of one length each, without subsets; None for one that counts examples."""
    return _written(101, 5, None if length is None else [length] * 101, fractions=())


def _written(n: int, classes: int, weights, **options) -> Manifest:
    importances = ("disparity_min", "facility_location", "radius")
    folder = tempfile.mkdtemp(dir=ROOT.name)
    return write_small_manifest(
        folder, n=n, classes=classes, weights=weights, subsets=5, importances=importances, **options
    )


def quiet(manifest: Manifest, fraction: float, epochs: int, schedule, **options) -> Curriculum:
    """A curriculum; that stored subsets come again is what some cases are about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return Curriculum(manifest, fraction, epochs, schedule, **{"seed": 0, **options})


def weights_of(curriculum: Curriculum, indices: np.ndarray) -> np.ndarray:
    """The tokens of each of these examples, as the manifest says."""
    manifest = curriculum.manifest
    return manifest.weights()[np.searchsorted(manifest.examples(), indices)]


def by_partition(curriculum: Curriculum, indices: np.ndarray) -> np.ndarray:
    manifest = curriculum.manifest
    parts = manifest.partitions()[np.searchsorted(manifest.examples(), indices)]
    tokens = weights_of(curriculum, indices)
    return np.bincount(parts, tokens, minlength=len(manifest.partition_units)).astype(np.int64)


def heaviest(curriculum: Curriculum) -> np.ndarray:
    """The longest example of each partition."""
    manifest = curriculum.manifest
    longest = np.zeros(len(manifest.partition_units), np.int64)
    np.maximum.at(longest, manifest.partitions(), manifest.weights())
    return longest
