"""The order stage: ranks of buckets merged in their partition, and the vectors of the rows of subsets."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from syllabus.pipeline.errors import ShardError
from syllabus.pipeline.stages.order.stage import OrderSubset, _merged_ranks
from syllabus.pipeline.work_directory import WorkDirectory, vectors_column


def test_ranks_of_buckets_are_merged_by_rank_then_bucket() -> None:
    partitions = np.array([0, 0, 0, 1, 0, 1], np.int32)
    buckets = np.array([1, 0, 0, 0, 1, 0], np.int32)
    ranks = np.array([0, 0, 1, 1, 1, 0], np.int32)
    # Partition 0: (0, bucket 0), (0, bucket 1), (1, bucket 0), (1, bucket 1); partition 1: its own order.
    assert _merged_ranks(partitions, ranks, buckets).tolist() == [1, 0, 2, 1, 3, 0]


def test_vectors_of_other_subsets_are_refused_and_removed(tmp_path: Path) -> None:
    work = WorkDirectory(str(tmp_path))
    for key, rows in (("k0", [2, 5]), ("k1", [7])):
        vectors = np.array([[row, 1] for row in rows], np.float32)
        work.write("chosen", key, pa.table({"index": pa.array(rows), "vector": vectors_column(vectors)}))
    selecting = SimpleNamespace(chosen_key=lambda bucket: f"k{bucket[1]}")
    ordering = OrderSubset(SimpleNamespace(selecting=selecting, dimension=2), work)  # type: ignore[arg-type]
    found = ordering._vectors([(0, 0), (0, 1)], np.array([5, 7]))
    assert found.tolist() == [[5, 1], [7, 1]]
    with pytest.raises(ShardError, match="1 rows of a subset are missing"):
        ordering._vectors([(0, 0), (0, 1)], np.array([3, 5, 7]))
    assert not work.keys("chosen")
