"""What the select stage reads: its options, the keys of its shards, and the set function of easy subsets."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from syllabus.pipeline.options import RANKED_BY, Options
from syllabus.pipeline.stages.regroup.buckets import Bucket, kernel_rows
from syllabus.pipeline.stages.regroup.stage import Layout
from syllabus.pipeline.stages.select.losses import NEAREST
from syllabus.pipeline.work_directory import WorkDirectory, key_of
from syllabus.selectors import (
    FacilityLocation,
    FacilityLocationConditionalGain,
    FacilityLocationMutualInformation,
    GraphCut,
)

_WITH_KERNEL = ("facility_location", "facility_location_conditional_gain")
"""Objectives that hold the similarities of all rows of a bucket where they can."""
UNION = 2**31 - 1
"""The number of the bucket that stands for all of a partition whose buckets are selected from together."""
OVERSAMPLING = 6.0
"""Times its share of the largest budget that a bucket of such a partition keeps."""
SERVED, SERVED_A_PICK = 65_536, 16
"""Rows of such a partition that facility location serves, about, and for each row of the largest budget.

Picks that serve fewer rows each suit these and no others: with 2 a pick .4 of the gain is left, with 4 .7,
with 8 .95 and with 16 all.
"""
NEIGHBOUR_BYTES = 48
"""Of a row kept that a served row may be served by, while they are found."""


Whole = tuple[np.ndarray, float]
"""The sum of some vectors, (d,), and their number."""


@dataclass(frozen=True)
class Selecting:
    """The options of the stage, and the keys of its shards."""

    options: Options
    groups: str
    """Digest of the regrouped vectors."""
    guide: str | None = None
    """Key of the rows that the objective compares with."""

    united: dict[int, int] = field(default_factory=dict)
    """Partitions whose buckets keep rows, from all of which the subsets are chosen; rows served of each."""

    def holder(self, bucket: Bucket) -> Bucket:
        """Return the bucket whose shards have the subsets of this one."""
        return (bucket[0], UNION) if bucket[0] in self.united else bucket

    def subsets_key(self, bucket: Bucket) -> str:
        """Return the key of a bucket's share of the subsets."""
        recorded = self.options.recorded()
        read = ("objective", "trade_off", "optimizer", "epsilon", "subsets", "fraction", "budgets", "seed")
        inputs = {name: recorded[name] for name in read}
        if self.options.weight is not None:
            inputs["weight_power"] = self.options.weight_power
        if self.guide is not None:
            inputs["guide"] = self.guide
        if (rows := self.kernel_limit) is not None:
            inputs["kernel_rows"] = rows
        served = 0
        if bucket[0] in self.united:
            served = self.united[bucket[0]]
            inputs["united"] = [OVERSAMPLING, served]
        elif self.united and bucket == (-1, -1):
            served = max(self.united.values())
            inputs["united"] = [OVERSAMPLING, *map(list, sorted(self.united.items()))]
        if served and self.neighbours_held(served) < 1.1 * NEAREST:  # more rows may be drawn
            inputs["memory_per_worker"] = self.options.memory_per_worker
        return key_of("subsets", groups=self.groups, bucket=list(bucket), **inputs)

    @property
    def kernel_limit(self) -> int | None:
        """The most rows whose similarities a worker holds all; None where buckets are no larger, about.

        Of more rows subsets are the same, and no upper bound is known of what any could reach.
        """
        if self.options.objective not in _WITH_KERNEL:
            return None
        rows = kernel_rows(int(self.options.memory_per_worker * 1e9))
        return rows if rows < 1.1 * self.options.bucket_size else None

    def neighbours_held(self, served: int) -> int:
        """Return how many neighbours of each of so many rows a worker holds."""
        return int(self.options.memory_per_worker * 1e9 / 2) // (NEIGHBOUR_BYTES * served)

    def sample_key(self, bucket: Bucket) -> str:
        """Return the key of a bucket's part of the sample of a partition that has several."""
        read = bucket[0] in self.united or self.certified
        inputs = self._read_of_parts() if read else {"seed": self.options.seed}
        if bucket[0] in self.united:
            inputs["united"] = [OVERSAMPLING, self.united[bucket[0]]]
        return key_of("parts", groups=self.groups, bucket=list(bucket), **inputs)

    def parts_key(self, partition: int) -> str:
        """Return the key of what selecting from a partition's buckets apart loses."""
        inputs = self._read_of_parts()
        if partition in self.united:
            inputs["united"] = [OVERSAMPLING, self.united[partition]]
        return key_of("parts", groups=self.groups, partition=partition, **inputs)

    def _read_of_parts(self) -> dict[str, Any]:
        recorded = self.options.recorded()
        read = ("objective", "trade_off", "fraction", "budgets", "seed")
        inputs = {name: recorded[name] for name in read}
        return inputs if self.guide is None else {**inputs, "guide": self.guide}

    def ranking_key(self, bucket: Bucket, function: str) -> str:
        """Return the key of a bucket's ranking by one function."""
        read: dict[str, Any] = {} if function == "disparity_min" else {"function": function}
        if function == "graph_cut":
            read["trade_off"] = self.options.trade_off
        return key_of("ranking", groups=self.groups, bucket=list(bucket), **read)

    def chosen_key(self, bucket: Bucket) -> str:
        """Return the key of the vectors of a bucket's chosen rows."""
        return "v" + self.subsets_key(bucket)

    def lacks_chosen(self, work: WorkDirectory, bucket: Bucket, ordered: bool) -> bool:
        """Whether the vectors of a bucket's chosen rows are missing, which unordered subsets need."""
        return (
            bool(self.options.subset_count)
            and not ordered
            and not work.has("chosen", self.chosen_key(bucket))
        )

    @property
    def rankings(self) -> list[str]:
        """The functions that the importances need rankings by."""
        return sorted({RANKED_BY[importance.base] for importance in self.options.importances})

    @property
    def certified(self) -> bool:
        """Whether what parts keep is known from their picks: else it is tried out on a sample."""
        return self.options.objective == "graph_cut"

    def function(self, vectors: np.ndarray, guide: np.ndarray | None, whole: Whole | None = None) -> Any:
        """Return the set function of the easy subsets over `vectors`, compared with those of `guide`.

        Graph cut over a part of a partition resembles the whole of it, given as `GraphCut` has it. Of the
        part alone, parts would each make up for what is by chance rare in it.
        """
        objective = self.options.objective
        if objective == "graph_cut":
            return GraphCut(vectors, trade_off=self.options.trade_off, whole=whole)
        if objective == "facility_location_mutual_information":
            assert guide is not None
            # As many as there are: what a worker cannot hold was refused (`check_guide`).
            return FacilityLocationMutualInformation(
                vectors, guide, memory_budget=8 * len(vectors) * len(guide)
            )
        # A few kernel rows at least, whatever the memory.
        held = max(int(self.options.memory_per_worker * 1e9), 512 * len(vectors))
        if objective == "facility_location":
            return FacilityLocation(vectors, memory_budget=held)
        return FacilityLocationConditionalGain(vectors, guide, memory_budget=held)


def united_partitions(options: Options, layout: Layout, accepted: int, dimension: int) -> dict[int, int]:
    """Return the partitions of several buckets whose subsets are chosen from what all of them keep.

    For facility location, since buckets like one another have the same best rows, and what one bucket picks
    says nothing to the next. As far as a worker holds the rows kept and those served, whose number is given
    of each; budgets that count weights are left to the buckets, and so are all without faiss.
    """
    chosen = options.objective == "facility_location" and options.subset_count and options.weight is None
    if not chosen or importlib.util.find_spec("faiss") is None:
        return {}
    # They are held about four times while they are sorted and put apart.
    most = int(options.memory_per_worker * 1e9 / 4) // (4 * dimension)
    fraction = max(options.fraction)
    found = {}
    for number, (size, count) in enumerate(zip(layout.sizes(accepted), layout.buckets, strict=True)):
        served = min(size, max(SERVED, math.ceil(SERVED_A_PICK * fraction * size)))
        if count > 1 and min(1.0, OVERSAMPLING * fraction) * size + served <= most:
            found[number] = served
    return found
