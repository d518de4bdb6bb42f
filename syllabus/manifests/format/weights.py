"""What manifest.json says of weights: budgets in the units of a column, such as tokens, not in examples.

Only where the job was given such a column: the key `weight`, and more keys in each partition and subset.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

LARGEST = 1 << 53
"""Weights sum to no more: up to here float64, in which budgets are computed, knows every whole number."""

WEIGHT: dict[Any, Any] = {"column": str, "total": int}
PARTITION: dict[Any, Any] = {"weight": int}
SUBSET: dict[Any, Any] = {"rows": [int], "weights": [int]}


def total(document: dict[str, Any]) -> int:
    """Return what a fraction is a share of: the sum of the weights, or the number of examples."""
    return int(document["weight"]["total"] if "weight" in document else document["counts"]["accepted"])


def subset_rows(document: dict[str, Any], entry: dict[str, Any]) -> list[int]:
    """Return how many rows each subset has that `entry`, one of `subsets`, describes."""
    return list(entry["rows"]) if "weight" in document else [entry["budget"]] * entry["count"]


def shapes(document: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield (where, value, expected shape) of what is there only with weights; the rest is of its shape."""
    if "weight" in document:
        yield "weight", document["weight"], WEIGHT
        yield "partitions", document["partitions"], [PARTITION]
        yield "subsets", document["subsets"], [SUBSET]


def contradictions(document: dict[str, Any]) -> Iterator[str]:
    """Yield what cannot be true at once of weights in a document of the right shape."""
    if "weight" not in document:
        return
    recorded = document["weight"]["total"]
    if recorded < 1:
        yield f"weight.total is {recorded}, below 1"
    if recorded > LARGEST:
        yield f"weight.total is {recorded}, above 2^53"
    for place, partition in enumerate(document["partitions"]):
        weight, examples = partition["weight"], partition["examples"]
        if weight < examples or (weight > 0) != (examples > 0):
            yield f"partitions[{place}] weighs {weight} with {examples} examples, which weigh at least 1 each"
    together = sum(partition["weight"] for partition in document["partitions"])
    if together != recorded:
        yield f"partitions: they weigh {together} together, weight.total is {recorded}"
    for place, entry in enumerate(document["subsets"]):
        yield from (f"subsets[{place}]: {line}" for line in _subset(entry, document["counts"]["accepted"]))


def _subset(entry: dict[str, Any], n: int) -> Iterator[str]:
    rows, weights, budget = entry["rows"], entry["weights"], entry["budget"]
    if not len(rows) == len(weights) == entry["count"]:
        yield f"rows has {len(rows)} entries and weights {len(weights)}, the count says {entry['count']}"
        return
    for number, (count, weight) in enumerate(zip(rows, weights, strict=True)):
        if not 1 <= count <= n:
            yield f"subset {number} has {count} rows, outside [1, {n}]"
        elif not count <= weight <= budget:
            yield f"subset {number} of {count} rows weighs {weight}, outside [{count}, budget={budget}]"
