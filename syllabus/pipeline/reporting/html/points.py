"""The examples of a report as columns: names, ranks, what was found of them, contents."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from syllabus.manifests import Manifest, schema
from syllabus.pipeline.reporting.html.rows import importance_of

RANKS = 10_000
"""Ranks are shares of a partition in ten-thousandths, rounded up."""


@dataclass(frozen=True, eq=False)
class Points:
    """Columns of the examples, and their contents apart: those are left out first."""

    columns: dict[str, Any]
    contents: list[list[str | None]]
    """[text, thumbnail in base64] of each"""


def read_points(manifest: Manifest, listed: np.ndarray) -> Points:
    """Return the examples of the preview and the (m,) `listed` ones, by ascending index."""
    preview = manifest.table(schema.PREVIEW) if "preview" in manifest.description else None
    mapped = np.empty(0, np.int64) if preview is None else preview.column("index").to_numpy()
    index = np.union1d(mapped, listed)
    names = [
        "id",
        "label",
        "partition",
        "source_file",
        "source_row",
        "neighbour_agreement",
        "duplicate_group",
    ]
    rows = manifest.records(index, names)
    places = np.searchsorted(index, mapped)
    contents: list[list[str | None]] = [[None, None] for _ in index]
    columns: dict[str, Any] = {
        "index": index.tolist(),
        "id": rows.column("id").to_pylist(),
        **_coded("label", rows.column("label")),
        **_coded("file", rows.column("source_file")),
        "row": rows.column("source_row").to_pylist(),
        "partition": rows.column("partition").to_pylist(),
        "suspect": _suspects(manifest, rows).astype(int).tolist(),
        "copies": _group_sizes(manifest, rows),
        "easy": _easy(manifest, index).tolist(),
        "hard": _hard(manifest, index).tolist(),
        "mapped": places.tolist(),
    }
    if preview is not None:
        columns["drawn"] = preview.column("drawn").to_numpy(zero_copy_only=False).astype(int).tolist()
        pairs = zip(preview.column("text").to_pylist(), preview.column("thumbnail").to_pylist(), strict=True)
        for place, (text, image) in zip(places.tolist(), pairs, strict=True):
            contents[place] = [text, image and base64.b64encode(image).decode()]
    return Points(columns, contents)


def _coded(name: str, column: pa.ChunkedArray) -> dict[str, Any]:
    """A column of few distinct texts: the texts, and the number of each row's."""
    coded = column.combine_chunks().dictionary_encode()
    return {f"{name}s": coded.dictionary.to_pylist(), name: coded.indices.fill_null(-1).to_pylist()}


def _suspects(manifest: Manifest, rows: pa.Table) -> np.ndarray:
    if manifest.neighbours is None or manifest.neighbours.agreement is None:
        return np.zeros(rows.num_rows, np.bool_)
    agreement = rows.column("neighbour_agreement").to_numpy()
    if manifest.neighbours.agreement.kind == "number":
        return np.asarray(np.abs(agreement) >= 3)
    return np.asarray(agreement == 0)


def _group_sizes(manifest: Manifest, rows: pa.Table) -> list[int]:
    """Examples in the duplicate group of each row; 1 where it is alone or nothing was searched."""
    if manifest.neighbours is None:
        return [1] * rows.num_rows
    names, sizes = np.unique(manifest.column(schema.EXAMPLES, "duplicate_group"), return_counts=True)
    found: list[int] = sizes[np.searchsorted(names, rows.column("duplicate_group").to_numpy())].tolist()
    return found


def _easy(manifest: Manifest, index: np.ndarray) -> np.ndarray:
    """The rank of each in the first subset of the largest fraction; -1 where it is not in it."""
    if not manifest.fractions:
        return np.full(len(index), -1)
    first, last = manifest.subset_rows(manifest.fractions[-1], 0)
    names = ("index", "rank", "partition")
    return _ranks(manifest, index, *(manifest.column(schema.SUBSETS, name, first, last) for name in names))


def _hard(manifest: Manifest, index: np.ndarray) -> np.ndarray:
    name = importance_of(manifest)
    if name is None:
        return np.full(len(index), -1)
    table = schema.importance(name)
    return _ranks(manifest, index, *(manifest.column(table, each) for each in ("index", "rank", "partition")))


def _ranks(
    manifest: Manifest, index: np.ndarray, own: np.ndarray, rank: np.ndarray, partition: np.ndarray
) -> np.ndarray:
    """The share of its partition that each of `index` is chosen at; -1 for those that are not in `own`."""
    shares = np.ceil((rank + 1) / manifest.partition_sizes[partition] * RANKS).astype(np.int64)
    chosen = np.isin(own, index)
    found = np.full(len(index), -1)
    found[np.searchsorted(index, own[chosen])] = shares[chosen]
    return found
