"""The order server: CD-GraB's orders by a plain reference, whatever the workers' batches."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch
from grab_runs import features, relations
from hypothesis import given
from hypothesis import strategies as st

from syllabus.selectors.balancing import Halving
from syllabus.selectors.balancing.vectors import DenseVectors, OuterProducts
from syllabus.trainer.ordering.order_server import BALANCES, OrderServer


def visited(n: int, workers: int, batch: int):
    """Steps of one epoch: of each worker the places that it visits, position t W + j being worker j's."""
    for first in range(0, -(-n // workers), batch):
        steps = [np.arange(first, first + batch) * workers + worker for worker in range(workers)]
        yield [places[places < n] for places in steps]


def cycle(known: torch.Tensor, order: np.ndarray, workers: int, batch: int, balance: str = "pair"):
    server = OrderServer(balance, len(order))
    for steps in visited(len(order), workers, batch):
        places = np.concatenate(steps)
        server.step(DenseVectors(known[order[places]]), places, [len(some) for some in steps])
    return order[server.turn()]


def reference(known: np.ndarray, order: np.ndarray, workers: int, batch: int) -> np.ndarray:
    """CD-GraB as published, one pair after the other: every worker's first, every worker's second, …."""
    total, front, back = np.zeros(known.shape[1]), [], []
    for steps in visited(len(order), workers, batch):
        rest = [places[-1] for places in steps if len(places) % 2]
        pairs = [
            (places[k], places[k + 1])
            for k in range(0, batch - 1, 2)
            for places in steps
            if k + 1 < len(places)
        ]
        for a, b in [*pairs, *zip(rest[::2], rest[1::2], strict=False)]:
            step = known[order[a]].astype(float) - known[order[b]]
            plus = total @ step <= 0
            total += step if plus else -step
            front.append(a if plus else b)
            back.append(b if plus else a)
    rest = [place for place in range(len(order)) if place not in {*front, *back}]
    return order[[*front, *rest, *back[::-1]]]


@relations
@given(
    rounds=st.integers(1, 12), workers=st.integers(1, 5), batch=st.sampled_from([2, 4, 8]),
    seed=st.integers(0, 10**6),
)  # fmt: skip
def test_pairs_of_all_workers_by_reference(rounds, workers, batch, seed):
    n = rounds * 2 * workers
    known, order = features(n, seed=seed), np.arange(n)
    for _ in range(4):
        expected = reference(known.numpy(), order, workers, batch)
        order = cycle(known, order, workers, batch)
        assert order.tolist() == expected.tolist()


@pytest.mark.parametrize("balance", BALANCES)
@pytest.mark.parametrize(("n", "workers", "batch"), [(61, 4, 3), (7, 3, 5), (30, 2, 1), (5, 8, 2)])
def test_odd_and_missing_examples_still_give_a_permutation(balance, n, workers, batch):
    known, order = features(n), np.arange(n)
    for _ in range(3):
        order = cycle(known, order, workers, batch, balance)
        assert sorted(order) == list(range(n))


def test_what_is_left_of_workers_with_odd_batches_is_paired_over_workers():
    known, order = features(40), np.random.default_rng(0).permutation(40)
    assert cycle(known, order, 4, 5).tolist() == reference(known.numpy(), order, 4, 5).tolist()
    one = order[oracles.pair_balance(known.numpy()[order], 1)]
    assert cycle(known, order, 4, 1).tolist() == one.tolist()  # batches of 1: GraB on the global order


def test_the_prefixes_of_all_workers_together_do_not_grow_with_their_number():
    known = torch.from_numpy(oracles.planted("normal", 960, 64, seed=0))
    found = {}
    for workers in (1, 16):
        order = np.arange(960)
        for _ in range(6):
            order = cycle(known, order, workers, 4)
        norms = oracles.prefix_norms(known.numpy(), order)[0]
        found[workers] = norms[workers - 1 :: workers].max()
    start = oracles.prefix_norms(known.numpy(), np.arange(960))[0].max()
    assert found[16] <= 1.15 * found[1] < 0.6 * start


def test_a_group_is_taken_once_and_what_is_not_finite_is_passed_over():
    server, known = OrderServer("pair", 8), features(8)
    server.step(DenseVectors(known[[0, 2, 0, 1]]), np.array([0, 2, 0, -1]), [2, 2])
    assert server.following.seen.tolist() == [True, False, True] + [False] * 5
    before = server.state_dict()
    broken = known[[3, 4, 5, 6]] * torch.tensor([[1.0], [1], [1], [torch.inf]])
    server.step(DenseVectors(broken), np.array([3, 4, 5, 6]), [2, 2])
    server.step(DenseVectors(known[:0]), np.array([], np.int64), [0, 0])
    after = server.state_dict()
    assert torch.equal(after["seen"], before["seen"])
    assert torch.equal(after["balancer"]["position"], before["balancer"]["position"])


def test_factors_of_all_workers_and_written_features_give_the_same_order():
    left, right = features(24, 3, seed=1), features(24, 4, seed=2)
    written = torch.einsum("bp,bq->bpq", left, right).reshape(24, 12)
    server = OrderServer("pair", 24)
    for steps in visited(24, 3, 3):
        places = np.concatenate(steps)
        server.step(OuterProducts(left[places], right[places]), places, [len(some) for some in steps])
    assert server.turn().tolist() == cycle(written, np.arange(24), 3, 3).tolist()


@pytest.mark.parametrize("balance", BALANCES[1:])
def test_a_single_vector_too_large_for_float32_is_passed_over_alone(balance):
    known = features(9, 4).double()
    known[0] = torch.tensor([1e20, 1e20, 1e18, 1e18])
    server = OrderServer(balance, 9, Halving(4, 1, (0, 0)) if balance == "kernel-halving" else None)
    for first, last in ((0, 1), (1, 9)):
        rows = known[first:last]
        server.step(OuterProducts(rows[:, :2], rows[:, 2:]), np.arange(first, last))
    assert server.following.seen.tolist() == [False, *[True] * 8]
