"""Export of a subset as a plain file, for programs that read no manifest."""

import os
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from syllabus.manifests.errors import ManifestError
from syllabus.manifests.format import schema
from syllabus.manifests.reading.manifest import Manifest
from syllabus.manifests.storage import Store

COLUMNS = ("index", "id", "label", "partition", "rank", "gain", "position")
FORMATS = ("txt", "csv", "parquet")


def export(
    manifest: Manifest,
    fraction: float,
    subset: int = 0,
    format: str = "txt",  # noqa: A002 - the word on the command line
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
        an empty one is ``""``) or ``parquet``.
      output: a path, a URL, or an open binary file; None writes nothing.
      overwrite: replace a file that is there.

    Raises:
      ManifestError: if the subset or the format is unknown, if there is a file and `overwrite` is not set, or
        if an id with a line break is to become a line.

    Memory: the subset's rows and one row group of the examples.
    """
    if format not in FORMATS:
        raise ManifestError(f"export: format {format!r} is unknown; known: {', '.join(FORMATS)}")
    if isinstance(output, (str, os.PathLike)):
        store, name = _target(output, overwrite)
    rows = _rows(manifest, fraction, subset)
    if format == "txt":
        _check_lines(rows)
    if isinstance(output, (str, os.PathLike)):
        with store.writing(name) as sink:
            _write(rows, format, sink)
    elif output is not None:
        _write(rows, format, output)
    return rows


def _target(output: str | os.PathLike[str], overwrite: bool) -> tuple[Store, str]:
    """Return where a file is to be written, before anything is read for it."""
    text = os.fspath(output)
    path = text if "://" in text else os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111
    directory, _, name = path.rpartition("/")
    store = Store(directory or "/")
    if store.exists(name) and not store.is_file(name):
        raise ManifestError(f"export: {text}: is there already, and is no file")
    if store.exists(name) and not overwrite:
        raise ManifestError(f"export: {text}: is there already; give another, or --overwrite")
    return store, name


def _rows(manifest: Manifest, fraction: float, subset: int) -> pa.Table:
    start, stop = manifest.subset_rows(fraction, subset)
    picks = manifest.table(schema.SUBSETS, ["index", "partition", "rank", "gain", "position"], start, stop)
    more = ["id", "label", *(["weight"] if manifest.weighted else [])]
    names = manifest.records(picks.column("index").to_numpy(), more)
    table = pa.table({**{n: picks[n] for n in picks.column_names}, **{n: names[n] for n in more}})
    return table.select([*COLUMNS, *more[2:]])


def _write(rows: pa.Table, format: str, sink: Any) -> None:  # noqa: A002
    if format == "txt":
        for chunk in rows.column("id").chunks:
            sink.write("".join(f"{value}\n" for value in chunk.to_pylist()).encode())
    elif format == "csv":
        pacsv.write_csv(rows, sink)
    else:
        pq.write_table(rows, sink, compression="zstd")


def _check_lines(rows: pa.Table) -> None:
    broken = pc.match_substring_regex(rows.column("id"), r"[\r\n]")
    if pc.any(broken).as_py():
        place = int(np.flatnonzero(broken.to_numpy())[0])
        raise ManifestError(
            f"export: id {rows.column('id')[place].as_py()!r} holds a line break; export as csv or parquet"
        )
