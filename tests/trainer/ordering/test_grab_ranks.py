"""CD-GraB on real processes over gloo: the order is that of the pure order server, and no mistake hangs."""

from __future__ import annotations

import numpy as np
import pytest
from forked_ranks import Ranks
from grab_ranks import block
from small_manifest import write_small_manifest

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, ManifestSampler
from syllabus.trainer.ordering.order_server import OrderServer


@pytest.fixture(scope="module")
def ranks():
    with Ranks() as started:
        yield started


@pytest.fixture(scope="module")
def manifests(tmp_path_factory):
    def made(n: int, **options) -> str:
        folder = tmp_path_factory.mktemp("manifest")
        write_small_manifest(folder, n=n, gap=0, **options)
        return str(folder)

    return made


def first_order(manifest: str, seed: int = 0) -> np.ndarray:
    curriculum = Curriculum(Manifest.open(manifest), 1.0, 12, "fresh", seed=seed)
    return np.array(list(ManifestSampler(curriculum, num_replicas=1, rank=0)))


def simulated(order, world, batch, epochs, size, drop_last=False, balance="pair", form="dense"):
    """Each epoch's rows, rank by rank, from the order server alone."""
    n, found = len(order), []
    slices = n // size
    server = OrderServer(balance, n)
    for epoch in range(epochs):
        begin = epoch % slices * size
        if epoch and begin == 0:
            order = order[server.turn()]
        local = -(-size // world)
        positions = np.arange(local)[:, None] * world + np.arange(world)
        used = local // batch * batch if drop_last else local
        found.append([order[begin + positions[:used, rank] % size].tolist() for rank in range(world)])
        for first in range(0, used, batch):
            mine = [positions[first : min(first + batch, used), rank] for rank in range(world)]
            groups = np.concatenate([np.where(some < size, begin + some, -1) for some in mine])
            rows = order[begin + np.concatenate(mine) % size]
            server.step(block(rows, n, form), groups, [len(some) for some in mine])
    return found, server.digest()


@pytest.mark.parametrize(
    ("world", "n", "batch", "options"),
    [
        (2, 46, 4, {}),
        (2, 47, 3, {}),  # odd batches, padding, a short last one
        (4, 53, 5, {"drop_last": True}),
        (4, 30, 4, {"balance": "mean"}),
        (2, 30, 4, {"form": "factors"}),
        (2, 41, 4, {"fraction": 0.4}),  # two slices a cycle, and some examples that wait
        (4, 6, 4, {}),  # an epoch that is smaller than a step
    ],
    ids=str,
)
def test_the_order_of_the_ranks_is_that_of_the_order_server(ranks, manifests, world, n, batch, options):
    manifest = manifests(n, fractions=(0.5,))
    found = ranks.values("grab_ranks.visits", world, manifest=manifest, n=n, epochs=5, batch=batch, **options)
    size = 16 if options.pop("fraction", 1) < 1 else n
    expected, digest = simulated(first_order(manifest), world, batch, 5, size, **options)
    for epoch in range(5):
        assert [one["seen"][epoch] for one in found] == expected[epoch]
    assert {one["digest"] for one in found} == {digest}
