"""Checks of the rows of the subsets: where they lie, what they refer to, what they weigh."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

from syllabus.manifests.budgets import RULES, allocate
from syllabus.manifests.format.consistency import subset_rows
from syllabus.manifests.reading.manifest import Manifest
from syllabus.manifests.validation.examples import Examples, Indices, arrays, first, membership


def problems(manifest: Manifest, directory: str, examples: Examples) -> Iterator[str]:
    """Yield one line for each rule that the rows of the table in `directory` break.

    Memory: the largest subset and a row group.
    """
    entries = manifest.description["subsets"]
    sizes = [subset_rows(manifest.description, entry) for entry in entries]
    tables = manifest.parts(directory).cut(None, chain.from_iterable(sizes))
    rule = manifest.description["options"].get("budgets")
    for entry, counts in zip(entries, sizes, strict=True):
        share = None
        if isinstance(rule, str) and rule in RULES:
            share = allocate(entry["budget"], manifest.partition_units, rule)
        for number, size in enumerate(counts):
            for line in _subset(arrays(next(tables)), entry, number, size, share, examples):
                yield f"subset {number} of fraction {entry['fraction']}: {line}"


def _subset(
    columns: dict[str, Any],
    entry: dict[str, Any],
    number: int,
    size: int,
    share: Indices | None,
    examples: Examples,
) -> Iterator[str]:
    expected: dict[str, Any] = {
        "fraction": np.float64(entry["fraction"]),
        "budget": np.int64(entry["budget"]),
        "subset": np.int64(number),
        "position": np.arange(size),
    }
    for name, right in expected.items():
        row = first(columns[name] != right)
        if row is not None:
            yield f"row {row} has {name} {columns[name][row]}, expected {np.broadcast_to(right, size)[row]}"
            return
    places, inside = examples.places(columns["index"])
    yield from membership(columns, places, inside, examples)
    if not inside.all():
        return
    again = np.sort(columns["index"])
    again = again[1:][again[1:] == again[:-1]]
    if again.size:
        yield f"index {again[0]} occurs more than once"
    row = first(~np.isfinite(columns["gain"]))
    if row is not None:
        yield f"index {columns['index'][row]} has gain {columns['gain'][row]}"
    # The ranks of each partition, sorted, count from 0.
    rows = np.lexsort((columns["rank"], columns["partition"]))
    partition, rank = columns["partition"][rows], columns["rank"][rows]
    begins = np.searchsorted(partition, partition)
    row = first(rank != np.arange(size) - begins)
    if row is not None:
        yield f"the ranks of partition {partition[row]} are not 0, 1, … each once"
    yield from _units(columns["partition"], examples.weights(places), entry, number, share, examples)


def _units(
    partition: Indices,
    units: Indices,
    entry: dict[str, Any],
    number: int,
    share: Indices | None,
    examples: Examples,
) -> Iterator[str]:
    """Yield a line if the subset, or its part of a partition, does not weigh what it must."""
    weighted = examples.weight is not None
    if weighted and int(units.sum()) != entry["weights"][number]:
        yield f"weighs {int(units.sum())}, manifest.json says {entry['weights'][number]}"
        return
    if share is None:
        return
    held = np.bincount(partition, units, minlength=len(share)).astype(np.int64)
    wrong = first(held > share if weighted else held != share)
    if wrong is not None:
        what = f"weighs {held[wrong]}" if weighted else f"has {held[wrong]} examples"
        yield f"partition {wrong} {what}, its budget is {share[wrong]}"
