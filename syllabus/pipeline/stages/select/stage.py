"""The select stage: easy subsets and the ranking behind the hard phase, one bucket at a time.

Greedy runs inside a bucket (`subsets.py`); a bucket's share of the budget follows from the units of all
of them, which come as a side input. The picks of a partition's buckets are merged by (rank in the bucket,
bucket).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from syllabus.pipeline.errors import working_on
from syllabus.pipeline.options import RANKED_BY
from syllabus.pipeline.runtime.metrics import count_time
from syllabus.pipeline.runtime.torch_setup import limit_threads
from syllabus.pipeline.stages.guide import read_guide
from syllabus.pipeline.stages.partitions import partition_name
from syllabus.pipeline.stages.regroup.buckets import (
    Bucket,
    Reference,
    by_partition,
    kernel_bytes,
    read_references,
    read_weights,
)
from syllabus.pipeline.stages.select.parts import JoinParts, whole_of, write_chosen, write_sample
from syllabus.pipeline.stages.select.sample_sizes import check_scores, check_sizes, score_of
from syllabus.pipeline.stages.select.selecting import Selecting, Whole
from syllabus.pipeline.stages.select.subsets import bucket_budgets, choose
from syllabus.pipeline.work_directory import WorkDirectory
from syllabus.selectors import (
    DisparityMin,
    FacilityLocation,
    GraphCut,
    importances,
    maximize,
)


class SelectBuckets(beam.DoFn):
    """Selects inside a bucket; yields it when its shards are there."""

    def __init__(
        self, selecting: Selecting, labels: tuple[str | None, ...], work: WorkDirectory, ordered: bool
    ) -> None:
        self.selecting, self.labels, self.work, self.ordered = selecting, labels, work, ordered

    def process(
        self,
        element: tuple[Bucket, Iterable[Reference]],
        counts: dict[Bucket, int],
        units: dict[Bucket, int],
        sums: dict[int, np.ndarray],
    ) -> Iterator[Bucket]:
        """Write the bucket's shards unless they are there.

        The units of all buckets divide the budget, and the sums of partitions are what its buckets resemble.
        """
        bucket, found = element[0], list(element[1])
        with working_on(f"{self._name(bucket[0])}, bucket {bucket[1]}"):
            self._make(bucket, found, counts, units, whole_of(sums, bucket, counts))
        yield bucket

    def _make(
        self,
        bucket: Bucket,
        found: list[Reference],
        counts: dict[Bucket, int],
        units: dict[Bucket, int],
        whole: Whole | None,
    ) -> None:
        selecting, work = self.selecting, self.work
        # Before any is ranked: some partition may be too small for an effective sample size.
        sizes = by_partition(counts)
        names = ((self._name(partition), rows) for partition, rows in sizes.items())
        check_sizes(selecting.options, names)
        limit_threads(selecting.options.threads_per_worker)
        united = bucket[0] in selecting.united
        subsets = (
            selecting.options.subset_count
            and not united
            and not work.has("subsets", selecting.subsets_key(bucket))
        )
        chosen = not united and selecting.lacks_chosen(work, bucket, self.ordered)
        rankings = [
            function
            for function in selecting.rankings
            if not work.has("ranking", selecting.ranking_key(bucket, function))
        ]
        divided = united or (self.several(bucket, counts) and bool(selecting.options.subset_count))
        sample = divided and not work.has("parts", selecting.sample_key(bucket))
        if subsets or rankings or sample or chosen:
            index, vectors = read_references(work, found)
            for function in rankings:
                with count_time("ranking"):
                    table = rank(function, index, vectors, selecting.options.trade_off)
                    work.write("ranking", selecting.ranking_key(bucket, function), table)
        if sample:
            with count_time("parts"):
                write_sample(work, selecting, bucket, index, vectors, counts, whole)
        self._check_scores(bucket, counts)
        if subsets:
            with count_time("subsets"):
                weighted = selecting.options.weight is not None
                costs = read_weights(work, found) if weighted else None
                self._write_subsets(bucket, index, vectors, units, costs, whole)
        if chosen:
            write_chosen(work, selecting, bucket, index, vectors)

    @staticmethod
    def several(bucket: Bucket, counts: dict[Bucket, int]) -> bool:
        """Whether the bucket's partition has others."""
        return sum(partition == bucket[0] for partition, _ in counts) > 1

    def _check_scores(self, bucket: Bucket, counts: dict[Bucket, int]) -> None:
        """Refuse an effective sample size that a partition does not allow, where this bucket is all of it."""
        alone = not self.several(bucket, counts)
        for importance in self.selecting.options.importances:
            if alone and importance.ess is not None:
                key = self.selecting.ranking_key(bucket, RANKED_BY[importance.base])
                scores = score_of(importance.base, self.work.read("ranking", key))
                check_scores(importance, self._name(bucket[0]), scores)

    def _name(self, partition: int) -> str:
        return partition_name(partition, self.labels[partition])

    def _write_subsets(
        self,
        bucket: Bucket,
        index: np.ndarray,
        vectors: np.ndarray,
        units: dict[Bucket, int],
        costs: np.ndarray | None,
        whole: Whole | None,
    ) -> None:
        function = self.selecting.function(vectors, read_guide(self.work, self.selecting.guide), whole)
        options = self.selecting.options
        shares = [bucket_budgets(units, fraction, options.budgets)[bucket] for fraction in options.fraction]
        table, quality = choose(options, function, bucket, index, shares, costs)
        self.work.write("subsets", self.selecting.subsets_key(bucket), table, quality)


class Select(beam.PTransform):
    """Selects inside all buckets, from (bucket, reference); gives every bucket."""

    def __init__(
        self,
        select: SelectBuckets,
        rows: beam.PCollection,
        units: beam.PCollection,
        sums: beam.PCollection,
    ) -> None:
        super().__init__()
        self.select, self.sizes = select, [beam.pvalue.AsDict(each) for each in (rows, units, sums)]
        self.join = JoinParts(select.selecting, select.work, select.ordered)

    def expand(self, references: beam.PCollection) -> beam.PCollection:
        """Give each bucket to one worker, which knows the sizes of all, and then each partition."""
        buckets = references | beam.GroupByKey() | beam.ParDo(self.select, *self.sizes)
        partitions = buckets | beam.Map(_by_partition) | "By partition" >> beam.GroupByKey()
        return partitions | beam.ParDo(self.join, *self.sizes)


def _by_partition(bucket: Bucket) -> tuple[int, Bucket]:
    return bucket[0], bucket


def rank(name: str, index: np.ndarray, vectors: np.ndarray, trade_off: float) -> pa.Table:
    """Return all rows of a bucket in the order of a function's greedy, with its gains.

    Disparity-min's order is farthest-first; its table also has the radii at which rows were inserted.
    """
    if name == "disparity_min":
        selection = maximize(DisparityMin(vectors), len(index), optimizer="naive")
        more = {"radius": importances.insertion_radii(selection.gains)}
    else:
        function: Any = GraphCut(vectors, trade_off=trade_off)
        if name == "facility_location":
            # All of the kernel: a ranking of all rows without it would compute it again and again.
            function = FacilityLocation(vectors, memory_budget=kernel_bytes(len(index)))
        selection, more = maximize(function, len(index), optimizer="lazy"), {}
    return pa.table({"index": index[selection.indices], "gain": selection.gains, **more})
