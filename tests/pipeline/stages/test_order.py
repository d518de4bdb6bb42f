"""The order stage: ranks of buckets merged in their partition."""

from __future__ import annotations

import numpy as np

from syllabus.pipeline.stages.order.stage import _merged_ranks


def test_ranks_of_buckets_are_merged_by_rank_then_bucket() -> None:
    partitions = np.array([0, 0, 0, 1, 0, 1], np.int32)
    buckets = np.array([1, 0, 0, 0, 1, 0], np.int32)
    ranks = np.array([0, 0, 1, 1, 1, 0], np.int32)
    # Partition 0: (0, bucket 0), (0, bucket 1), (1, bucket 0), (1, bucket 1); partition 1: its own order.
    assert _merged_ranks(partitions, ranks, buckets).tolist() == [1, 0, 2, 1, 3, 0]
