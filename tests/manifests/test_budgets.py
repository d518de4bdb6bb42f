"""budget and allocate against an oracle in exact fractions, and the relations that any division must keep."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syllabus.manifests import ManifestError, allocate, budget

SIZES = st.lists(st.integers(0, 30), min_size=1, max_size=9)


@st.composite
def problems(draw):
    sizes = draw(SIZES)
    return draw(st.integers(0, sum(sizes))), sizes


def weight(size, rule):
    return {"proportional": size, "equal": 1, "sqrt": math.isqrt(size << 64)}[rule]


def oracle(k, sizes, rule):
    """The water level by its breakpoints, in fractions; then largest remainders one by one."""
    parts = [i for i, size in enumerate(sizes) if size]
    low = 1 if k >= len(parts) else 0
    weights = {i: Fraction(weight(sizes[i], rule)) for i in parts}

    def poured(level):
        return {i: min(max(level * weights[i], Fraction(low)), Fraction(sizes[i])) for i in parts}

    levels = sorted({Fraction(0)} | {bound / weights[i] for i in parts for bound in (low, sizes[i])})
    shares = poured(Fraction(0))
    for before, after in pairwise(levels):
        a, b = sum(poured(before).values()), sum(poured(after).values())
        if a <= k <= b and b > a:
            shares = poured(before + (after - before) * (k - a) / (b - a))
    result = [0] * len(sizes)
    for i in parts:
        result[i] = math.floor(shares[i])
    by_remainder = sorted(parts, key=lambda i: (-(shares[i] - math.floor(shares[i])), i))
    for i in by_remainder[: k - sum(result)]:
        result[i] += 1
    return result


@given(problems(), st.sampled_from(["proportional", "equal", "sqrt"]))
@example((3, [1, 1, 1, 9]), "proportional")
@example((4, [1, 1, 1, 9]), "proportional")
@example((12, [1, 1, 1, 9]), "sqrt")
def test_allocate_equals_the_oracle(problem, rule):
    k, sizes = problem
    assert allocate(k, sizes, rule).tolist() == oracle(k, sizes, rule)


@given(problems(), st.sampled_from(["proportional", "equal", "sqrt"]), st.randoms())
def test_sums_caps_and_keeps_one(problem, rule, random):
    k, sizes = problem
    shares = allocate(k, np.asarray(sizes), rule)
    assert shares.dtype == np.int64
    assert shares.sum() == k
    assert (shares >= 0).all()
    assert (shares <= sizes).all()
    if k >= np.count_nonzero(sizes):
        assert (shares[np.asarray(sizes) > 0] >= 1).all()
    # Renumbering the parts changes nothing but which of equal remainders get one more.
    places = list(range(len(sizes)))
    random.shuffle(places)
    moved = allocate(k, [sizes[p] for p in places], rule)
    assert (np.abs(moved - shares[places]) <= 1).all()


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=6), st.floats(0.001, 1))
def test_a_large_proportional_share_is_rounded_and_exact(sizes, fraction):
    k = budget(fraction, sum(sizes))
    shares = allocate(k, sizes)
    exact = [Fraction(k * size, sum(sizes)) for size in sizes]
    if k >= len(sizes) and min(exact) >= 1:
        assert all(abs(share - right) < 1 for share, right in zip(shares.tolist(), exact, strict=True))


def test_no_overflow_and_no_slowness_with_many_parts():
    shares = allocate(10**11, np.full(1000, 10**9), "sqrt")
    assert set(shares.tolist()) == {10**8}
    sizes = np.arange(1, 4001)
    assert allocate(10**6, sizes, "sqrt").sum() == 10**6


def test_ties_go_to_the_first_parts():
    assert allocate(5, [4, 4, 4]).tolist() == [2, 2, 1]
    assert allocate(1, [4, 4, 4]).tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("k", "sizes", "rule", "message"),
    [
        (1, [3], "evenly", "rule 'evenly' is unknown; known: equal, proportional, sqrt"),
        (4, [3], "equal", r"k = 4 is outside \[0, 3\]"),
        (-1, [3], "equal", r"k = -1 is outside"),
        (1, [3, -2], "equal", "part 1 has size -2"),
        (1, [[3]], "equal", r"shape \(1, 1\)"),
    ],
)
def test_allocate_refuses(k, sizes, rule, message):
    with pytest.raises(ManifestError, match=message):
        allocate(k, sizes, rule)


@pytest.mark.parametrize(
    ("fraction", "n", "k"), [(0.1, 60, 6), (0.1, 25, 3), (0.1, 24, 2), (1, 7, 7), (1e-9, 7, 0)]
)
def test_budget_rounds_half_up(fraction, n, k):
    assert budget(fraction, n) == k


@pytest.mark.parametrize("fraction", [0, -0.1, 1.0001, float("nan")])
def test_budget_refuses(fraction):
    with pytest.raises(ManifestError, match=r"outside \(0, 1\]"):
        budget(fraction, 10)
