"""Orders: parity with the measured figures, the walk by a plain reference, the discrepancy by brute force."""

import itertools

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from syllabus.selectors import balancing, herding

quick = settings(max_examples=60, deadline=None, derandomize=True)


def normalised(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def first_data():
    return normalised(np.random.default_rng(0).standard_normal((2000, 384)))


def second_data():
    return normalised(np.random.RandomState(0).randn(2000, 384))


def digits():
    return load_digits().data


# The reference figures. Passes: (l2, linf) of balance, then of pair; the checksum of the order after 50
# balance passes; greedy's first rows and (l2, linf).
PARITY = [
    (
        first_data,
        {1: (13.168, 2.332), 2: (9.174, 1.778), 3: (8.032, 1.738), 5: (7.300, 1.523), 10: (7.300, 1.523)},
        {1: (14.239, 2.767), 2: (11.230, 2.276), 5: (10.430, 2.221), 10: (10.065, 1.822)},
        619461,
        [1377, 1347, 779, 1902, 1213, 1312, 1709, 1005],
        (4.4703, 0.9849),
    ),
    (
        second_data,
        {1: (13.163, 2.605), 2: (8.987, 1.919), 3: (8.107, 1.759), 5: (7.476, 1.593), 10: (7.476, 1.593)},
        {1: (14.862, 2.815), 2: (11.320, 2.342), 5: (10.000, 1.883), 10: (10.252, 2.039)},
        287262,
        [1847, 833, 1142, 1062, 1229, 1952, 1633, 788],
        (4.3869, 0.8937),
    ),
    (
        lambda: normalised(digits()),
        {1: (15.511, 5.694), 2: (8.066, 2.996), 3: (4.392, 1.829), 5: (2.060, 0.938), 10: (1.792, 0.839)},
        {1: (15.545, 5.471), 2: (8.087, 3.129), 5: (2.696, 1.294), 10: (2.585, 1.291)},
        174246,
        [424, 1709, 1206, 1293, 1624, 770, 951, 138],
        (0.9794, 0.4549),
    ),
    (
        lambda: (digits() / 16).astype(np.float32),
        {1: (60.444, 22.87), 2: (31.599, 11.988), 3: (17.295, 6.857), 5: (8.452, 3.947), 10: (7.554, 3.809)},
        {1: (62.597, 22.995), 2: (33.923, 15.024), 5: (10.266, 4.529), 10: (9.186, 4.810)},
        465440,
        [945, 297, 318, 769, 829, 461, 651, 805],
        (3.4914, 1.6572),
    ),
]


@pytest.mark.parametrize(("data", "balance", "pair", "checksum", "first", "greedy"), PARITY)
def test_published_figures(data, balance, pair, checksum, first, greedy):
    rows = data()
    for call, figures in ((herding.balance, balance), (herding.pair, pair)):
        for passes, (l2, linf) in figures.items():
            found = herding.discrepancy(rows, call(rows, passes=passes))
            assert found.l2 == pytest.approx(l2, abs=6e-4)
            assert found.linf == pytest.approx(linf, abs=6e-4)
    order = herding.balance(rows, passes=50)
    assert int((order * np.arange(1, len(order) + 1)).sum() % 1000003) == checksum
    order = herding.greedy(rows)
    assert order[:8].tolist() == first
    found = herding.discrepancy(rows, order)
    assert (found.l2, found.linf) == (pytest.approx(greedy[0], abs=6e-5), pytest.approx(greedy[1], abs=6e-5))


def test_a_window_after_balance_comes_close_to_greedy():
    rows = first_data()
    order = herding.balance(rows, passes=5)
    for width, l2 in ((16, 6.745), (64, 5.824), (256, 5.005)):
        assert herding.discrepancy(rows, herding.window(rows, order, width)).l2 == pytest.approx(l2, abs=6e-4)
    identity = herding.window(rows, np.arange(len(rows)))
    assert herding.discrepancy(rows, identity).l2 == pytest.approx(9.5618, abs=6e-4)


@given(n=st.integers(1, 50), d=st.integers(1, 20), width=st.integers(1, 60), seed=st.integers(0, 10**6))
@quick
def test_a_window_never_worsens_an_order_and_is_greedy_when_it_is_wide(n, d, width, seed):
    rows = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    order = np.random.default_rng(seed + 1).permutation(n)
    refined = herding.window(rows, order, width)
    assert sorted(refined.tolist()) == list(range(n))
    before, after = herding.discrepancy(rows, order).l2, herding.discrepancy(rows, refined).l2
    assert after <= before
    place = {index: position for position, index in enumerate(order.tolist())}
    if refined.tolist() != order.tolist():
        # No row comes before the window reaches it.
        assert all(place[index] < t + width for t, index in enumerate(refined.tolist()))
    if width >= n and after < before:
        assert after == pytest.approx(herding.discrepancy(rows, herding.greedy(rows)).l2)


def test_a_window_gives_the_order_back_where_it_would_be_worse():
    worse = 0
    for seed in range(10):
        rows = np.random.default_rng(seed).standard_normal((5, 3)).astype(np.float32)
        norms = {order: herding.discrepancy(rows, order).l2 for order in itertools.permutations(range(5))}
        best = min(norms, key=norms.__getitem__)
        refined = herding.window(rows, best, width=5)
        assert refined.tolist() == list(best)
        # What the whole window would have made of any order: at n it is greedy.
        worse += herding.discrepancy(rows, herding.greedy(rows)).l2 > norms[best] + 1e-9
    assert worse > 3


def test_rows_need_not_be_centred_nor_normalised():
    digits = np.random.default_rng(1).gamma(1.0, size=(600, 64)).astype(np.float32)
    order = herding.balance(digits, passes=5)
    random = herding.discrepancy(digits, np.random.default_rng(2).permutation(600)).l2
    assert herding.discrepancy(digits, order).l2 < 0.5 * random
    shifted = herding.balance(digits + 2.0, passes=5)
    assert herding.discrepancy(digits, shifted).l2 < 0.5 * random


@given(n=st.integers(1, 60), d=st.integers(1, 20), passes=st.integers(1, 6), seed=st.integers(0, 10**6))
@quick
def test_balance_is_the_plain_walk(n, d, passes, seed):
    # Whole numbers whose mean is a whole number: float64 is exact, and ties (<s, z> = 0) are many.
    rows = np.random.default_rng(seed).integers(-3, 4, (n, d))
    rows = np.concatenate([rows, -rows]).astype(np.float32)
    assert herding.balance(rows, passes=passes).tolist() == oracles.balance(rows, passes)


@given(n=st.integers(1, 50), d=st.integers(1, 40), seed=st.integers(0, 10**6))
@quick
def test_walk_by_reference(n, d, seed):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, d)).astype(np.float32)
    mean = rng.standard_normal(d)
    order = rng.permutation(n)
    signs, position = np.empty(n, np.int8), np.zeros(d)
    balancing.signed_walk(rows, mean, order, position, signs)
    expected, end = oracles.signed_walk(rows, order, mean)
    assert signs.tolist() == expected
    np.testing.assert_allclose(position, end, rtol=0, atol=1e-10)
    half = n // 2
    parts, again = np.empty(n, np.int8), np.zeros(d)
    balancing.signed_walk(rows, mean, order[:half], again, parts[:half])
    balancing.signed_walk(rows, mean, order[half:], again, parts[half:])
    assert parts.tolist() == signs.tolist()
    assert again.tolist() == position.tolist()


def test_passes_follow_one_another_and_end_in_a_fixed_point():
    rows = oracles.planted("normal", 300, 24, seed=0)
    one = herding.balance(rows, passes=1)
    assert herding.balance(rows, passes=1, start=one).tolist() == herding.balance(rows, passes=2).tolist()
    settled = herding.balance(rows, passes=100)
    assert settled.tolist() == herding.balance(rows, passes=10**9).tolist()
    assert settled.tolist() == herding.balance(rows, passes=1, start=settled).tolist()
    assert settled.tolist() != one.tolist()


def test_each_pass_keeps_its_bound():
    # H(new) <= (H(old) + largest prefix of the signed sums)/2.
    rows = oracles.planted("clusters", 400, 16, seed=1)
    mean = rows.astype(np.float64).mean(axis=0)
    order = np.arange(400)
    for _ in range(4):
        signs, _ = oracles.signed_walk(rows, order, mean)
        signed = np.cumsum(np.array(signs)[:, None] * (rows[order] - mean), axis=0)
        before = herding.discrepancy(rows, order).l2
        order = balancing.reorder(order, np.array(signs, np.int8))
        after = herding.discrepancy(rows, order).l2
        assert after <= (before + np.linalg.norm(signed, axis=1).max()) / 2 + 1e-9


@given(n=st.integers(1, 40), d=st.integers(1, 20), seed=st.integers(0, 10**6))
@quick
def test_greedy_minimises_the_next_prefix(n, d, seed):
    rows = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    order = herding.greedy(rows)
    assert sorted(order.tolist()) == list(range(n))
    centred = rows.astype(np.float64) - rows.astype(np.float64).mean(axis=0)
    prefix = np.zeros(d)
    for t, index in enumerate(order):
        norms = np.linalg.norm(prefix + centred[order[t:]], axis=1)
        assert norms[0] <= norms.min() + 1e-9
        prefix += centred[index]


def test_greedy_ties_go_to_the_smallest_index():
    rows = np.repeat(oracles.planted("normal", 20, 8, seed=2), 2, axis=0)
    order = herding.greedy(rows).tolist()
    for index in range(0, 40, 2):
        assert order.index(index) < order.index(index + 1)


@pytest.mark.parametrize("n", [1, 2, 511, 512, 513, 1500])
def test_discrepancy_by_brute_force(n):
    rows = np.random.default_rng(n).standard_normal((n, 7)).astype(np.float32)
    order = np.random.default_rng(n + 1).permutation(n)
    l2, linf = oracles.prefix_norms(rows, order)
    found = herding.discrepancy(rows, order)
    assert found.l2 == pytest.approx(l2.max(), abs=1e-9)
    assert found.linf == pytest.approx(linf.max(), abs=1e-9)
    assert len(found.positions) == len(found.curve) == min(n, 512)
    assert found.positions[-1] == n
    starts = [0, *found.positions[:-1]]
    expected = [l2[start:stop].max() for start, stop in zip(starts, found.positions, strict=True)]
    np.testing.assert_allclose(found.curve, expected, rtol=0, atol=1e-9)
    assert found.curve.max() == found.l2


def test_a_reversed_order_has_nearly_the_same_discrepancy():
    rows = oracles.planted("normal", 500, 16, seed=3)
    order = herding.balance(rows)
    one, other = herding.discrepancy(rows, order), herding.discrepancy(rows, order[::-1].copy())
    assert one.l2 == pytest.approx(other.l2, abs=1e-9)
