"""A curriculum opens its manifest itself; what stands between data and loop says what it is in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from samplers import curriculum, manifest

from syllabus.manifests import ManifestError
from syllabus.trainer import Curriculum, GraB, ManifestSampler


@pytest.mark.parametrize("kind", [str, Path])
def test_a_curriculum_takes_the_path_of_a_manifest(kind):
    opened = Curriculum(manifest(), 0.4, 6, "fresh", seed=0)
    by_path = Curriculum(kind(manifest().location), 0.4, 6, "fresh", seed=0)
    assert by_path.manifest.fingerprint == opened.manifest.fingerprint
    np.testing.assert_array_equal(by_path.indices(3), opened.indices(3))


def test_a_path_without_a_manifest_is_the_manifests_error(tmp_path):
    with pytest.raises(ManifestError, match="manifest"):
        Curriculum(tmp_path / "none", 0.4, 6, "fresh", seed=0)


def test_reprs_are_one_line():
    drawn = curriculum(schedule="fresh")
    where = f"{manifest().location!r}, schedule='fresh', fraction=0.4, epochs=6, budget=25 examples, seed=0"
    assert repr(drawn) == f"Curriculum({where})"
    assert repr(GraB("mean", unit=5)) == "GraB(balance='mean', start='shuffle', unit=5)"
    sampler = ManifestSampler(drawn, num_replicas=2, rank=1)
    assert repr(sampler) == f"ManifestSampler({drawn!r}, order='shuffle', rank=1 of 2, epoch=0)"
    grab = GraB()
    assert f"order={grab!r}, rank=0 of 1" in repr(ManifestSampler(drawn, grab))
