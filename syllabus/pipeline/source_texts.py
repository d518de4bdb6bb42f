"""Texts of some examples, whole, from the source that a manifest was made from."""

from __future__ import annotations

from itertools import groupby

import numpy as np

from syllabus.manifests import Manifest
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.source_check import recorded_columns, source_problems
from syllabus.pipeline.sources import CHUNK_ROWS, Chunk, Columns, open_source


def source_texts(
    manifest: Manifest, source_location: str, index: np.ndarray, column: str | None = None
) -> list[str | None]:
    """Return the texts of examples, in their order.

    Args:
      manifest: an open one.
      source_location: the source that it was made from, which is checked row by row.
      index: (m,) int64 accepted examples, repetitions allowed.
      column: where the texts are, by default what was encoded. Null where a row has none there.

    Raises:
      UserError: it is another source, or has no such column; or what was encoded is no text.

    Cost: two reads of the source.
    """
    columns = recorded_columns(manifest)
    if columns is None or (columns.kind != "text" and column is None):
        kind = "without a content column" if columns is None else f"of {columns.kind}s"
        raise UserError(
            f"source {source_location}: the manifest is {kind}: name the column to show by --text"
        )
    for problem in source_problems(manifest.location, source_location):
        raise UserError(problem)
    source, _ = open_source(source_location, follow_links=True)
    columns = source.resolved(columns)
    shown = Columns("text", column or columns.content, limits=columns.limits)
    source.check(shown)
    wanted, place = np.unique(index, return_inverse=True)
    found: list[str | None] = []
    held: list[tuple[Chunk, list[int]]] = []
    first = 0
    for chunk in source.chunks(columns, CHUNK_ROWS):
        begin, end = np.searchsorted(wanted, [first, first + chunk.rows])
        if begin < end:
            held.append((chunk, (wanted[begin:end] - first).tolist()))
        first += chunk.rows
    # File by file: a row group that holds many chunks is then decoded once, not once for each.
    for _, group in groupby(held, key=lambda each: each[0].file):
        some = list(group)
        for values in source.contents([chunk for chunk, _ in some], [rows for _, rows in some], shown):
            found += [None if value is None else str(value) for value in values]
    return [found[row] for row in place.tolist()]
