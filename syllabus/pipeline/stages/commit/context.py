"""The context of the commit: everything that the stages have made."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syllabus.pipeline.options import Options
from syllabus.pipeline.stages.census import Census
from syllabus.pipeline.stages.guide import Guide
from syllabus.pipeline.stages.neighbours.findings import Findings
from syllabus.pipeline.stages.order.stage import Ordering
from syllabus.pipeline.stages.plan import Plan
from syllabus.pipeline.stages.regroup.buckets import Bucket, Group, references
from syllabus.pipeline.stages.regroup.stage import Layout
from syllabus.pipeline.work_directory import WorkDirectory

PIECE = 131_072
"""Rows of a table that are written at once."""


@dataclass(frozen=True)
class Buckets:
    """The buckets that have any rows, ascending, with what each holds."""

    rows: dict[Bucket, int]
    units: dict[Bucket, int]
    """What budgets count: the rows, or what they weigh."""

    def of_partitions(self) -> dict[int, list[Bucket]]:
        """Return the buckets of each partition that has any rows."""
        held: dict[int, list[Bucket]] = {}
        for bucket in self.rows:
            held.setdefault(bucket[0], []).append(bucket)
        return held


@dataclass(frozen=True)
class CommitContext:
    """The options, the results of the stages, and the keys of the shards that become a manifest."""

    options: Options
    plan: Plan
    census: Census
    layout: Layout
    groups: list[Group]
    ordering: Ordering
    work: WorkDirectory
    found: Findings
    guide: Guide | None

    @cached_property
    def index(self) -> NDArray[np.signedinteger[Any]]:
        """The (n,) ascending indices of the accepted rows; 4 bytes an example, once the commit has begun."""
        return self.census.rows(self.plan, self.work).index(self.census.accepted)

    def buckets(self) -> Buckets:
        """Return what each bucket holds, from the footers of the regrouped shards."""
        rows: Counter[Bucket] = Counter()
        units: Counter[Bucket] = Counter()
        for group in self.groups:
            for bucket, reference in references(self.work, group.key):
                rows[bucket] += reference.rows
                units[bucket] += reference.units
        return Buckets(dict(sorted(rows.items())), dict(sorted(units.items())))

    def shards(self) -> set[tuple[str, str]]:
        """Return (stage, key) of every shard from regroup on.

        Until it is known which buckets have rows, those of all buckets that may have any.
        """
        shards = {("regroup", group.key) for group in self.groups}
        regrouped = shards <= {("regroup", key) for key in self.work.keys("regroup")}
        selecting = self.ordering.selecting
        for bucket in self.buckets().rows if regrouped else self.layout.all_buckets():
            if self.options.subset_count:
                shards.add(("subsets", selecting.subsets_key(selecting.holder(bucket))))
            shards |= {("ranking", selecting.ranking_key(bucket, name)) for name in selecting.rankings}
        if self.options.subset_count:
            divided = [number for number, count in enumerate(self.layout.buckets) if count > 1]
            if regrouped:
                held = self.buckets().of_partitions()
                divided = [number for number, parts in held.items() if len(parts) > 1]
            shards |= {("parts", selecting.parts_key(number)) for number in divided}
        shards |= {("order", self.ordering.subset_key(*each)) for each in self.ordering.subsets()}
        if self.options.order != "none":
            shards.add(("order", self.ordering.full_key()))
        return shards
