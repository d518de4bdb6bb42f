"""The select stage: budgets of buckets, and the quality of subsets."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syllabus.manifests import allocate, budget
from syllabus.pipeline.stages.commit.subsets import Overlap, subset_quality
from syllabus.pipeline.stages.select.parts import random_served, whole_of
from syllabus.pipeline.stages.select.subsets import bucket_budgets
from syllabus.selectors import GraphCut


@given(
    sizes=st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=4), min_size=1, max_size=6),
    fraction=st.floats(0.05, 1),
    rule=st.sampled_from(["proportional", "equal", "sqrt"]),
)
@settings(max_examples=150, deadline=None)
def test_buckets_share_the_budget_exactly(sizes: list[list[int]], fraction: float, rule: str) -> None:
    counts = {(p, b): rows for p, parts in enumerate(sizes) for b, rows in enumerate(parts)}
    total = sum(counts.values())
    shares = bucket_budgets(counts, fraction, rule)
    assert sum(shares.values()) == budget(fraction, total)
    assert all(0 <= shares[bucket] <= counts[bucket] for bucket in counts)
    by_partition = [sum(shares[p, b] for b in range(len(parts))) for p, parts in enumerate(sizes)]
    expected = allocate(budget(fraction, total), np.array([sum(parts) for parts in sizes]), rule)
    assert by_partition == expected.tolist()
    assert bucket_budgets(dict(reversed(counts.items())), fraction, rule) == shares


def test_normalised_gain_is_0_for_random_and_1_for_greedy() -> None:
    qualities = [
        {"greedy": 10.0, "random": 6.0, "upper_bound": 11.0, "subsets": [10.0, 6.0]},
        {"greedy": 5.0, "random": 3.0, "upper_bound": 6.0, "subsets": [5.0, 3.0]},
    ]
    chosen = Overlap(11, 2)
    for pieces in ([[1, 2], [3]], [[5, 3, 4]]):
        with chosen.subset() as add:
            for piece in pieces:
                add(np.array(piece))
    assert chosen.sizes == [3, 3]
    quality = subset_quality(qualities, chosen, 10)
    assert quality["normalised_gain"] == {"least": 0.0, "mean": 0.5}
    assert quality["upper_bound"] == 17.0
    assert quality["jaccard"] == pytest.approx(1 / 5)
    assert quality["covered"] == pytest.approx(0.5)
    flat = [{"greedy": 1.0, "random": 1.0, "upper_bound": None, "subsets": [1.0, 1.0]}]
    assert subset_quality(flat, chosen, 10)["normalised_gain"] is None


def test_what_a_bucket_resembles() -> None:
    counts = {(0, 0): 6, (0, 1): 2, (1, 0): 5}
    sums = {0: np.full(3, 2**33), 1: np.full(3, 2**30)}
    found = whole_of(sums, (0, 1), counts)
    assert found is not None
    assert (found[0].tolist(), found[1]) == ([2.0, 2.0, 2.0], 2.0)
    # All that the hash of ids left of its partition, though more buckets might have had some.
    assert whole_of(sums, (1, 0), counts) is None
    assert whole_of({}, (0, 0), counts) is None


def test_a_bound_on_rounding_reaches_the_last_place_of_a_gain() -> None:
    rows = np.random.default_rng(0).uniform(0.01, 0.1, (5, 4)).astype(np.float32)
    f = GraphCut(rows, similarity="dot", whole=(np.full(4, 1e10), 10.0))
    gains = f.state().gains(f.state().scores(np.arange(5)))
    assert f.rounding_bound() >= np.spacing(gains.max())


def test_serving_many_rows_takes_no_memory_for_each() -> None:
    served = np.random.default_rng(1).normal(size=(50_000, 4)).astype(np.float32)
    served /= np.linalg.norm(served, axis=1, keepdims=True)
    tracemalloc.start()
    value = random_served(served, 600)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 25e6
    few = [np.random.Generator(np.random.Philox(number)).permutation(50_000)[:600] for number in range(2)]
    best = [
        np.concatenate([(part @ served[each].T).max(axis=1) for part in np.split(served, 10)]) for each in few
    ]
    assert value == pytest.approx(np.mean([np.sum((1 + each) / 2) for each in best]), rel=1e-5)
