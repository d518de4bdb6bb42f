"""Small manifests and curricula over them, for the tests of the trainer."""

from __future__ import annotations

import tempfile
import warnings
from functools import cache

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from small_manifest import write_small_manifest

from syllabus.manifests import Manifest, budget
from syllabus.trainer import Curriculum

EPOCHS = 12
ROOT = tempfile.TemporaryDirectory(prefix="syllabus-curriculum-")
SHAPES = [(1, 1), (7, 3), (40, 0), (60, 4), (101, 5), (240, 12)]
FRACTIONS = [0.05, 0.1, 0.25, 0.3, 1 / 3, 0.5, 0.7, 1.0]
relations = settings(deadline=None, max_examples=40, derandomize=True)


@cache
def manifest(n: int = 101, classes: int = 5, subsets: int = 4, neighbours: bool = False) -> Manifest:
    stored = sorted({budget(f, n): f for f in FRACTIONS if 0 < budget(f, n) < n}.items())
    return write_small_manifest(
        tempfile.mkdtemp(dir=ROOT.name),
        n=n,
        classes=classes,
        fractions=[fraction for _, fraction in stored] or [1.0],
        subsets=subsets,
        importances=("disparity_min", "facility_location", "radius"),
        neighbours=neighbours,
    )


def quiet(*arguments, **options) -> Curriculum:
    """A curriculum; that stored subsets come again is what some cases are about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return Curriculum(*arguments, **options)


def counts_of(curriculum: Curriculum, indices: np.ndarray) -> np.ndarray:
    owner = dict(zip(curriculum.examples.tolist(), curriculum.manifest.partitions().tolist(), strict=True))
    parts = [owner[index] for index in indices.tolist()]
    return np.bincount(parts, minlength=len(curriculum.manifest.partition_sizes))


cases = st.tuples(
    st.sampled_from(SHAPES), st.sampled_from(FRACTIONS), st.integers(0, 3), st.sampled_from([1, 2, 5])
).filter(lambda case: budget(case[1], case[0][0]) > 0)
