"""Partitions of several buckets: what they keep is selected from together, and what that loses is measured.

A bucket's worker leaves the vectors of sampled rows and, where facility location is chosen for the partition
as a whole, of the rows that greedy keeps (`selecting.py` says of which). One worker then has those of all
buckets of a partition: never the partition.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from syllabus.pipeline.runtime.metrics import count_time
from syllabus.pipeline.runtime.torch_setup import limit_threads
from syllabus.pipeline.stages.guide import read_guide
from syllabus.pipeline.stages.regroup.buckets import Bucket, Sums, by_partition
from syllabus.pipeline.stages.select.losses import NEAREST, SAMPLE, certify, figures_of, measure, sampled
from syllabus.pipeline.stages.select.selecting import NEIGHBOUR_BYTES, OVERSAMPLING, Selecting, Whole
from syllabus.pipeline.stages.select.subsets import bucket_budgets, choose, partition_budgets
from syllabus.pipeline.work_directory import WorkDirectory, vectors_column, vectors_of
from syllabus.selectors import SetFunction, SparseFacilityLocation, maximize

RANDOM_SETS = 2
BLOCK = 8192
"""Rows that are compared with 512 random ones at once: 16 MiB, however many are served."""


def write_sample(
    work: WorkDirectory,
    selecting: Selecting,
    bucket: Bucket,
    index: np.ndarray,
    vectors: np.ndarray,
    counts: dict[Bucket, int],
    whole: Whole | None,
) -> None:
    """Leave a bucket's part of the sample, and the rows that it keeps for the second greedy.

    For graph cut the ranks of the sampled rows in the bucket's greedy, and the sum of its picks of each
    fraction: what tells how good the picks of all buckets are together.
    """
    options, rows = selecting.options, by_partition(counts)[bucket[0]]
    united = bucket[0] in selecting.united
    rank = np.full(len(index), -1, np.int32)
    picked: list[dict[str, Any]] = []
    if selecting.certified:
        shares = [bucket_budgets(counts, each, options.budgets)[bucket] for each in options.fraction]
        if max(shares):
            picks = maximize(selecting.function(vectors, None, whole), max(shares)).indices
            rank[picks] = np.arange(len(picks))
            picked = [
                {"rows": share, "sum": vectors[picks[:share]].sum(axis=0, dtype=np.float64).tolist()}
                for share in shares
            ]
    kept = np.zeros(len(index), np.bool_)
    if united:
        share = bucket_budgets(counts, max(options.fraction), options.budgets)[bucket]
        if share:
            most = min(len(index), math.ceil(OVERSAMPLING * share))
            kept[maximize(selecting.function(vectors, None), most).indices] = True
    drawn = sampled(index, rows, options.seed, selecting.united.get(bucket[0], SAMPLE))
    left = kept | drawn
    columns = {
        "index": pa.array(index[left]),
        "vector": vectors_column(vectors[left]),
        "kept": pa.array(kept[left]),
        "drawn": pa.array(drawn[left]),
        "rank": pa.array(rank[left]),
    }
    work.write("parts", selecting.sample_key(bucket), pa.table(columns), {"picked": picked})


def whole_of(sums: dict[int, np.ndarray], bucket: Bucket, counts: dict[Bucket, int]) -> Whole | None:
    """Return what a bucket's picks are to resemble: its partition, as if this had the bucket's rows only.

    None for a bucket that is all of its partition.
    """
    rows = by_partition(counts)[bucket[0]] if bucket[0] in sums else counts[bucket]
    if counts[bucket] == rows:
        return None
    share = counts[bucket] / rows
    return sums[bucket[0]] * Sums.UNIT * share, float(counts[bucket])


def write_chosen(
    work: WorkDirectory, selecting: Selecting, bucket: Bucket, index: np.ndarray, vectors: np.ndarray
) -> None:
    """Write the vectors of the rows of a bucket's subsets, of those that it was chosen from."""
    picked = work.read("subsets", selecting.subsets_key(bucket), ["index"]).column("index").to_numpy()
    chosen = np.unique(picked)
    rows = np.searchsorted(index, chosen)
    table = pa.table({"index": pa.array(chosen), "vector": vectors_column(vectors[rows])})
    work.write("chosen", selecting.chosen_key(bucket), table)


class JoinParts(beam.DoFn):
    """Joins the buckets of a partition once they are done; yields those that have subsets."""

    def __init__(self, selecting: Selecting, work: WorkDirectory, ordered: bool) -> None:
        self.selecting, self.work, self.ordered = selecting, work, ordered

    def process(
        self,
        element: tuple[int, Iterable[Bucket]],
        counts: dict[Bucket, int],
        units: dict[Bucket, int],
        sums: dict[int, np.ndarray],
    ) -> Iterator[Bucket]:
        """Write the partition's shards unless they are there."""
        partition, buckets = element[0], sorted(element[1])
        selecting, work = self.selecting, self.work
        holders = sorted(set(map(selecting.holder, buckets)))
        united = partition in selecting.united
        figures = len(buckets) > 1 and bool(selecting.options.subset_count)
        figures = figures and not work.has("parts", selecting.parts_key(partition))
        subsets = united and not work.has("subsets", selecting.subsets_key(holders[0]))
        chosen = united and selecting.lacks_chosen(work, holders[0], self.ordered)
        if figures or subsets or chosen:
            limit_threads(selecting.options.threads_per_worker)
            tables = [work.read("parts", selecting.sample_key(bucket)) for bucket in buckets]
            left = pa.concat_tables(tables).sort_by("index")
            with count_time("parts"):
                if figures and selecting.certified:
                    self._certify(buckets, tables, sums[partition] * Sums.UNIT, counts)
                elif figures:
                    self._measure(partition, len(buckets), left, counts, units)
                if subsets or chosen:
                    self._choose(holders[0], left, counts, subsets, chosen)
        yield from holders

    def _certify(
        self, buckets: list[Bucket], tables: list[pa.Table], total: np.ndarray, counts: dict[Bucket, int]
    ) -> None:
        """Write what the buckets' picks of each fraction keep, by the rows drawn of all."""
        selecting, work, partition = self.selecting, self.work, buckets[0][0]
        rows = by_partition(counts)[partition]
        picked = [work.metadata("parts", selecting.sample_key(bucket))["picked"] for bucket in buckets]
        drawn = pa.concat_tables(tables).sort_by("index")
        share = drawn.num_rows / rows
        whole = total * share, float(drawn.num_rows)
        function = selecting.function(vectors_of(drawn.column("vector")), None, whole)
        found: list[dict[str, Any]] = []
        for number in range(len(selecting.options.fraction)):
            own = [each[number] if each else {"rows": 0, "sum": 0.0} for each in picked]
            index = [
                table.column("index").to_numpy()[_within(table.column("rank").to_numpy(), each["rows"])]
                for table, each in zip(tables, own, strict=True)
            ]
            chosen = np.isin(drawn.column("index").to_numpy(), np.concatenate(index))
            together = np.sum([np.broadcast_to(each["sum"], total.shape) for each in own], axis=0)
            measured = certify(function, rows, chosen, together, sum(each["rows"] for each in own))
            if measured is not None:
                found.append({"fraction": number, "parts": len(buckets), **measured})
        work.write("parts", selecting.parts_key(partition), figures_of(found))

    def _measure(
        self,
        partition: int,
        parts: int,
        left: pa.Table,
        counts: dict[Bucket, int],
        units: dict[Bucket, int],
    ) -> None:
        selecting, options = self.selecting, self.selecting.options
        guide = read_guide(self.work, selecting.guide)
        sample = left.filter(left.column("drawn"))
        total = by_partition(units)[partition]
        rows = by_sample(sample, by_partition(counts)[partition], options.seed)
        united = partition in selecting.united
        shares = [
            int(partition_budgets(units, fraction, options.budgets)[partition]) / max(1, total)
            for fraction in options.fraction
        ]
        found: list[dict[str, Any]] = []
        for number, share in enumerate(shares):
            measured = measure(
                lambda vectors: selecting.function(vectors, guide),
                rows,
                share,
                parts,
                (options.seed, number, partition),
                # What is kept is of the largest budget.
                OVERSAMPLING * max(shares) / share if united and share else None,
            )
            if measured is not None:
                found.append({"fraction": number, **measured})
        self.work.write("parts", selecting.parts_key(partition), figures_of(found))

    def _choose(
        self, holder: Bucket, left: pa.Table, counts: dict[Bucket, int], subsets: bool, chosen: bool
    ) -> None:
        """Choose the subsets from the rows kept, by how they serve the rows drawn; leave their vectors."""
        kept = left.filter(left.column("kept"))
        index, vectors = kept.column("index").to_numpy(), vectors_of(kept.column("vector"))
        if subsets:
            self._write_subsets(holder, index, vectors, left, counts)
        if chosen:
            write_chosen(self.work, self.selecting, holder, index, vectors)

    def _write_subsets(
        self,
        holder: Bucket,
        index: np.ndarray,
        vectors: np.ndarray,
        left: pa.Table,
        counts: dict[Bucket, int],
    ) -> None:
        options, total = self.selecting.options, by_partition(counts)[holder[0]]
        served = vectors_of(left.filter(left.column("drawn")).column("vector"))
        shares = [
            int(partition_budgets(counts, fraction, options.budgets)[holder[0]])
            for fraction in options.fraction
        ]
        function = self._function(vectors, served, min((each for each in shares if each), default=0))
        table, quality = choose(
            options, function, holder, index, shares, None, lambda rows: random_served(served, rows)
        )
        scaled, quality = _times(total / len(served), table, quality)
        self.work.write("subsets", self.selecting.subsets_key(holder), scaled, quality)

    def _function(self, vectors: np.ndarray, served: np.ndarray, least: int) -> SetFunction | None:
        """The set function over the rows kept; None where none is, since no budget has a share for them."""
        if not least:
            return None
        # Of `least` rows of a selection one should be among the nearest of a served row.
        room = self.selecting.neighbours_held(len(served))
        nearest = max(1, min(max(64, 4 * len(vectors) // least), NEAREST, room))
        budget = NEIGHBOUR_BYTES * nearest * len(served)
        return SparseFacilityLocation(vectors, nearest, memory_budget=budget, served=served, floor=True)


def _within(ranks: np.ndarray, rows: int) -> np.ndarray:
    return np.asarray((ranks >= 0) & (ranks < rows))


def by_sample(sample: pa.Table, total: int, seed: int) -> np.ndarray:
    """Return the vectors of the rows of a drawn table that are in the smaller sample of the measurement."""
    chosen = sampled(sample.column("index").to_numpy(), total, seed, SAMPLE)
    return vectors_of(sample.filter(pa.array(chosen)).column("vector"))


def random_served(served: np.ndarray, rows: int) -> float:
    """Return how well random rows serve (m, d) rows that were drawn evenly, of which they are some."""
    values = []
    for number in range(RANDOM_SETS):
        order = np.random.Generator(np.random.Philox(number)).permutation(len(served))
        chosen = served[np.sort(order[: min(rows, len(served))])]
        best = np.zeros(len(served), np.float32)
        for start in range(0, len(served), BLOCK):
            held, found = served[start : start + BLOCK], best[start : start + BLOCK]
            for first in range(0, len(chosen), 512):
                np.maximum(found, (held @ chosen[first : first + 512].T).max(axis=1), out=found)
        values.append(math.fsum((1 + best) / 2))
    return float(np.mean(values))


def _times(scale: float, table: pa.Table, quality: dict[str, Any]) -> tuple[pa.Table, dict[str, Any]]:
    """Gains and values of what serves a sample, as those of what serves all."""
    place = table.schema.get_field_index("gain")
    gains = pa.array(scale * table.column("gain").to_numpy())
    scaled = {
        number: {
            **each,
            "greedy": scale * each["greedy"],
            "random": scale * each["random"],
            "subsets": [scale * value for value in each["subsets"]],
        }
        for number, each in quality.items()
    }
    return table.set_column(place, "gain", gains), scaled
