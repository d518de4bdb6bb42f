"""What the draws are made of: keyed noise, budgets of slices, draws without replacement by weight."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syllabus.trainer import counter_rng
from syllabus.trainer.curriculum.strata import CountedStrata, apportion, by_partition

relations = settings(deadline=None, max_examples=60, derandomize=True)


def test_inclusion_in_weighted_draws_equals_brute_force():
    p, k, draws = np.array([0.45, 0.25, 0.15, 0.1, 0.05]), 3, 20_000
    expected = np.zeros(5)
    for picks in itertools.permutations(range(5), k):
        left, chance = 1.0, 1.0
        for pick in picks:
            chance *= p[pick] / left
            left -= p[pick]
        expected[list(picks)] += chance
    members = np.arange(5)
    strata = CountedStrata(*by_partition(members, np.zeros(5, np.int64), 1))
    times = np.zeros(5)
    for draw in range(draws):
        noisy = np.log(p) + counter_rng.gumbel(counter_rng.key(0, "weighted", draw), members)
        times[strata.smallest(-noisy, np.array([k]))] += 1
    assert np.abs(times / draws - expected).max() < 4 * np.sqrt(0.25 / draws)


def apportioned(seats: int, sizes: np.ndarray) -> np.ndarray:
    """By the definition: the seats of the earliest moments, ties to the smallest part."""
    moments = sorted(((rank + 0.5) / size, part) for part, size in enumerate(sizes) for rank in range(size))
    return np.bincount([part for _, part in moments[:seats]], minlength=len(sizes))


@relations
@given(sizes=st.lists(st.integers(0, 60), min_size=1, max_size=30).filter(sum), data=st.data())
def test_apportion_sums_exactly_never_takes_back_and_fills_everything(sizes, data):
    sizes = np.array(sizes)
    n = int(sizes.sum())
    seats = data.draw(st.integers(0, n))
    counts = apportion(seats, sizes)
    assert counts.sum() == seats
    assert (counts <= sizes).all()
    np.testing.assert_array_equal(counts, apportioned(seats, sizes))
    np.testing.assert_array_equal(apportion(n, sizes), sizes)
    if seats < n:
        assert (apportion(seats + 1, sizes) >= counts).all()


@pytest.mark.parametrize("seats", range(0, 301, 20))
def test_apportion_where_many_small_parts_round_together(seats):
    sizes = np.array([200, *[1] * 100])
    np.testing.assert_array_equal(apportion(seats, sizes), apportioned(seats, sizes))


@relations
@given(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, max_size=50), st.integers(0, 2**70))
def test_different_counters_never_collide(counters, seed):
    words = counter_rng.random_uint64(counter_rng.key(seed, "test"), np.array(counters, np.int64))
    assert len(np.unique(words)) == len(counters)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 1000, 70_000])
def test_permutations_are_the_order_of_the_words(n):
    key, counters = counter_rng.key(1, "p"), np.random.default_rng(0).permutation(3 * n)[:n]
    np.testing.assert_array_equal(
        counter_rng.permutation(key, n), np.argsort(counter_rng.random_uint64(key, np.arange(n)))
    )
    sorted_by_word = counters[np.argsort(counter_rng.random_uint64(key, counters))]
    np.testing.assert_array_equal(counter_rng.permuted(key, counters), sorted_by_word)
    assert counter_rng.permuted(key, counters).dtype == np.int64


def test_words_whose_fronts_meet_are_told_apart_by_the_rest(monkeypatch):
    # All words in few fronts, so that only their last bits, which the places take, tell them apart.
    def crowded(key, counters):
        return hashed(key, counters) & np.uint64(0xC000000000000FFF)

    hashed = counter_rng._random_uint64
    monkeypatch.setattr(counter_rng, "_random_uint64", crowded)
    monkeypatch.setattr(counter_rng, "CHUNK", 64)
    for seed in range(20):
        key = counter_rng.key(seed, "ties")
        counters = np.random.default_rng(seed).permutation(5000)[:40]
        words = counter_rng.random_uint64(key, counters)
        if len(np.unique(words)) == len(words):
            np.testing.assert_array_equal(counter_rng.permuted(key, counters), counters[np.argsort(words)])


@relations
@given(st.lists(st.integers(0, 9), min_size=1, max_size=200))
def test_strata_hold_every_example_by_partition_in_ascending_order(partitions):
    owner = np.array(partitions, np.int32)
    examples = np.arange(len(owner)) * 3 + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("syllabus.trainer.curriculum.strata.CHUNK", 16)
        strata = CountedStrata(*by_partition(examples, owner, 10))
    order = np.argsort(owner, kind="stable")
    np.testing.assert_array_equal(strata.members, examples[order])
    np.testing.assert_array_equal(strata.sizes, np.bincount(owner, minlength=10))
    np.testing.assert_array_equal(examples, np.arange(len(owner)) * 3 + 1)


def test_noise_depends_on_every_part_of_its_key_and_is_uniform():
    counters = np.arange(100_000)
    base = counter_rng.random_uint64(counter_rng.key(1, "a", 2), counters)
    for other in [(1, "a", 3), (2, "a", 2), (1, "b", 2), (1, "a2"), ("1", "a", 2)]:
        assert not (counter_rng.random_uint64(counter_rng.key(*other), counters) == base).any()
    observed = np.bincount((base >> np.uint64(56)).astype(int), minlength=256)
    expected = len(counters) / 256
    assert ((observed - expected) ** 2 / expected).sum() < 330  # 255 degrees of freedom, p = .001
    gumbel = counter_rng.gumbel(counter_rng.key(1, "a", 2), counters)
    assert np.isfinite(gumbel).all()
    assert abs(gumbel.mean() - np.euler_gamma) < 0.02
