"""Regroup, select and order as one Beam pipeline.

groups ─ Regroup ─┬─ GroupByKey(bucket) ─ Select ─ all buckets ─ subsets ─ Order
                  ├─ counts, and weights where rows have them: side inputs of Select
                  ├─ all references ─ Order the whole data
                  └─ or, too large for a worker: GroupByKey(part) ─ Order parts ─ Interleave
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import apache_beam as beam

from syllabus.pipeline.stages.order.interleaved import Interleave, OrderParts, ToParts
from syllabus.pipeline.stages.order.stage import OrderAll, Ordering, OrderSubsets
from syllabus.pipeline.stages.regroup.buckets import Bucket, Group, Reference
from syllabus.pipeline.stages.regroup.stage import RegroupUnits
from syllabus.pipeline.stages.select.stage import SelectBuckets
from syllabus.pipeline.work_directory import Work


def build(
    pipeline: beam.Pipeline, groups: list[Group], regroup: RegroupUnits, ordering: Ordering, work: Work
) -> None:
    """Add the stages after embed to a pipeline; what is already in the work directory is passed over."""
    references = (
        pipeline
        | "Groups" >> beam.Create(groups, reshuffle=False)
        | "Spread groups" >> beam.Reshuffle()
        | "Regroup" >> beam.ParDo(regroup)
    )
    counts = references | "Rows" >> beam.MapTuple(_rows) | "Count" >> beam.CombinePerKey(sum)
    sizes = [counts]
    if ordering.options.weight is not None:
        sizes.append(references | "Units" >> beam.MapTuple(_units) | "Weigh" >> beam.CombinePerKey(sum))
    selected = (
        references
        | "By bucket" >> beam.GroupByKey()
        | "Select"
        >> beam.ParDo(
            SelectBuckets(ordering.selecting, regroup.layout.labels, work),
            *(beam.pvalue.AsDict(held) for held in sizes),
        )
    )
    if ordering.apart(ordering.rows):
        _ = (
            references
            | "To parts" >> beam.ParDo(ToParts(ordering), beam.pvalue.AsDict(counts))
            | "By part" >> beam.GroupByKey()
            | "Order parts" >> beam.ParDo(OrderParts(ordering, work))
            | "Gather orders" >> beam.GroupByKey()
            | "Interleave" >> beam.ParDo(Interleave(ordering, work))
        )
    elif ordering.options.order != "none":
        _ = (
            references
            | "All references" >> beam.MapTuple(_together)
            | "Gather references" >> beam.GroupByKey()
            | "Order all" >> beam.ParDo(OrderAll(ordering, work))
        )
    if ordering.subsets():
        _ = (
            selected
            | "All buckets" >> beam.MapTuple(_together_bucket)
            | "Gather buckets" >> beam.GroupByKey()
            | "Subsets" >> beam.FlatMap(_subsets, ordering.subsets())
            | "Spread subsets" >> beam.Reshuffle()
            | "Order subsets" >> beam.ParDo(OrderSubsets(ordering, work))
        )


def _rows(bucket: Bucket, reference: Reference) -> tuple[Bucket, int]:
    return bucket, reference.rows


def _units(bucket: Bucket, reference: Reference) -> tuple[Bucket, int]:
    return bucket, reference.units


def _together(bucket: Bucket, reference: Reference) -> tuple[int, Reference]:  # noqa: ARG001
    return 0, reference


def _together_bucket(bucket: Bucket, one: int) -> tuple[int, Bucket]:  # noqa: ARG001
    return 0, bucket


def _subsets(
    element: tuple[int, Iterable[Bucket]], subsets: list[tuple[int, int]]
) -> Iterator[tuple[int, int, list[Bucket]]]:
    buckets = sorted(element[1])
    for fraction, subset in subsets:
        yield fraction, subset, buckets
