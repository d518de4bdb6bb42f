"""CD-GraB under DistributedDataParallel: a rank is killed, and the run goes on with as many or others."""

from __future__ import annotations

import shutil

import pytest
import torch
from small_manifest import write_small_manifest

from syllabus.selectors.balancing.vectors import DenseVectors
from syllabus.trainer.ordering.order_server import OrderServer

N = 48  # six global batches of 8 an epoch


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("manifest")
    write_small_manifest(folder, n=N, gap=0, fractions=(0.5,))
    return str(folder)


def steps(found: list[dict]) -> list[tuple[int, list[int]]]:
    """The epoch and the examples of each step of all ranks."""
    lines = [one["lines"] for one in found]
    return [
        (step[0][0], sorted(row for _, rows, _ in step for row in rows)) for step in zip(*lines, strict=True)
    ]


@pytest.fixture(scope="module")
def whole(ranks, manifest, tmp_path_factory):
    """A run of two ranks that nothing happens to."""
    folder = str(tmp_path_factory.mktemp("whole"))
    return ranks.values("grab_ranks.train", 2, manifest=manifest, n=N, folder=folder)


@pytest.fixture(scope="module")
def killed(ranks, manifest, tmp_path_factory):
    """What is left of a run whose rank 1 was killed in step 11, after the checkpoint of step 9."""
    folder = tmp_path_factory.mktemp("killed")
    found = ranks.run("grab_ranks.train", 2, manifest=manifest, n=N, folder=str(folder), die=11, timeout=50)
    assert found[1]["exit"] == -9
    assert found[0]["seconds"] < 45
    assert "error" in found[0]
    return folder


@pytest.mark.parametrize("world", [1, 2, 4])
def test_a_killed_run_goes_on_from_its_checkpoint_and_nothing_comes_twice(
    ranks, manifest, whole, killed, world, tmp_path
):
    shutil.copy(killed / "last.pt", tmp_path / "last.pt")
    saved = torch.load(tmp_path / "last.pt", weights_only=True)["sampler"]
    assert (saved["epoch"], saved["global_examples"]) == (1, 24)
    again = ranks.values("grab_ranks.train", world, manifest=manifest, n=N, folder=str(tmp_path), resume=True)
    before, after = steps(whole)[:9], steps(again)
    for epoch in (1, 2):
        rows = [row for at, some in [*before, *after] if at == epoch for row in some]
        assert sorted(rows) == list(range(N))
    assert after[:3] == steps(whole)[9:12]  # the rest of the epoch has the same global batches
    if world == 2:
        assert [one["lines"] for one in again] == [one["lines"][9:] for one in whole]
        assert [one["weights"] for one in again] == [one["weights"] for one in whole]


def test_fit_trains_on_several_ranks_and_goes_on_from_its_checkpoint(ranks, manifest, tmp_path):
    whole = ranks.values(
        "grab_ranks.fits", 2, manifest=manifest, n=N, checkpoint=str(tmp_path / "a"), epochs=[3]
    )
    again = ranks.values(
        "grab_ranks.fits", 2, manifest=manifest, n=N, checkpoint=str(tmp_path / "b"), epochs=[1, 3], every=1,
        timeout=15
    )  # fmt: skip
    assert whole[0] == whole[1] == again[0] == again[1]
    assert whole[0]["epochs"] == 3


def test_accumulation_without_averaging_has_the_order_of_its_microbatches(ranks, manifest, tmp_path):
    found = ranks.values(
        "grab_ranks.train", 2, manifest=manifest, n=N, folder=str(tmp_path), accumulate=2, epochs=2
    )
    lines = [one["lines"] for one in found]
    assert [len(one) for one in lines] == [24, 24]
    rows = [[row for _, some, _ in one[12:] for row in some] for one in lines]
    assert sorted(rows[0] + rows[1]) == list(range(N))
    assert found[0]["weights"] == found[1]["weights"]


@pytest.mark.parametrize(
    ("options", "size"),
    [({"fraction": 0.5, "schedule": "redraw"}, 24), ({"fraction": 0.5, "schedule": "milo"}, 24)],
    ids=str,
)
def test_sets_that_do_not_come_again_are_shuffled_over_the_ranks(ranks, manifest, tmp_path, options, size):
    found = ranks.values("grab_ranks.train", 2, manifest=manifest, n=N, folder=str(tmp_path), **options)
    for epoch in range(3):
        rows = [row for at, some in steps(found) if at == epoch for row in some]
        assert len(set(rows)) == len(rows) == size


def test_the_state_of_a_rank_does_not_grow_with_the_ranks(ranks, manifest, tmp_path):
    """O(n) integers and O(d) floats: the same as of one rank, and what waits for its partner at most once."""
    sizes = {}
    for world in (1, 4):
        ranks.values(
            "grab_ranks.visits",
            world,
            manifest=manifest,
            n=N,
            epochs=2,
            batch=3,
            stop=2,
            save=str(tmp_path / "s"),
        )
        state = torch.load(tmp_path / "s", weights_only=True)["grab"]
        floats = [state["balancer"]["position"], *(state["balancer"]["held"] or [])[1:]]
        sizes[world] = (
            sum(some.numel() for some in floats),
            sum(state[name].numel() for name in ("order", "seen")) + state["following"][0].numel(),
        )
    assert sizes[4][1] == sizes[1][1] == 3 * N
    assert max(sizes[1][0], sizes[4][0]) <= 2 * 6


def test_a_server_that_is_saved_and_loaded_goes_on_alike():
    rows = torch.arange(24.0).reshape(8, 3).sin()
    one, other = OrderServer("pair", 8), OrderServer("pair", 8)
    for server in (one, other):
        server.step(DenseVectors(rows[:3]), torch.arange(3).numpy(), [1, 2])
    loaded = OrderServer("pair", 8)
    loaded.load_state_dict(other.state_dict())
    assert loaded.digest() == one.digest()
    for server in (one, loaded):
        server.step(DenseVectors(rows[3:]), torch.arange(3, 8).numpy(), [3, 2])
    assert loaded.digest() == one.digest()
    assert loaded.turn().tolist() == one.turn().tolist()
