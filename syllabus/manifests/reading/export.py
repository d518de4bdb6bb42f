"""Export of a subset as a plain file, for programs that read no manifest."""

import os
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syllabus.manifests.errors import ManifestError
from syllabus.manifests.format import schema
from syllabus.manifests.reading import plain_files
from syllabus.manifests.reading.manifest import Manifest
from syllabus.manifests.reading.plain_files import PlainFile, check_format, write_rows

COLUMNS = ("index", "id", "label", "partition", "rank", "gain", "position")
SUFFIXES = {"txt": ".txt", **plain_files.SUFFIXES}


def export(
    manifest: Manifest,
    fraction: float,
    subset: int = 0,
    format: str | None = None,  # noqa: A002 - the word on the command line
    output: Any = None,
    overwrite: bool = False,
) -> pa.Table:
    """Write one subset in position order; return its rows: index, id, label, partition, rank, gain, position.

    Where budgets count the units of a column, `weight` is the last of them.

    Args:
      manifest: an open one.
      fraction: found by its budget.
      subset: its number.
      format: ``txt`` (UTF-8, one id a line), ``csv`` (with a header; a missing label is an empty field,
        an empty one is ``""``), ``jsonl`` (one object a line; a missing label is null) or ``parquet``. None:
        by the suffix of `output`; ``txt`` where it has none, or is no name.
      output: a path, a URL, or an open binary file; None writes nothing.
      overwrite: replace a file that is there.

    Raises:
      ManifestError: if the subset, the format or the suffix is unknown, if there is a file and `overwrite` is
        not set, if the file cannot be written, or if an id with a line break is to become a line.

    Memory: the subset's rows and one row group of the examples.
    """
    file = None
    if isinstance(output, (str, os.PathLike)):
        file = PlainFile("export", output, SUFFIXES, format, default="txt", overwrite=overwrite)
    form = file.format if file else check_format("export", format, SUFFIXES) or "txt"
    rows = _rows(manifest, fraction, subset)
    if form == "txt":
        _check_lines(rows)
    if file is not None:
        file.write(rows)
    elif output is not None:
        write_rows(rows, form, output)
    return rows


def _rows(manifest: Manifest, fraction: float, subset: int) -> pa.Table:
    start, stop = manifest.subset_rows(fraction, subset)
    picks = manifest.table(schema.SUBSETS, ["index", "partition", "rank", "gain", "position"], start, stop)
    more = ["id", "label", *(["weight"] if manifest.weighted else [])]
    names = manifest.records(picks.column("index").to_numpy(), more)
    table = pa.table({**{n: picks[n] for n in picks.column_names}, **{n: names[n] for n in more}})
    return table.select([*COLUMNS, *more[2:]])


def _check_lines(rows: pa.Table) -> None:
    broken = pc.match_substring_regex(rows.column("id"), r"[\r\n]")
    if pc.any(broken).as_py():
        place = int(np.flatnonzero(broken.to_numpy())[0])
        raise ManifestError(
            f"export: id {rows.column('id')[place].as_py()!r} holds a line break;"
            " export as csv, jsonl or parquet"
        )
