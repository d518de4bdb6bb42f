"""Each host on two real processes over gloo: together they train on exactly what the manifest says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from host_data import BATCH, EPOCHS, STOP, N, Probe, batches, changed, keep_going, local, manifest_in, orders

HELPERS = Path(__file__).parents[1] / "helpers"


@pytest.fixture(scope="module")
def epochs(tmp_path_factory) -> list[list[int]]:
    return orders(manifest_in(tmp_path_factory.mktemp("orders")))


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    """What the two ranks wrote: what each was trained on, in batches, and states."""
    folder, output = tmp_path_factory.mktemp("manifest"), tmp_path_factory.mktemp("seen")
    manifest = manifest_in(folder)
    alone = keep_going(manifest, changed(manifest), Probe(), {}, stop=STOP)
    (output / "state-of-one.json").write_text(json.dumps(alone))
    done = subprocess.run(
        [sys.executable, HELPERS / "two_ranks.py", folder, output],
        cwd=HELPERS.parent, capture_output=True, text=True, timeout=500, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return output


@pytest.fixture(scope="module")
def seen(output):
    """By host: what each of the two ranks was trained on, in batches."""

    def ranks(host: str) -> list[list[list[int]]]:
        return [json.loads((output / f"{host}-{rank}.json").read_text()) for rank in range(2)]

    return ranks


@pytest.mark.parametrize("host", ["dataloader", "lightning"])
def test_where_the_sampler_deals_each_rank_has_every_other_example(seen, epochs, host):
    for rank, mine in enumerate(seen(host)):
        assert mine == [batch for order in epochs for batch in batches(local(order, rank, 2))]


def test_a_run_under_ddp_goes_on_in_mid_epoch_on_one_process_and_back(seen, output, epochs, tmp_path):
    steps = [sorted(batch) for order in epochs for batch in batches(order)]
    assert STOP % len(batches(epochs[0]))

    def together(host: str) -> list[list[int]]:
        return [sorted(one + other) for one, other in zip(*seen(host), strict=True)]

    assert together("stopped") == steps[:STOP]
    states = [json.loads((output / f"state-{rank}.json").read_text()) for rank in range(2)]
    assert states[0] == states[1] == json.loads((output / "state-of-one.json").read_text())
    manifest, model = manifest_in(tmp_path), Probe()
    keep_going(manifest, changed(manifest), model, states[1])
    assert list(map(sorted, model.seen)) == steps[STOP:]
    assert together("resumed") == steps[STOP:]


@pytest.mark.parametrize("host", ["grab-accelerate", "grab-lightning"])
def test_under_grab_both_ranks_have_one_order_and_each_epoch_every_example(seen, output, host):
    states = [(output / f"{host}-state-{rank}.txt").read_text() for rank in range(2)]
    assert states[0] == states[1]
    first, second = seen(host)
    assert len(first) == len(second)
    steps = len(first) // EPOCHS
    visited = []
    for epoch in range(EPOCHS):
        parts = first[steps * epoch :][:steps], second[steps * epoch :][:steps]
        visited.append([number for both in zip(*parts, strict=True) for part in both for number in part])
        assert len(set(visited[-1])) == N
    assert visited[0] != visited[1] != visited[2]


@pytest.mark.parametrize("host", ["accelerate", "trainer"])
def test_where_the_host_deals_each_rank_has_every_other_batch(seen, epochs, host):
    steps = list(zip(*seen(host), strict=True))
    per_epoch = -(-len(epochs[0]) // (2 * BATCH))
    assert len(steps) == per_epoch * len(epochs)
    for epoch, order in enumerate(epochs):
        here = [
            number for step in steps[per_epoch * epoch :][:per_epoch] for batch in step for number in batch
        ]
        assert here[: len(order)] == order
        assert set(here) == set(order)  # the last batches are completed with the epoch's own examples


def test_the_trainer_goes_on_in_the_middle_of_an_epoch(seen):
    for whole, tail in zip(seen("trainer"), seen("trainer-resumed"), strict=True):
        assert tail == whole[4:]
