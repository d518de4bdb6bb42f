"""Regroup, select and order as one Beam pipeline.

groups ─ Regroup ─┬─ Select, beside rows, units and sums of all buckets ─ all buckets ─ OrderSubsets
                  ├─ OrderAll
                  └─ or, too large for a worker, OrderInParts
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import numpy as np

from syllabus.pipeline.runtime.for_each import ForEach
from syllabus.pipeline.stages.order.interleaved import OrderInParts
from syllabus.pipeline.stages.order.stage import OrderAll, Ordering, OrderSubsets
from syllabus.pipeline.stages.regroup.buckets import Bucket, Group, Reference
from syllabus.pipeline.stages.regroup.stage import RegroupChunks
from syllabus.pipeline.stages.select.stage import Select, SelectBuckets


class SelectAndOrder(beam.PTransform):
    """The stages after embed; what is already in the work directory is passed over."""

    def __init__(self, groups: list[Group], regroup: RegroupChunks, ordering: Ordering) -> None:
        super().__init__()
        self.groups, self.regroup, self.ordering = groups, regroup, ordering

    def expand(self, pipeline: beam.Pipeline) -> list[beam.PCollection]:
        """Start from the groups; the results are in the work directory."""
        ordering, work = self.ordering, self.regroup.rows.work
        regroup = ForEach(self.groups, self.regroup, beside=RegroupChunks.SUMS)
        references, sums = pipeline | "Regroup" >> regroup
        sums |= "Sum partitions" >> beam.CombinePerKey(_added)
        rows = references | "Rows" >> beam.MapTuple(_rows) | "Count rows" >> beam.CombinePerKey(sum)
        units = references | "Units" >> beam.MapTuple(_units) | "Count units" >> beam.CombinePerKey(sum)
        ordered = ordering.subsets_ordered(work)
        select = SelectBuckets(ordering.selecting, self.regroup.layout.labels, work, ordered)
        ends = [references | Select(select, rows, units, sums)]
        if ordering.subsets():
            ends.append(ends[0] | OrderSubsets(ordering, work))
        if ordering.apart(ordering.rows):
            ends.append(references | OrderInParts(ordering, work, rows))
        elif ordering.options.order != "none":
            ends.append(references | OrderAll(ordering, work))
        return ends


def _rows(bucket: Bucket, reference: Reference) -> tuple[Bucket, int]:
    return bucket, reference.rows


def _units(bucket: Bucket, reference: Reference) -> tuple[Bucket, int]:
    return bucket, reference.units


def _added(sums: Iterable[np.ndarray]) -> Any:
    """Whole numbers, so that the order does not matter; 0 of none."""
    return sum(sums)
