"""The select stage: easy subsets and the ranking behind the hard phase, one bucket at a time.

Greedy runs inside a bucket; a bucket's share of the budget follows from the sizes of all of them, which
come as a side input. The picks of a partition's buckets are merged by (rank in the bucket, bucket).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from syllabus.manifests.budgets import allocate, budget
from syllabus.pipeline.busy import busy
from syllabus.pipeline.options import Options
from syllabus.pipeline.regroup import Bucket, Reference, read_references
from syllabus.pipeline.threads import limit_threads
from syllabus.pipeline.work import Work, key_of, vectors_column
from syllabus.selectors import (
    DisparityMin,
    FacilityLocation,
    GraphCut,
    explore,
    importances,
    maximize,
    random_value,
)

RANDOM_DRAWS = 20


@dataclass(frozen=True)
class Selecting:
    """The options of the stage, and the keys of its shards."""

    options: Options
    groups: str
    """Digest of the regrouped vectors."""

    def subsets_key(self, bucket: Bucket) -> str:
        """Return the key of a bucket's share of the subsets."""
        recorded = self.options.recorded()
        read = ("objective", "trade_off", "optimizer", "epsilon", "subsets", "fraction", "budgets", "seed")
        return key_of(
            "subsets", groups=self.groups, bucket=list(bucket), **{name: recorded[name] for name in read}
        )

    def ranking_key(self, bucket: Bucket) -> str:
        """Return the key of a bucket's ranking."""
        return key_of("ranking", groups=self.groups, bucket=list(bucket))

    def chosen_key(self, bucket: Bucket) -> str:
        """Return the key of the vectors of a bucket's chosen rows."""
        return "v" + self.subsets_key(bucket)

    @property
    def ranks(self) -> bool:
        """Whether any importance needs the ranking."""
        return bool(self.options.importance)

    def function(self, vectors: np.ndarray) -> Any:
        """Return the set function of the easy subsets over `vectors`."""
        if self.options.objective == "graph_cut":
            return GraphCut(vectors, trade_off=self.options.trade_off)
        return FacilityLocation(vectors)


def bucket_budgets(counts: dict[Bucket, int], fraction: float, rule: str) -> dict[Bucket, int]:
    """Return each bucket's share of ⌊fraction·n + ½⌋: over partitions by `rule`, over buckets by size."""
    sizes: dict[int, list[tuple[Bucket, int]]] = {}
    for bucket in sorted(counts):
        sizes.setdefault(bucket[0], []).append((bucket, counts[bucket]))
    totals = np.array([sum(rows for _, rows in held) for held in sizes.values()], np.int64)
    shares = allocate(budget(fraction, int(totals.sum())), totals, rule)
    budgets: dict[Bucket, int] = {}
    for share, held in zip(shares, sizes.values(), strict=True):
        parts = allocate(int(share), np.array([rows for _, rows in held], np.int64), "proportional")
        budgets.update({bucket: int(part) for (bucket, _), part in zip(held, parts, strict=True)})
    return budgets


class SelectBuckets(beam.DoFn):
    """Selects inside a bucket; yields (None, bucket) when its shards are there."""

    def __init__(self, selecting: Selecting, work: Work) -> None:
        self.selecting, self.work = selecting, work

    def process(
        self, element: tuple[Bucket, Iterable[Reference]], counts: dict[Bucket, int]
    ) -> Iterator[tuple[Bucket, int]]:
        """Write the bucket's shards unless they are there."""
        bucket, found = element
        selecting, work = self.selecting, self.work
        limit_threads(selecting.options.threads_per_worker)
        subsets = selecting.options.subset_count and not (
            work.has("subsets", selecting.subsets_key(bucket))
            and work.has("chosen", selecting.chosen_key(bucket))
        )
        ranking = selecting.ranks and not work.has("ranking", selecting.ranking_key(bucket))
        if subsets or ranking:
            index, vectors = read_references(work, list(found))
            if ranking:
                with busy("ranking"):
                    work.write("ranking", selecting.ranking_key(bucket), rank(index, vectors))
            if subsets:
                with busy("subsets"):
                    self._write_subsets(bucket, index, vectors, counts)
        yield bucket, 1

    def _write_subsets(
        self, bucket: Bucket, index: np.ndarray, vectors: np.ndarray, counts: dict[Bucket, int]
    ) -> None:
        table, note = choose(self.selecting, bucket, index, vectors, counts)
        chosen = np.unique(table.column("index").to_numpy())
        rows = np.searchsorted(index, chosen)
        picked = pa.table({"index": pa.array(chosen), "vector": vectors_column(vectors[rows])})
        # The vectors first: the subsets' shard is what says that both are there.
        self.work.write("chosen", self.selecting.chosen_key(bucket), picked)
        self.work.write("subsets", self.selecting.subsets_key(bucket), table, note)


def choose(
    selecting: Selecting, bucket: Bucket, index: np.ndarray, vectors: np.ndarray, counts: dict[Bucket, int]
) -> tuple[pa.Table, dict[str, Any]]:
    """Return a bucket's share of every subset of every fraction, and how good each is.

    The note holds, for each fraction, the value of the set function over the bucket for greedy, for random
    subsets (mean of 20) and for each subset, and the bound on what any subset could reach.
    """
    options = selecting.options
    function = selecting.function(vectors)
    parts: list[dict[str, np.ndarray]] = []
    quality: dict[str, Any] = {}
    for number, fraction in enumerate(options.fraction):
        wanted = bucket_budgets(counts, fraction, options.budgets)[bucket]
        if wanted == 0:
            continue
        greedy = maximize(function, wanted, optimizer="lazy")
        keys = (options.seed, number, *bucket)
        if options.optimizer == "lazy":
            found = [greedy]
        else:
            found = explore(
                function,
                wanted,
                options.subset_count,
                seed=keys,
                epsilon=options.epsilon,
                optimizer=options.optimizer,
            )
        for subset, selection in enumerate(found):
            parts.append(
                {
                    "fraction": np.full(wanted, number, np.int32),
                    "subset": np.full(wanted, subset, np.int32),
                    "rank": np.arange(wanted, dtype=np.int32),
                    "index": index[selection.indices],
                    "gain": selection.gains,
                }
            )
        quality[str(number)] = {
            "greedy": greedy.objective,
            "upper_bound": greedy.upper_bound,
            "random": random_value(function, wanted, draws=RANDOM_DRAWS, seed=keys),
            "subsets": [selection.objective for selection in found],
        }
    schema = {
        "fraction": pa.int32(),
        "subset": pa.int32(),
        "rank": pa.int32(),
        "index": pa.int64(),
        "gain": pa.float64(),
    }
    columns = {
        name: pa.array(np.concatenate([part[name] for part in parts]) if parts else [], kind)
        for name, kind in schema.items()
    }
    return pa.table(columns), quality


def rank(index: np.ndarray, vectors: np.ndarray) -> pa.Table:
    """Return all rows of a bucket in farthest-first order, with the gains of disparity-min and the radii."""
    selection = maximize(DisparityMin(vectors), len(index), optimizer="naive")
    radii = importances.insertion_radii(selection.gains)
    return pa.table({"index": index[selection.indices], "gain": selection.gains, "radius": radii})
