"""Orders interleaved: every prefix holds its share of each, and small sums stay small."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syllabus.selectors import SelectionError, herding


@given(sizes=st.lists(st.integers(0, 30), min_size=1, max_size=6), seed=st.integers(0, 10**6))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_every_prefix_holds_nearly_its_share_of_each_order(sizes, seed) -> None:
    n = sum(sizes)
    names = np.random.default_rng(seed).permutation(n)
    orders = np.split(names, np.cumsum(sizes)[:-1])
    joined = herding.interleave(orders)
    assert sorted(joined.tolist()) == list(range(n))
    for order in orders:
        where = np.isin(joined, order)
        assert joined[where].tolist() == order.tolist()
        # Half by its own rounding, and the length of the prefix by half for each order.
        share = np.arange(1, n + 1) * len(order) / max(n, 1)
        assert (np.abs(np.cumsum(where) - share) <= 1 + len(sizes) / 2).all()


def test_a_short_order_lies_in_the_middle_of_a_long_one() -> None:
    assert herding.interleave([np.array([9]), np.array([1, 2, 3, 4])]).tolist() == [1, 2, 9, 3, 4]
    assert herding.interleave([np.array([9, 8]), np.array([1, 2])]).tolist() == [9, 1, 8, 2]


def test_what_is_joined_keeps_small_sums_small() -> None:
    rows = np.random.default_rng(0).standard_normal((4000, 8)).astype(np.float32)
    rows[:1000] += 3
    parts = np.split(np.arange(4000), [1000, 1700, 3200])
    orders = [part[herding.balance(rows[part])] for part in parts]
    own = [herding.discrepancy(rows[part], herding.balance(rows[part])).l2 for part in parts]
    means = [np.linalg.norm(rows[part].mean(axis=0) - rows.mean(axis=0)) for part in parts]
    assert herding.discrepancy(rows, herding.interleave(orders)).l2 <= sum(own) + sum(means) / 2 + 1e-9


def test_no_order_at_all_is_an_error() -> None:
    with pytest.raises(SelectionError, match=r"^interleave: orders is empty"):
        herding.interleave([])
