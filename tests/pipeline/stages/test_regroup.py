"""The regroup stage: buckets of rows."""

from __future__ import annotations

import numpy as np

from syllabus.pipeline.stages.regroup.buckets import kernel_bytes
from syllabus.pipeline.stages.regroup.stage import Layout
from syllabus.selectors import FacilityLocation


def test_buckets_follow_seed_and_id_and_are_even() -> None:
    layout = Layout(None, (8, 1), seed=3)
    names = [f"row {number}" for number in range(8000)]
    partitions = np.zeros(8000, np.int32)
    buckets = layout.bucket_of(names, partitions)
    counts = np.bincount(buckets, minlength=8)
    assert counts.min() > 850
    assert counts.max() < 1150
    assert np.array_equal(layout.bucket_of(names[::-1], partitions)[::-1], buckets)
    assert not np.array_equal(Layout(None, (8, 1), seed=4).bucket_of(names, partitions), buckets)
    assert layout.bucket_of(names[:5], np.ones(5, np.int32)).tolist() == [0] * 5


def test_a_ranking_is_given_the_memory_of_all_products() -> None:
    for rows in (100, 5000):
        vectors = np.ones((rows, 1), np.float32)
        assert FacilityLocation(vectors, memory_budget=kernel_bytes(rows)).capacity == rows
