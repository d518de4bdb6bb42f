"""Export of a subset as a plain file, for programs that read no manifest."""

import json
import os
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from syllabus.manifests.errors import ManifestError, first_line
from syllabus.manifests.format import schema
from syllabus.manifests.reading.manifest import Manifest
from syllabus.manifests.storage import Store

COLUMNS = ("index", "id", "label", "partition", "rank", "gain", "position")
SUFFIXES = {"txt": ".txt", "csv": ".csv", "jsonl": ".jsonl .ndjson", "parquet": ".parquet"}
"""The formats, and the suffixes of the files that have them."""
PIECE = 10_000


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
    if isinstance(output, (str, os.PathLike)):
        form = _format_of(os.fspath(output)) if format is None else format
    else:
        form = format or "txt"
    if form not in SUFFIXES:
        raise ManifestError(f"export: format {form!r} is unknown; known: {', '.join(SUFFIXES)}")
    if isinstance(output, (str, os.PathLike)):
        store, name = _target(output, overwrite)
    rows = _rows(manifest, fraction, subset)
    if form == "txt":
        _check_lines(rows)
    if isinstance(output, (str, os.PathLike)):
        try:
            store.sweep(name=name)
            with store.writing(name) as sink:
                _write(rows, form, sink)
        except (pa.ArrowException, OSError) as error:
            raise ManifestError(
                f"export: {os.fspath(output)}: cannot be written: {first_line(error)}"
            ) from None
    elif output is not None:
        _write(rows, form, output)
    return rows


def _format_of(output: str) -> str:
    """Return the format of a file by its name's suffix."""
    path = output.partition("?")[0] if "://" in output else output
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122
    if not suffix:
        return "txt"
    for name, suffixes in SUFFIXES.items():
        if suffix in suffixes.split():
            return name
    known = ", ".join(" ".join(SUFFIXES.values()).split())
    raise ManifestError(f"export: {output}: suffix {suffix!r} is unknown; known: {known}; or give a format")


def _target(output: str | os.PathLike[str], overwrite: bool) -> tuple[Store, str]:
    """Return where a file is to be written, before anything is read for it."""
    text = os.fspath(output)
    directory, _, name = _absolute(output).rpartition("/")
    if not name or ("://" in text and "://" not in directory):
        raise ManifestError(f"export: {text!r}: names no file")
    try:
        store = Store(directory or "/")
        store.exists()
    except (pa.ArrowException, OSError, ManifestError) as error:
        raise ManifestError(f"export: {text}: cannot be written: {first_line(error)}") from None
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
    elif format == "jsonl":
        for batch in rows.to_batches(max_chunksize=PIECE):
            lines = (json.dumps(row, ensure_ascii=False) for row in batch.to_pylist())
            sink.write("".join(f"{line}\n" for line in lines).encode())
    elif format == "csv":
        pacsv.write_csv(rows, sink)
    else:
        pq.write_table(rows, sink, compression="zstd")


def _check_lines(rows: pa.Table) -> None:
    broken = pc.match_substring_regex(rows.column("id"), r"[\r\n]")
    if pc.any(broken).as_py():
        place = int(np.flatnonzero(broken.to_numpy())[0])
        raise ManifestError(
            f"export: id {rows.column('id')[place].as_py()!r} holds a line break;"
            " export as csv, jsonl or parquet"
        )


def _absolute(output: str | os.PathLike[str]) -> str:
    text = os.fspath(output)
    return text if not text or "://" in text else os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111
