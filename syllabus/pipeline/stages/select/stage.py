"""The select stage: easy subsets and the ranking behind the hard phase, one bucket at a time.

Greedy runs inside a bucket (`subsets.py`); a bucket's share of the budget follows from the units of all
of them, which come as a side input. The picks of a partition's buckets are merged by (rank in the bucket,
bucket).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from syllabus.pipeline.errors import UserError
from syllabus.pipeline.options import RANKED_BY, Options
from syllabus.pipeline.runtime.metrics import count_time
from syllabus.pipeline.runtime.torch_setup import limit_threads
from syllabus.pipeline.stages.guide import read_guide
from syllabus.pipeline.stages.partitions import partition_name
from syllabus.pipeline.stages.regroup.buckets import (
    Bucket,
    Reference,
    by_partition,
    read_references,
    read_weights,
)
from syllabus.pipeline.stages.select.sample_sizes import check_scores, check_sizes, score_of
from syllabus.pipeline.stages.select.subsets import choose
from syllabus.pipeline.work_directory import WorkDirectory, key_of, vectors_column
from syllabus.selectors import (
    DisparityMin,
    FacilityLocation,
    FacilityLocationConditionalGain,
    FacilityLocationMutualInformation,
    GraphCut,
    importances,
    maximize,
)


@dataclass(frozen=True)
class Selecting:
    """The options of the stage, and the keys of its shards."""

    options: Options
    groups: str
    """Digest of the regrouped vectors."""
    guide: str | None = None
    """Key of the rows that the objective compares with."""

    def subsets_key(self, bucket: Bucket) -> str:
        """Return the key of a bucket's share of the subsets."""
        recorded = self.options.recorded()
        read = ("objective", "trade_off", "optimizer", "epsilon", "subsets", "fraction", "budgets", "seed")
        inputs = {name: recorded[name] for name in read}
        if self.options.weight is not None:
            inputs["weight_power"] = self.options.weight_power
        if self.guide is not None:
            inputs["guide"] = self.guide
        return key_of("subsets", groups=self.groups, bucket=list(bucket), **inputs)

    def ranking_key(self, bucket: Bucket, function: str) -> str:
        """Return the key of a bucket's ranking by one function."""
        read: dict[str, Any] = {} if function == "disparity_min" else {"function": function}
        if function == "graph_cut":
            read["trade_off"] = self.options.trade_off
        return key_of("ranking", groups=self.groups, bucket=list(bucket), **read)

    def chosen_key(self, bucket: Bucket) -> str:
        """Return the key of the vectors of a bucket's chosen rows."""
        return "v" + self.subsets_key(bucket)

    @property
    def rankings(self) -> list[str]:
        """The functions that the importances need rankings by."""
        return sorted({RANKED_BY[importance.base] for importance in self.options.importances})

    def function(self, vectors: np.ndarray, guide: np.ndarray | None) -> Any:
        """Return the set function of the easy subsets over `vectors`, compared with those of `guide`."""
        objective = self.options.objective
        if objective == "graph_cut":
            return GraphCut(vectors, trade_off=self.options.trade_off)
        if objective == "facility_location":
            return FacilityLocation(vectors)
        if objective == "facility_location_mutual_information":
            return FacilityLocationMutualInformation(vectors, guide)
        return FacilityLocationConditionalGain(vectors, guide)


def kernel_bytes(rows: int) -> int:
    """Return what the products of all pairs of `rows` rows take, and a little more."""
    return 4 * rows * rows + (1 << 20)


def check_rankings(options: Options, largest: int) -> None:
    """Refuse a ranking that one worker cannot hold, for a largest bucket of about so many rows."""
    needed = kernel_bytes(largest) / 1e9
    if any(each.base == "facility_location" for each in options.importances) and (
        needed > options.memory_per_worker
    ):
        raise UserError(
            f"importance=facility_location: the products of a bucket of {largest:,} examples take"
            f" {needed:.2g} GB; memory_per_worker is {options.memory_per_worker:g} GB. Raise it, or lower"
            f" bucket_size ({options.bucket_size:,})"
        )


class SelectBuckets(beam.DoFn):
    """Selects inside a bucket; yields it when its shards are there."""

    def __init__(self, selecting: Selecting, labels: tuple[str | None, ...], work: WorkDirectory) -> None:
        self.selecting, self.labels, self.work = selecting, labels, work

    def process(
        self, element: tuple[Bucket, Iterable[Reference]], counts: dict[Bucket, int], units: dict[Bucket, int]
    ) -> Iterator[Bucket]:
        """Write the bucket's shards unless they are there; the units of all buckets divide the budget."""
        bucket, found = element[0], list(element[1])
        selecting, work = self.selecting, self.work
        # Before any is ranked: some partition may be too small for an effective sample size.
        names = ((self._name(partition), rows) for partition, rows in by_partition(counts).items())
        check_sizes(selecting.options, names)
        limit_threads(selecting.options.threads_per_worker)
        subsets = selecting.options.subset_count and not (
            work.has("subsets", selecting.subsets_key(bucket))
            and work.has("chosen", selecting.chosen_key(bucket))
        )
        rankings = [
            function
            for function in selecting.rankings
            if not work.has("ranking", selecting.ranking_key(bucket, function))
        ]
        if subsets or rankings:
            index, vectors = read_references(work, found)
            for function in rankings:
                with count_time("ranking"):
                    table = rank(function, index, vectors, selecting.options.trade_off)
                    work.write("ranking", selecting.ranking_key(bucket, function), table)
        self._check_scores(bucket, counts)
        if subsets:
            with count_time("subsets"):
                weighted = selecting.options.weight is not None
                costs = read_weights(work, found) if weighted else None
                self._write_subsets(bucket, index, vectors, units, costs)
        yield bucket

    def _check_scores(self, bucket: Bucket, counts: dict[Bucket, int]) -> None:
        """Refuse an effective sample size that a partition does not allow, where this bucket is all of it."""
        alone = sum(partition == bucket[0] for partition, _ in counts) == 1
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
    ) -> None:
        function = self.selecting.function(vectors, read_guide(self.work, self.selecting.guide))
        table, quality = choose(self.selecting.options, function, bucket, index, units, costs)
        chosen = np.unique(table.column("index").to_numpy())
        rows = np.searchsorted(index, chosen)
        picked = pa.table({"index": pa.array(chosen), "vector": vectors_column(vectors[rows])})
        # The vectors first: the subsets' shard is what says that both are there.
        self.work.write("chosen", self.selecting.chosen_key(bucket), picked)
        self.work.write("subsets", self.selecting.subsets_key(bucket), table, quality)


class Select(beam.PTransform):
    """Selects inside all buckets, from (bucket, reference); gives every bucket."""

    def __init__(self, select: SelectBuckets, rows: beam.PCollection, units: beam.PCollection) -> None:
        super().__init__()
        self.select, self.sizes = select, [beam.pvalue.AsDict(rows), beam.pvalue.AsDict(units)]

    def expand(self, references: beam.PCollection) -> beam.PCollection:
        """Give each bucket to one worker, which knows the rows and units of all."""
        return references | beam.GroupByKey() | beam.ParDo(self.select, *self.sizes)


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
