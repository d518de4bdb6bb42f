"""The table of subsets, and their quality: beside greedy, beside random ones, and beside one another."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import combinations, islice
from typing import Any

import numpy as np
import pyarrow as pa

from syllabus.manifests import ManifestWriter, budget, schema
from syllabus.pipeline.stages.commit.context import Buckets, CommitContext
from syllabus.pipeline.stages.select.subsets import partition_budgets

MOST_PAIRS = 200


def write_subsets(context: CommitContext, writer: ManifestWriter, buckets: Buckets) -> list[dict[str, Any]]:
    """Write the table; return the section of manifest.json."""
    options = context.options
    table = writer.table(schema.SUBSETS)
    described = []
    for number, fraction in enumerate(options.fraction if options.subset_count else ()):
        wanted = budget(fraction, context.census.units_of_budgets)
        chosen = Overlap(context.plan.source_rows, options.subset_count)
        weights: list[int] = []
        taken: set[int] = set()
        for subset in range(options.subset_count):
            first = weight = 0
            with chosen.subset() as add:
                for rows in context.work.pieces("order", context.ordering.subset_key(number, subset)):
                    add(rows.column("index").to_numpy())
                    count = rows.num_rows
                    if options.weight is not None:
                        weight += sum(rows.column("weight").to_pylist())
                        taken.update(rows.column("partition").to_pylist())
                    columns = {
                        "fraction": np.full(count, fraction),
                        "budget": np.full(count, wanted, np.int64),
                        "subset": np.full(count, subset, np.int32),
                        **{name: rows.column(name) for name in ("partition", "rank", "index", "gain")},
                        "position": np.arange(first, first + count, dtype=np.int32),
                    }
                    table.write(pa.table(columns, schema=schema.SUBSETS.schema))
                    first += count
            if options.weight is not None:
                weights.append(weight)
        selecting = context.ordering.selecting
        keys = map(selecting.subsets_key, sorted(set(map(selecting.holder, buckets.rows))))
        qualities = [context.work.metadata("subsets", key).get(str(number)) for key in keys]
        found = [quality for quality in qualities if quality is not None]
        shares = partition_budgets(buckets.units, fraction, options.budgets).tolist()
        # The last clusters may have no rows.
        shares += [0] * (len(context.layout.buckets) - len(shares))
        described.append(
            {
                "fraction": fraction,
                "budget": wanted,
                "count": options.subset_count,
                "objective": options.objective,
                **subset_quality(found, chosen, context.census.accepted),
                "partitions": shares,
                **_parts(context, buckets, number),
                **(_costs(chosen.sizes, weights, buckets, taken) if weights else {}),
                **_memory(context, chosen, found),
            }
        )
    return described


class Overlap:
    """How subsets overlap: a bit a row of each that is still to be compared, of at most 20; a byte of one.

    Args:
      rows: their indices are below it.
      subsets: how many there are; of their pairs the first 200 are compared.
    """

    def __init__(self, rows: int, subsets: int) -> None:
        self.sizes: list[int] = []
        self._rows = rows
        pairs = islice(combinations(range(subsets), 2), MOST_PAIRS)
        self._jaccard: dict[tuple[int, int], float] = dict.fromkeys(pairs, 0.0)
        self._last = max((one for one, _ in self._jaccard), default=-1)
        self._held: list[np.ndarray] = []
        self._any = np.zeros(-(-rows // 8), np.uint8)

    @contextmanager
    def subset(self) -> Iterator[Callable[[np.ndarray], None]]:
        """Yield a function that takes the indices of the next subset, piece by piece."""
        chosen, number, size = np.zeros(self._rows, np.bool_), len(self.sizes), 0

        def add(index: np.ndarray) -> None:
            nonlocal size
            chosen[index] = True
            size += len(index)

        yield add
        bits = np.packbits(chosen)
        self.sizes.append(size)
        self._any |= bits
        for other, theirs in enumerate(self._held):
            if (other, number) in self._jaccard:
                shared = _ones(bits & theirs)
                self._jaccard[other, number] = shared / (self.sizes[other] + size - shared)
        if number <= self._last:
            self._held.append(bits)

    @property
    def covered(self) -> int:
        """Rows that are in any of the subsets."""
        return _ones(self._any)

    @property
    def jaccard(self) -> float | None:
        """The mean Jaccard index of the pairs; None of a single subset."""
        return float(np.mean(list(self._jaccard.values()))) if self._jaccard else None


def _ones(bits: np.ndarray) -> int:
    return int(np.unpackbits(bits).sum(dtype=np.int64))


def subset_quality(buckets: list[dict[str, Any]], chosen: Overlap, n: int) -> dict[str, Any]:
    """Return the figures that a manifest records of the subsets of one fraction.

    Args:
      buckets: for each bucket the values of the set function inside it (`select/subsets.py`); the function
        of the whole is their sum.
      chosen: the rows of the subsets.
      n: accepted examples.

    `normalised_gain` is (f(S) − r) / (f(greedy) − r) with r the mean of f over random subsets of the same
    budgets: 0 is random, 1 is greedy. Where subsets differ in their rows, both are of as many rows as each
    subset has in each bucket. `jaccard` is the mean over pairs of subsets (the first 200 pairs).
    """
    greedy = float(sum(bucket["greedy"] for bucket in buckets))
    random = float(sum(bucket["random"] for bucket in buckets))
    bounds = [bucket["upper_bound"] for bucket in buckets]
    values = np.sum([bucket["subsets"] for bucket in buckets], axis=0)
    best, chance = np.array(greedy), np.array(random)
    if "as_many" in buckets[0]:
        best, chance = (
            np.sum([bucket["as_many"][kind] for bucket in buckets], axis=0) for kind in ("greedy", "random")
        )
    margin = best - chance
    # Where greedy cannot do better than random, as at fraction 1, there is nothing to normalise by.
    gains = (values - chance) / margin if np.all(margin > 1e-12 * np.maximum(1.0, abs(best))) else None
    return {
        "greedy": greedy,
        "random": random,
        "upper_bound": float(sum(bounds)) if all(bound is not None for bound in bounds) else None,
        "normalised_gain": None
        if gains is None
        else {"least": float(gains.min()), "mean": float(gains.mean())},
        "jaccard": chosen.jaccard,
        "covered": chosen.covered / n,
    }


def _parts(context: CommitContext, buckets: Buckets, fraction: int) -> dict[str, Any]:
    """What selecting from the buckets of partitions apart loses, where any has several."""
    held = buckets.of_partitions()
    divided = [partition for partition, parts in held.items() if len(parts) > 1]
    if not divided:
        return {}
    selecting, work = context.ordering.selecting, context.work
    rows = [work.read("parts", selecting.parts_key(partition)).to_pylist() for partition in divided]
    found = [row for figures in rows for row in figures if row["fraction"] == fraction]
    gains = [row["gain"] for row in found if row["gain"] is not None]
    decided = [row["decided"] for row in found if row["decided"] is not None]
    return {
        "parts": {
            "partitions": len(divided),
            "most": max(len(held[partition]) for partition in divided),
            "sample": max((row["sample"] for row in found), default=0),
            "gain": {"least": min(gains), "mean": float(np.mean(gains))} if gains else None,
            "decided": float(np.mean(decided)) if decided else None,
        }
    }


def _memory(context: CommitContext, chosen: Overlap, found: list[dict[str, Any]]) -> dict[str, Any]:
    """A worker's memory, where it shows: in orders of parts, and in bounds that need more of it."""
    memory = {"memory_per_worker": context.options.memory_per_worker}
    if context.ordering.apart(max(chosen.sizes)):
        return {"interleaved": True, **memory}
    unknown = any(quality["upper_bound"] is None for quality in found)
    return memory if unknown and context.ordering.selecting.kernel_limit is not None else {}


def _costs(sizes: list[int], weights: list[int], buckets: Buckets, taken: set[int]) -> dict[str, Any]:
    """Rows and weights of the subsets, and the partitions with no example that their share can buy."""
    empty = [number for number in buckets.of_partitions() if number not in taken]
    return {"rows": sizes, "weights": weights, "empty_partitions": empty}
