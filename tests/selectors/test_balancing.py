"""The walks: pairs and kernel halving by plain references, streams of blocks, the blocked form on torch."""

import math

import numpy as np
import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from syllabus.selectors import SelectionError, balancing, herding
from syllabus.selectors.balancing import walks
from syllabus.selectors.balancing.vectors import DenseVectors, OuterProducts, walk, walk_pairs
from syllabus.selectors.balancing.walks import Halving

quick = settings(max_examples=60, deadline=None, derandomize=True)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def normal(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


@pytest.fixture
def blocked(monkeypatch):
    monkeypatch.setattr("syllabus.selectors.balancing.vectors._HERE", "nowhere")


@given(n=st.integers(1, 60), d=st.integers(1, 30), passes=st.integers(1, 5), seed=st.integers(0, 10**6))
@quick
def test_pair_is_the_plain_walk(n, d, passes, seed):
    # Whole numbers: float64 is exact, and ties are many.
    rows = np.random.default_rng(seed).integers(-3, 4, (n, d)).astype(np.float32)
    assert herding.pair(rows, passes).tolist() == oracles.pair_balance(rows, passes)


@given(pairs=st.integers(1, 40), d=st.integers(1, 20), seed=st.integers(0, 10**6))
@quick
def test_kernel_halving_by_its_formulas(pairs, d, seed):
    rows = normal(2 * pairs, d, seed)
    halving, again = Halving(pairs, 7, (seed,)), Halving(pairs, 7, (seed,))
    signs = balancing.pair_walk(rows, np.arange(2 * pairs), np.zeros(d), halving)
    draws, penalties = again.draw(pairs)
    assert np.abs(draws).max() <= 1
    s, v = np.zeros(d), 0.0
    for k in range(pairs):
        b = rows[2 * k].astype(np.float64) - rows[2 * k + 1]
        penalty = math.log(4 / 0.5 * (math.log(7) + 1) * (math.log(pairs) + 1) * (k + 1))
        assert penalties[k] == pytest.approx(penalty)
        a = max(b @ b, math.sqrt(b @ b * v * penalty))
        sign = 1 if s @ b <= draws[k] * a else -1
        v += b @ b * max(0.0, 2 + (b @ b - 2 * a) * v / a**2)
        s += sign * b
        assert signs[k] == sign
    assert halving.spread[0] == pytest.approx(v)


def test_kernel_halving_balances_and_its_draws_do_not_depend_on_the_blocks():
    rows = normal(2000, 16)
    order = np.arange(2000)
    start = herding.discrepancy(rows, order).l2
    whole, parts = Halving(1000, 5, (3,)), Halving(1000, 5, (3,))
    position = np.zeros(16)
    signs = balancing.pair_walk(rows, order, position, whole)
    pieces = np.zeros(16)
    cut = [balancing.pair_walk(rows, order[i : i + 100], pieces, parts) for i in range(0, 2000, 100)]
    assert np.concatenate(cut).tolist() == signs.tolist()
    assert pieces.tolist() == position.tolist()
    assert Halving(1000, 5, (4,)).draw(9)[0].tolist() != Halving(1000, 5, (3,)).draw(9)[0].tolist()
    for _ in range(5):
        order = balancing.reorder_pairs(order, signs)
        signs = balancing.pair_walk(rows, order, np.zeros(16), Halving(1000, 5, (3,)))
    assert herding.discrepancy(rows, order).l2 < 0.7 * start


@pytest.mark.parametrize("size", [16, 64, 256])
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.usefixtures("blocked")
def test_the_blocked_form_has_the_signs_of_the_loop(size, device):
    rows = oracles.planted("normal", 1024, 48, seed=0)
    mean = rows.astype(np.float64).mean(axis=0)
    order = np.arange(1024)
    for _ in range(5):
        signs = np.empty(1024, np.int8)
        position = np.zeros(48)
        balancing.signed_walk(rows, mean, order, position, signs)
        moved = torch.zeros(48, dtype=torch.float64, device=device)
        centre = torch.from_numpy(mean).to(device)
        found = [
            walk(DenseVectors(torch.from_numpy(rows[order[i : i + size]]).to(device)), moved, centre)
            for i in range(0, 1024, size)
        ]
        assert np.concatenate(found).tolist() == signs.tolist()
        np.testing.assert_allclose(moved.cpu(), position, rtol=0, atol=1e-10)
        order = balancing.reorder(order, signs)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.usefixtures("blocked")
def test_balance_of_a_tensor_elsewhere_is_that_of_the_array(device, monkeypatch):
    rows = normal(1100, 40, seed=7)
    start = np.random.default_rng(0).permutation(1100)
    expected = herding.balance(rows, 4, start=start)
    monkeypatch.setattr(herding, "_lies_elsewhere", lambda _: True)
    there = torch.from_numpy(rows).to(device)
    assert herding.balance(there, 4, start=start).tolist() == expected.tolist()
    there[6, 2] = torch.inf
    with pytest.raises(SelectionError, match=r"^balance: row 6 contains NaN or infinity"):
        herding.balance(there)
    there[6, 2] = 0.0
    assert herding.balance(there.double()).tolist() == herding.balance(there).tolist()
    beyond = there.double()
    beyond[6, 2] = 1e39
    with pytest.raises(SelectionError, match=r"^balance: row 6 has 1e\+39 in column 2"):
        herding.balance(beyond)
    with pytest.raises(SelectionError, match=r"dtype torch\.bool; expected"):
        herding.balance(there > 0)


@pytest.mark.parametrize("halved", [False, True])
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.usefixtures("blocked")
def test_the_blocked_form_of_pairs_has_the_signs_of_the_loop(halved, device):
    rows = normal(1000, 33)
    halving = [Halving(500, 3, (0,)) if halved else None for _ in range(2)]
    position, moved = np.zeros(33), torch.zeros(33, dtype=torch.float64, device=device)
    signs = balancing.pair_walk(rows, np.arange(1000), position, halving[0])
    found = [
        walk_pairs(DenseVectors(torch.from_numpy(rows[i : i + 100]).to(device)), moved, halving[1])
        for i in range(0, 1000, 100)
    ]
    assert np.concatenate(found).tolist() == signs.tolist()
    np.testing.assert_allclose(moved.cpu(), position, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["mean", "pair", "kernel-halving"])
@pytest.mark.parametrize("device", DEVICES)
def test_factors_by_the_loop_and_in_the_blocked_form_have_the_same_signs(kind, device, monkeypatch):
    left, right = (torch.from_numpy(normal(400, width, seed=width)) for width in (5, 21))
    mean = OuterProducts(left, right, bias=True).written().mean(0)
    found = []
    for where in ("cpu", device):
        position = torch.zeros(110, dtype=torch.float64, device=where)
        halving = Halving(200, 3, (0,)) if kind == "kernel-halving" else None
        signs = []
        for start in range(0, 400, 50):
            block = OuterProducts(left, right, bias=True).cut(start, start + 50).to(torch.device(where))
            signs += (
                walk(block, position, mean.to(where))
                if kind == "mean"
                else walk_pairs(block, position, halving)
            ).tolist()
        found.append((signs, position.cpu()))
        monkeypatch.setattr("syllabus.selectors.balancing.vectors._HERE", "nowhere")
    assert found[0][0] == found[1][0]
    # The loop rounds products to float32.
    torch.testing.assert_close(found[0][1], found[1][1], rtol=0, atol=1e-5)


@given(
    seed=st.integers(0, 10**6),
    size=st.integers(1, 8),
    p=st.integers(1, 6),
    q=st.integers(1, 9),
    bias=st.booleans(),
)
@quick
def test_factors_walk_as_the_vectors_that_they_stand_for(seed, size, p, q, bias):
    # Whole numbers: the sums are exact, so signs and positions are the same to the last bit.
    rng = np.random.default_rng(seed)
    left, right = (torch.from_numpy(rng.integers(-3, 4, (2 * size, w)).astype(np.float32)) for w in (p, q))
    written = torch.einsum("bp,bq->bpq", left, right).reshape(2 * size, p * q)
    if bias:
        written = torch.cat([written, left], 1)
    block, rows = OuterProducts(left, right, bias), DenseVectors(written)
    assert torch.equal(block.written(), written.double())
    assert block.width == rows.width
    mean = torch.from_numpy(rng.integers(-2, 3, rows.width).astype(np.float64))
    for step in (lambda block, s: walk(block, s, mean), walk_pairs):
        start = torch.from_numpy(rng.integers(-9, 9, rows.width).astype(np.float64))
        one, other = start.clone(), start.clone()
        assert step(block, one).tolist() == step(rows, other).tolist()
        assert torch.equal(one, other)
    total = mean.clone()
    walk(block, start, mean, total)
    assert torch.equal(total, mean + written.double().sum(0))
    split = block.cut(1, 2 * size).after(block.cut(0, 1)).take(torch.arange(2 * size - 1, -1, -1))
    assert torch.equal(split.gram(), DenseVectors(written.flipud()).gram())


@pytest.mark.parametrize(
    "make",
    [DenseVectors, lambda rows: OuterProducts(rows, rows), lambda rows: OuterProducts(rows, rows, bias=True)],
)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_block_that_is_not_finite_changes_nothing(make, bad):
    rows = torch.from_numpy(normal(6, 4))
    rows[3, 2] = bad
    block = make(rows)
    position = torch.ones(block.width, dtype=torch.float64)
    assert walk(block, position, torch.zeros_like(position)) is None
    assert walk_pairs(block, position) is None
    assert (position == 1).all()


def test_factors_whose_products_overflow_change_nothing():
    block = OuterProducts(*(torch.full((2, 3), 1e20) for _ in range(2)), bias=True)
    sums = [torch.zeros(block.width, dtype=torch.float64) for _ in range(2)]
    assert walk(block, sums[0], sums[0].clone(), sums[1]) is None
    assert walk_pairs(block, sums[0]) is None
    assert not torch.stack(sums).any()


def test_blocks_of_the_wrong_shape_are_refused():
    with pytest.raises(SelectionError, match=r"rows have shape \(3,\)"):
        DenseVectors(torch.zeros(3))
    with pytest.raises(SelectionError, match=r"dtype torch.int64; expected \(B, d\) floats"):
        DenseVectors(torch.zeros(3, 2, dtype=torch.int64))
    with pytest.raises(SelectionError, match=r"shapes \(3, 2\) and \(4, 2\)"):
        OuterProducts(torch.zeros(3, 2), torch.zeros(4, 2))
    with pytest.raises(SelectionError, match="block of 3 vectors is not made of pairs"):
        walk_pairs(DenseVectors(torch.zeros(3, 2)), torch.zeros(2, dtype=torch.float64))


def test_the_next_order_has_the_negatives_last_and_reversed():
    order, signs = np.array([4, 0, 3, 1, 2]), np.array([1, -1, -1, 1, -1], np.int8)
    assert walks.reorder(order, signs).tolist() == [4, 1, 2, 3, 0]
