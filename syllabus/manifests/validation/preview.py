"""Checks of what a manifest holds for people: preview, density, and the tables of hygiene."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from syllabus.manifests.format import schema
from syllabus.manifests.format.schema import Table
from syllabus.manifests.format.sorting import SortCheck
from syllabus.manifests.reading.manifest import Manifest
from syllabus.manifests.validation.examples import Examples, arrays, first

NUMBERS = {
    "preview": ("x", "y"),
    "hygiene/suspects": ("cosine",),
    "hygiene/duplicates": ("cosine",),
    "hygiene/holdout": ("cosine",),
}
NAMED = {
    "preview": ("index",),
    "hygiene/suspects": ("index", "neighbour"),
    "hygiene/duplicates": ("index", "other"),
    "hygiene/holdout": ("index",),
}
"""The columns of each table that name an accepted example."""


def preview(manifest: Manifest, directory: str, examples: Examples) -> Iterator[str]:  # noqa: ARG001
    """Yield what is wrong with the rows of the preview."""
    about = manifest.description["preview"]
    counts = dict.fromkeys(("drawn", "texts", "thumbnails"), 0)
    for rows in _sorted(manifest, schema.PREVIEW, examples):
        if isinstance(rows, str):
            yield rows
            return
        counts["drawn"] += rows.column("drawn").to_numpy().sum()
        for name in ("text", "thumbnail"):
            counts[f"{name}s"] += rows.num_rows - rows.column(name).null_count
        for name in ("x", "y"):
            low, high = about["grid"][name]
            values = rows.column(name).to_numpy()
            row = first((values < low) | (values > high))
            if row is not None:
                yield f"index {rows.column('index')[row]} has {name} {values[row]}, outside the grid"
                return
    for name, count in counts.items():
        if about[name] != count:
            yield f"has {count} {name}, manifest.json says {about[name]}"


def density(manifest: Manifest, directory: str, examples: Examples) -> Iterator[str]:  # noqa: ARG001
    """Yield what is wrong with the counts of the grid: they are of all examples."""
    grid = manifest.description["preview"]["grid"]
    numbers = np.array([-1, *sorted(grid["partitions"])])
    counted = np.zeros(len(numbers), np.int64)
    order = SortCheck(schema.DENSITY.sort_by)
    for rows in manifest.batches(directory):
        if problem := order.problem(rows):
            yield problem
            return
        columns = arrays(rows)
        places = np.minimum(np.searchsorted(numbers, columns["partition"]), len(numbers) - 1)
        wrong = (numbers[places] != columns["partition"]) | (columns["examples"] < 1)
        wrong |= (columns["cell"] < 0) | (columns["cell"] >= grid["side"] ** 2)
        if (row := first(wrong)) is not None:
            found = ", ".join(f"{name} {values[row]}" for name, values in columns.items())
            yield f"has {found}, which is no cell of the grid"
            return
        np.add.at(counted, places, columns["examples"])
    sizes = manifest.partition_sizes[numbers[1:]]
    expected = np.array([manifest.n - sizes.sum(), *sizes])
    if (row := first(counted != expected)) is not None:
        yield f"counts {counted[row]} examples of partition {numbers[row]}, there are {expected[row]}"


def hygiene(manifest: Manifest, directory: str, examples: Examples) -> Iterator[str]:
    """Yield what is wrong with the rows of one of the tables of hygiene."""
    for rows in _sorted(manifest, schema.FIXED[directory], examples):
        if isinstance(rows, str):
            yield rows
            return
        names = NAMED[directory]
        if len(names) == 2:
            one, other = (rows.column(name).to_numpy() for name in names)
            if (row := first(one == other)) is not None:
                yield f"index {one[row]} is its own {names[1]}"
                return


def _sorted(manifest: Manifest, table: Table, examples: Examples) -> Iterator[pa.Table | str]:
    """Yield the rows as long as they are sorted and name accepted examples; else a line, and no more."""
    order = SortCheck(table.sort_by)
    for rows in manifest.batches(table):
        if problem := order.problem(rows):
            yield problem
            return
        for name in NAMED[table.directory]:
            values = rows.column(name).to_numpy()
            row = first(~examples.places(values)[1])
            if row is not None:
                yield f"{name} {values[row]} is no accepted example"
                return
        for name in NUMBERS[table.directory]:
            row = first(~np.isfinite(rows.column(name).to_numpy()))
            if row is not None:
                yield f"index {rows.column('index')[row]} has {name} {rows.column(name)[row]}"
                return
        yield rows
