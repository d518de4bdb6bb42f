"""On two real processes over gloo: the gradients, sizes and decisions are those of one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parent


@pytest.fixture(scope="module")
def alone():
    sys.path.insert(0, str(FOLDER))
    try:
        import gradients_of_ranks
    finally:
        sys.path.remove(str(FOLDER))
    return gradients_of_ranks


@pytest.fixture(scope="module")
def ranks(alone, tmp_path_factory):
    output = tmp_path_factory.mktemp("ranks")
    torch.save(alone.train("adadamp", 0, 1, stop=4)["saved"], output / "of-one")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, str(FOLDER / "gradients_of_ranks.py"), str(output)],
        check=True,
        env=environment,
        timeout=150,
        capture_output=True,
    )
    return [torch.load(output / f"of-rank-{rank}", weights_only=True) for rank in range(2)]


def relative(a, b):
    return float((a - b).norm() / b.norm())


RULES = ["geodamp", "adadamp", "adadampnn", "average", "radadamp", "noise"]


# By noise not: each rank has a first microbatch of its own, so that the estimate is another one.
@pytest.mark.parametrize("rule", RULES[:-1])
def test_gradients_and_decisions_are_those_of_one_process(alone, ranks, rule):
    expected = alone.train(rule, 0, 1)
    for found in (ranks[0][rule], ranks[1][rule]):
        assert found["sizes"] == expected["sizes"]
        assert len(set(found["sizes"])) > 1
        for a, b in zip(found["gradients"], expected["gradients"], strict=True):
            assert relative(a, b) < 1e-9
        for a, b in zip(found["decisions"], expected["decisions"], strict=True):
            assert a == pytest.approx(b, rel=1e-9)
        assert found["losses"] == pytest.approx(expected["losses"], rel=1e-9)


@pytest.mark.parametrize("name", [*RULES, "uneven", "stopped", "resumed"])
def test_all_ranks_decide_the_same_to_the_bit(ranks, name):
    first, second = ranks[0][name], ranks[1][name]
    assert (first["sizes"], first["decisions"], first["losses"]) == (
        second["sizes"],
        second["decisions"],
        second["losses"],
    )
    assert first["sizes"]
    assert all(torch.equal(a, b) for a, b in zip(first["gradients"], second["gradients"], strict=True))
    if name == "stopped":
        assert repr(first["saved"]["adaptive"]) == repr(second["saved"]["adaptive"])


def test_ranks_with_different_counts_still_give_every_example_the_same_weight(ranks, alone):
    # In the first epoch twelve updates of 8; in the last of them rank 0 has three examples and rank 1 one.
    sizes = ranks[0]["uneven"]["sizes"]
    assert sizes[:12] == [8] * 11 + [4]
    assert sum(sizes) == 3 * 92
    x, y = alone.data().tensors
    order = torch.randperm(alone.N, generator=torch.Generator().manual_seed(0)).tolist()
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2)).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for update in range(12):
        part = slice(4 * update, 4 * update + 4)
        rows = order[0::2][part] + order[1::2][:-2][part]
        optimizer.zero_grad()
        alone.loss(model(x[rows]), y[rows]).backward()
        expected = torch.cat([p.grad.flatten() for p in model.parameters()])
        assert relative(ranks[0]["uneven"]["gradients"][update], expected) < 1e-9
        optimizer.step()


def test_a_state_of_one_process_goes_on_with_two_and_of_two_with_one(ranks, alone):
    whole = alone.train("adadamp", 0, 1)
    assert ranks[0]["resumed"]["sizes"] == whole["sizes"][4:]
    for a, b in zip(ranks[0]["resumed"]["gradients"], whole["gradients"][4:], strict=True):
        assert relative(a, b) < 1e-9
    rest = alone.train("adadamp", 0, 1, state=ranks[0]["stopped"]["saved"])
    assert ranks[0]["stopped"]["sizes"] + rest["sizes"] == whole["sizes"]
    for a, b in zip(rest["gradients"], whole["gradients"][5:], strict=True):
        assert relative(a, b) < 1e-9
    for a, b in zip(rest["decisions"], whole["decisions"], strict=True):
        assert a == pytest.approx(b, rel=1e-9)
