"""Grain, with the real library: it reads exactly the epochs, on any number of processes, and resumes."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from host_data import BATCH, EPOCHS, FRACTION, Probe, batches, changed, manifest_in, orders

from syllabus.trainer import Curriculum, ManifestSampler

pytest.importorskip("grain", reason="grain is missing: pip install 'syllabus[dev]'")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return manifest_in(tmp_path_factory.mktemp("manifest"))


@pytest.fixture(scope="module")
def dataset(manifest):
    return changed(manifest)


@pytest.mark.parametrize("stops", [[None], [1], [2, 3, 5]], ids=str)
def test_grain_stopped_and_resumed(manifest, dataset, stops, tmp_path: Path) -> None:
    import with_grain

    model = Probe()
    expected = [batch for order in orders(manifest) for batch in batches(order)]
    for stop, _ in zip(itertools.cycle(stops), range(len(expected) + 1), strict=False):
        before = len(model.seen)
        with_grain.train(manifest, dataset, model, tmp_path / "c.json", EPOCHS, stop)
        if stop is None or len(model.seen) - before < stop:
            break
    assert model.seen == expected


@pytest.mark.parametrize("world", [1, 2, 3])
def test_slices_of_processes_share_an_epoch(manifest, dataset, world: int) -> None:
    import with_grain

    order = orders(manifest)[1]
    curriculum = Curriculum(manifest, FRACTION, EPOCHS, seed=0)
    sampler = ManifestSampler(curriculum, ids=dataset["id"], num_replicas=1, rank=0)
    epoch = with_grain.Epoch(dataset.with_format("numpy"), sampler, 1)
    for rank in range(world):
        found = [batch["tokens"][:, 0].tolist() for batch in with_grain.batches(epoch, rank, world)]
        assert found == batches(order[rank::world], BATCH)
