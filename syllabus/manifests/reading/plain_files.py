"""Rows as a plain file, CSV, JSON lines or Parquet, that is there whole or not at all."""

import json
import os
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from syllabus.manifests.errors import ManifestError, first_line
from syllabus.manifests.locations import parent_and_name
from syllabus.manifests.storage import Store

SUFFIXES = {"csv": ".csv", "jsonl": ".jsonl .ndjson", "parquet": ".parquet"}
"""The formats, and the suffixes of the files that have them."""
PIECE = 10_000


class PlainFile:
    """A file to be written: whether it may be is known before anything is read for it.

    Args:
      command: who writes, the first word of every error.
      output: a path or URL.
      suffixes: the formats that are known, and their suffixes; by default `SUFFIXES`.
      format: one of them; None for that of the suffix, or for `default` where there is no suffix.
      default: None where a suffix is needed.
      overwrite: replace a file that is there.

    Raises:
      ManifestError: format or suffix are unknown, something is there, or the place cannot be written to.
    """

    def __init__(
        self,
        command: str,
        output: str | os.PathLike[str],
        suffixes: dict[str, str] = SUFFIXES,
        format: str | None = None,  # noqa: A002 - the word on the command line
        default: str | None = None,
        overwrite: bool = False,
    ) -> None:
        self._name = f"{command}: {os.fspath(output)}"
        self.format = check_format(command, format, suffixes) or self._by_suffix(output, suffixes, default)
        self._store, self._file = self._place(command, output, overwrite)

    def _by_suffix(
        self, output: str | os.PathLike[str], suffixes: dict[str, str], default: str | None
    ) -> str:
        text = os.fspath(output)
        path = text.partition("?")[0] if "://" in text else text
        suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122
        if not suffix and default is not None:
            return default
        for name, own in suffixes.items():
            if suffix in own.split():
                return name
        known = ", ".join(" ".join(suffixes.values()).split())
        more = "" if default is None else "; or give a format"
        raise ManifestError(f"{self._name}: suffix {suffix!r} is unknown; known: {known}{more}")

    def _place(self, command: str, output: str | os.PathLike[str], overwrite: bool) -> tuple[Store, str]:
        text = os.fspath(output)
        directory, name = parent_and_name(_absolute(output))
        if not name or ("://" in text and "://" not in directory):
            raise ManifestError(f"{command}: {text!r}: names no file")
        try:
            store = Store(directory)
            store.exists()
        except (pa.ArrowException, OSError, ManifestError) as error:
            raise ManifestError(f"{self._name}: cannot be written: {first_line(error)}") from None
        if store.exists(name) and not store.is_file(name):
            raise ManifestError(f"{self._name}: is there already, and is no file")
        if store.exists(name) and not overwrite:
            raise ManifestError(f"{self._name}: is there already; give another, or --overwrite")
        return store, name

    def write(self, rows: pa.Table) -> None:
        """Write the rows.

        Raises:
          ManifestError: it cannot be written; nothing is left then.
        """
        try:
            self._store.sweep(name=self._file)
            with self._store.writing(self._file) as sink:
                write_rows(rows, self.format, sink)
        except (pa.ArrowException, OSError) as error:
            raise ManifestError(f"{self._name}: cannot be written: {first_line(error)}") from None


def check_format(command: str, format: str | None, suffixes: dict[str, str]) -> str | None:  # noqa: A002
    """Return the format, which must be known; None stays None."""
    if format is not None and format not in suffixes:
        raise ManifestError(f"{command}: format {format!r} is unknown; known: {', '.join(suffixes)}")
    return format


def write_rows(rows: pa.Table, format: str, sink: Any) -> None:  # noqa: A002
    """Write rows to an open binary file; ``txt`` has their ids alone. In CSV, lists are arrays of JSON."""
    if format == "txt":
        for chunk in rows.column("id").chunks:
            sink.write("".join(f"{value}\n" for value in chunk.to_pylist()).encode())
    elif format == "jsonl":
        for batch in rows.to_batches(max_chunksize=PIECE):
            lines = (json.dumps(row, ensure_ascii=False) for row in batch.to_pylist())
            sink.write("".join(f"{line}\n" for line in lines).encode())
    elif format == "csv":
        for place, field in enumerate(rows.schema):
            if pa.types.is_list(field.type):
                texts = [value and json.dumps(value, ensure_ascii=False) for value in rows[place].to_pylist()]
                rows = rows.set_column(place, field.name, pa.array(texts, pa.string()))
        pacsv.write_csv(rows, sink)
    else:
        pq.write_table(rows, sink, compression="zstd")


def _absolute(output: str | os.PathLike[str]) -> str:
    text = os.fspath(output)
    return text if not text or "://" in text else os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111
