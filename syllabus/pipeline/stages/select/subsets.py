"""Subsets of a bucket: its share of each budget, and the rows of every subset.

A budget counts examples or, where each has a weight, what they weigh: then a bucket's rows cost at most its
share, and subsets of one fraction differ in their number of rows.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from syllabus.manifests.budgets import allocate, budget
from syllabus.pipeline.options import Options
from syllabus.pipeline.stages.regroup.buckets import Bucket, by_partition
from syllabus.selectors import (
    Selection,
    SetFunction,
    explore,
    explore_within,
    maximize,
    maximize_within,
    random_value,
    random_value_within,
)

RANDOM_DRAWS = 20


def partition_budgets(units: dict[Bucket, int], fraction: float, rule: str) -> np.ndarray:
    """Return how much of each partition is in a subset, (partitions,) int64; they sum to the budget.

    `units` are those of each bucket: examples, or what they weigh.
    """
    sums = by_partition(units)
    totals = np.array([sums[partition] for partition in range(1 + max(sums))], np.int64)
    return allocate(budget(fraction, int(totals.sum())), totals, rule)


def bucket_budgets(units: dict[Bucket, int], fraction: float, rule: str) -> dict[Bucket, int]:
    """Return each bucket's share of ⌊fraction·total + ½⌋: over partitions by `rule`, over buckets by size."""
    sizes: dict[int, list[tuple[Bucket, int]]] = {}
    for bucket in sorted(units):
        sizes.setdefault(bucket[0], []).append((bucket, units[bucket]))
    shares = partition_budgets(units, fraction, rule)[list(sizes)]
    budgets: dict[Bucket, int] = {}
    for share, held in zip(shares, sizes.values(), strict=True):
        parts = allocate(int(share), np.array([size for _, size in held], np.int64), "proportional")
        budgets.update({bucket: int(part) for (bucket, _), part in zip(held, parts, strict=True)})
    return budgets


def choose(
    options: Options,
    function: SetFunction | None,
    bucket: Bucket,
    index: np.ndarray,
    shares: list[int],
    costs: np.ndarray | None,
    elsewhere: Callable[[int], float] | None = None,
) -> tuple[pa.Table, dict[str, Any]]:
    """Return a bucket's share of every subset of every fraction, and how good each is.

    The quality holds, for each fraction, the value of the set function over the bucket for greedy, for random
    subsets (mean of 20) and for each subset, and the bound on what any subset could reach; with costs also
    the values of greedy and of random sets of as many rows as each subset has.

    Args:
      options: of the job.
      function: the set function over the bucket's rows; None only where no share is above 0.
      bucket: which one it is.
      index: (m,) int64, the ascending indices of its rows.
      shares: of each fraction's budget, in units.
      costs: (m,) int64, what the rows weigh; None where budgets count examples.
      elsewhere: the value of so many random rows, where the function's are only the best of the bucket's; no
        upper bound is known then.
    """
    parts: list[dict[str, np.ndarray]] = []
    quality: dict[str, Any] = {}
    for number in range(len(options.fraction)):
        share = shares[number]
        if share == 0:
            continue
        assert function is not None
        keys = (options.seed, number, *bucket)
        as_many = None
        if costs is None:
            greedy, found, random = _of_rows(options, function, share, keys, elsewhere)
        else:
            greedy, found, random = _of_costs(options, function, costs, share, keys)
            as_many = _of_as_many(function, [len(each.indices) for each in found], keys)
        for subset, selection in enumerate(found):
            count = len(selection.indices)
            part = {
                "fraction": np.full(count, number, np.int32),
                "subset": np.full(count, subset, np.int32),
                "rank": np.arange(count, dtype=np.int32),
                "index": index[selection.indices],
                "gain": selection.gains,
            }
            parts.append(part if costs is None else {**part, "weight": costs[selection.indices]})
        quality[str(number)] = {
            "greedy": greedy.objective,
            "upper_bound": greedy.upper_bound if elsewhere is None else None,
            "random": random,
            "subsets": [selection.objective for selection in found],
            **({} if as_many is None else {"as_many": as_many}),
        }
    schema = {
        "fraction": pa.int32(),
        "subset": pa.int32(),
        "rank": pa.int32(),
        "index": pa.int64(),
        "gain": pa.float64(),
        **({} if costs is None else {"weight": pa.int64()}),
    }
    columns = {
        name: pa.array(np.concatenate([part[name] for part in parts]) if parts else [], kind)
        for name, kind in schema.items()
    }
    return pa.table(columns), quality


def _of_rows(
    options: Options,
    function: SetFunction,
    rows: int,
    keys: tuple[int, ...],
    elsewhere: Callable[[int], float] | None,
) -> tuple[Selection, list[Selection], float]:
    """Greedy's set of so many rows, the subsets, and the mean value of random ones."""
    greedy = maximize(function, rows, optimizer="lazy")
    if elsewhere is None:
        random = random_value(function, rows, draws=RANDOM_DRAWS, seed=keys)
    else:
        random = elsewhere(rows)
    if options.optimizer == "lazy":
        return greedy, [greedy], random
    found = explore(
        function, rows, options.subset_count, seed=keys, epsilon=options.epsilon, optimizer=options.optimizer
    )
    return greedy, found, random


def _of_costs(
    options: Options, function: SetFunction, costs: np.ndarray, limit: int, keys: tuple[int, ...]
) -> tuple[Selection, list[Selection], float]:
    """The same of sets whose rows cost at most `limit` together; greedy is that of the most value."""
    power = options.weight_power
    greedy = maximize_within(function, costs, limit)
    random = random_value_within(function, costs, limit, draws=RANDOM_DRAWS, seed=keys)
    if options.optimizer == "lazy":
        own = greedy if power == 1 else maximize_within(function, costs, limit, power=power)
        return greedy, [own], random
    found = explore_within(
        function, costs, limit, options.subset_count, seed=keys, epsilon=options.epsilon, power=power
    )
    return greedy, found, random


def _of_as_many(function: SetFunction, counts: list[int], keys: tuple[int, ...]) -> dict[str, list[float]]:
    """The value of greedy's and of random sets of as many rows as each subset has, whatever they cost.

    More rows have more value before it matters which they are: sets of one size can be compared. Greedy's set
    is a beginning of every larger one. Random means are taken of the least and the largest number, between
    which they are all but straight.
    """
    most = max(counts)
    if most == 0:
        return {"greedy": [0.0] * len(counts), "random": [0.0] * len(counts)}
    values = np.concatenate([[0.0], np.cumsum(maximize(function, most, optimizer="lazy").gains)])
    ends = sorted({max(1, min(counts)), most})
    means = [random_value(function, count, draws=RANDOM_DRAWS, seed=keys) for count in ends]
    return {
        "greedy": values[counts].tolist(),
        "random": np.interp(counts, [0, *ends], [0.0, *means]).tolist(),
    }
