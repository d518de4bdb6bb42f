"""CD-GraB on real processes over gloo: the order is that of the pure order server, and no mistake hangs."""

from __future__ import annotations

import re

import numpy as np
import pytest
from curricula import quiet
from grab_ranks import block, known_features
from small_manifest import write_small_manifest

from syllabus.manifests import Manifest
from syllabus.selectors.balancing.vectors import DenseVectors
from syllabus.trainer import Curriculum, ManifestSampler
from syllabus.trainer.ordering.order_server import OrderServer


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


# What differs, is missed or does not come


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("seed", "the ranks differ: seed is 0 on rank 0 and 1 on rank 1"),
        ("fraction", "the ranks differ: budget is 40 on rank 0 and 20 on rank 1"),
        ("balance", "the ranks differ: name is grab-pair on rank 0 and grab-mean on rank 1"),
        ("unit", "the ranks differ: unit is 1 on rank 0 and 2 on rank 1"),
        ("manifest", "the ranks differ: manifest is"),
        ("width", "features of rank 0 are vectors of 6 numbers, of rank 1 vectors of 3 numbers"),
        ("missed", "rank 0 is at step 4 of epoch 1 and rank 1 at the beginning of epoch 2"),
        ("left", "rank 0 is at step 2 of epoch 1 and rank 1 at the beginning of epoch 2"),
        ("state", "the end of epoch 1: the ranks differ: state is"),
        ("signs", "epoch 1: the order of rank 1 is not that of rank 0"),
    ],
)
def test_ranks_that_differ_are_one_error_on_each_and_early(ranks, manifests, mistake, message):
    manifest = manifests(40)
    other = manifests(40, seed=1) if mistake == "manifest" else ""
    errors = ranks.errors(
        "grab_ranks.mistaken", 2, manifest=manifest, other=other, n=40, mistake=mistake, timeout=20
    )
    for error in errors:
        assert error.startswith("TrainerError: GraB: ")
        assert message in error
        assert "\n" not in error


def test_a_rank_that_does_not_come_is_named_with_the_step_within_the_timeout(ranks, manifests):
    manifest = manifests(40)
    late = ranks.run("grab_ranks.mistaken", 4, manifest=manifest, n=40, mistake="late", batch=2, timeout=6)
    for found in late[:3]:
        assert "step 2 of epoch 1: rank" in found["error"]
        assert "got no answer from rank 3 (" in found["error"]
        assert found["seconds"] < 30
    assert "TrainerError" in late[3]["error"] or "RuntimeError" in late[3]["error"]
    killed = ranks.run(
        "grab_ranks.mistaken", 4, manifest=manifest, n=40, mistake="killed", batch=2, timeout=50
    )
    assert killed[3]["exit"] == -9
    for found in killed[:3]:
        # Its last message may have been on its way.
        assert re.search("step [12] of epoch 1: rank . got no answer from (rank|another)", found["error"])
        assert found["seconds"] < 30  # long before the timeout
    for neighbour in (0, 2):  # what they know is gone with rank 0, which kept the store of this job
        assert re.search(r"from rank (1 or )?3 \(", killed[neighbour]["error"])


def test_one_rank_may_look_into_its_loader_and_save_a_state_alone(ranks, manifests):
    found = ranks.values("grab_ranks.alone", 2, manifest=manifests(40), n=40, timeout=15)
    assert found == [[24, 24], []]


def test_one_rank_may_save_after_a_batch_larger_than_any_before(ranks, manifests):
    found = ranks.values("grab_ranks.growing", 2, manifest=manifests(40), n=40, timeout=15)
    assert found == [{"saved": 8, "seen": 24}, {"saved": -1, "seen": 24}]


def test_batches_without_gradients_are_passed_over_and_no_rank_hangs(ranks, manifests):
    found = ranks.values("grab_ranks.skips", 2, manifest=manifests(38), n=38, timeout=15)
    assert found[0]["seen"] == found[1]["seen"]
    first, second = found[0]["rows"], found[1]["rows"]
    # Of the second batch rank 1 had none, of the third neither, of the last rank 1.
    stepped = [*first[0], *second[0], *first[1], *first[3], *second[3], *first[4]]
    assert sorted(found[0]["seen"]) == sorted(stepped)


def test_features_that_are_not_finite_on_one_rank_pass_over_the_step_on_all(ranks, manifests):
    found = ranks.values(
        "grab_ranks.visits", 2, manifest=manifests(40), n=40, epochs=3, batch=4, broken=1, timeout=15
    )
    assert found[0]["digest"] == found[1]["digest"]
    first, second = (one["seen"] for one in found)
    merged = [np.stack([one[epoch] for one in (first, second)], 1).ravel() for epoch in range(3)]
    assert all(sorted(order) == list(range(40)) for order in merged)
    # The step's examples keep their rank: between those that went to the front and to the back.
    assert merged[1][16:24].tolist() == merged[0][8:16].tolist()


# Units, weights, and who deals


@pytest.mark.parametrize(("n", "batch"), [(48, 4), (50, 8), (46, 4)])
def test_microbatches_are_units_dealt_to_the_ranks_as_a_whole(ranks, manifests, n, batch):
    manifest = manifests(n)
    found = ranks.values("grab_ranks.visits", 2, manifest=manifest, n=n, epochs=4, batch=batch, unit=4)
    order, server = first_order(manifest), OrderServer("pair", n // 4)
    for epoch in range(4):
        whole = order[: n // 8 * 8].reshape(-1, 2, 4)  # rank j has the j-th of each two units
        for rank in range(2):
            seen = found[rank]["seen"][epoch]
            assert seen[: n // 8 * 4] == whole[:, rank].ravel().tolist()
        assert set(found[0]["seen"][epoch] + found[1]["seen"][epoch]) == set(range(n))
        means = known_features(n)[whole].mean(2) * 4
        for first in range(0, len(whole), batch // 4):
            units = np.arange(len(whole) * 2).reshape(-1, 2)[first : first + batch // 4]
            rows = means[first : first + batch // 4].transpose(0, 1).flatten(0, 1)
            server.step(DenseVectors(rows), units.T.ravel(), [len(units)] * 2)
        turned = order[: n // 4 * 4].reshape(-1, 4)[server.turn()].ravel()
        order = np.concatenate([turned, order[n // 4 * 4 :]])


def test_epochs_of_weighted_budgets_have_the_same_examples_as_on_one_rank(ranks, manifests):
    weights = (1 + np.arange(40) % 5).tolist()
    manifest = manifests(40, weights=weights, fractions=(0.5,))
    options = {"fraction": 0.5, "schedule": "redraw", "refresh_every": 2}
    found = ranks.values("grab_ranks.visits", 2, manifest=manifest, n=40, epochs=4, batch=3, **options)
    curriculum = quiet(Manifest.open(manifest), 0.5, 12, "redraw", seed=0, refresh_every=2)
    for epoch in range(4):
        seen = found[0]["seen"][epoch] + found[1]["seen"][epoch]
        assert sorted(set(seen)) == curriculum.indices(epoch).tolist()
    refused = ranks.errors("grab_ranks.visits", 2, manifest=manifest, n=40, epochs=1, batch=3, fraction=0.5)
    assert all("slices of its order would not keep the budget" in error for error in refused)


def test_ranks_that_the_gradients_cannot_come_from_are_refused(ranks, manifests):
    errors = ranks.errors("grab_ranks.dealt_otherwise", 2, manifest=manifests(40))
    for rank, error in enumerate(errors):
        found = error.removeprefix("RuntimeError: ").split(" | ")
        assert "made for 1 rank(s), and torch.distributed has 2 now" in found[0]
        assert "num_replicas=1, and torch.distributed has 2 rank(s)" in found[1]
        assert f"the sampler has rank={1 - rank}, torch.distributed {rank}" in found[2]


def test_batches_that_a_host_deals_out_are_counted_to_the_rank_that_has_them(ranks, manifests):
    manifest, n = manifests(42), 42
    found = ranks.values("grab_ranks.dealt_by_host", 2, manifest=manifest, n=n, epochs=4, batch=4)
    order, server = first_order(manifest), OrderServer("pair", n)
    for epoch in range(4):
        order = order[server.turn()] if epoch else order
        assert found[0]["orders"][epoch] == found[1]["orders"][epoch] == order.tolist()
        for first in range(0, n, 8):
            groups = np.arange(first, first + 8)
            rows = order[groups % n]  # the host completes the last batches with the epoch's first examples
            server.step(DenseVectors(known_features(n)[rows]), np.where(groups < n, groups, -1), [4, 4])


def test_what_a_rank_sends_in_a_step(ranks):
    """Features of q numbers are q B 4 bytes; the rest is 8 B and less than 150."""
    wide = ranks.values("grab_ranks.sent", 2, batch=32, width=256)
    for found in wide:
        assert 32 * 256 * 4 < found <= 32 * (256 * 4 + 8) + 150
