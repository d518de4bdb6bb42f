"""The writer of a manifest: parts as the rows come, manifest.json last.

The bytes depend on the rows alone: not on how they were handed over, nor on time, host or path.
"""

import hashlib
import os
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from syllabus.manifests.errors import ManifestError, first_line
from syllabus.manifests.format import document, schema
from syllabus.manifests.format.schema import DOCUMENT, Table
from syllabus.manifests.format.sorting import SortCheck
from syllabus.manifests.storage import Store
from syllabus.manifests.writing.target import check_target, clear

# Few different values a row group; everywhere else a dictionary would only be tried and thrown away.
REPEATED = {
    "label",
    "partition",
    "source_file",
    "neighbour_agreement",
    "fraction",
    "budget",
    "subset",
    "reason",
}
# Packed differences: a hundredth of plain pages for what counts up (then zstd), never larger for the rest.
PACKED = set(
    "index source_row duplicate_group duplicate_of weight rank position"
    " cell examples neighbour other test_index".split()
)
# zstd would save a fifth of the sketches and triple the time of reading them, once an epoch.
UNCOMPRESSED = {"sketch"}
DATA_PAGE_BYTES = 1 << 20
ZSTD_LEVEL = 3


class ManifestWriter:
    """A writer of one manifest into a directory; a context manager.

    Entering clears what an interrupted writer left there. Leaving without `commit` removes the parts
    written: a directory without manifest.json is no manifest.

    Args:
      location: a local path, a URL that pyarrow reaches, or a Store. Made where it is not there.
      overwrite: replace a committed manifest; its manifest.json is the first thing deleted.

    Raises:
      ManifestError: on entering, before anything is deleted, if a manifest is there and `overwrite` is
        not set, if there are files that are no part of a manifest, or if another job is writing there.
    """

    def __init__(self, location: str | os.PathLike[str] | Store, overwrite: bool = False) -> None:
        self.store = location if isinstance(location, Store) else Store(location)
        self.overwrite = overwrite
        self._tables: dict[str, TableWriter] = {}
        self._parts_stay = False
        self._lock = ExitStack()

    def __enter__(self) -> "ManifestWriter":
        check_target(self.store, self.overwrite)
        with ExitStack() as stack:
            try:
                stack.enter_context(self.store.locked())
            except BlockingIOError:
                raise ManifestError(
                    f"{self.store.url()}: another job is writing a manifest there; nothing was touched"
                ) from None
            clear(self.store, self.overwrite)
            self._lock = stack.pop_all()
        return self

    def table(self, table: Table) -> "TableWriter":
        """Return the writer of one table, always the same one for a table; several may be open at once."""
        writer = self._tables.get(table.directory)
        if writer is None:
            if schema.PART.fullmatch(f"{table.directory}/part-00000.parquet") is None:
                raise ManifestError(f"{table.directory}/: is no directory of a manifest")
            writer = self._tables[table.directory] = TableWriter(self.store, table)
        elif writer.table != table:
            raise ManifestError(f"{table.directory}/: was opened with other columns before")
        return writer

    def commit(self, description: dict[str, Any]) -> dict[str, Any]:
        """Finish all tables and write manifest.json; return its content.

        Args:
          description: every key of manifest.json but `format`, `format_version`, `files` and
            `document_sha256`. Values may be NumPy scalars and arrays. With `weight`, the examples were
            written to the table `schema.examples(weighted=True)`; with `neighbours.duplicates.cover`,
            to that of `covered=True`.

        Raises:
          ManifestError: if a key is missing, or contradicts another or the rows written; if another job
            has committed a manifest there meanwhile, which stays.
        """
        for table in (schema.examples_of(description), schema.SUBSETS, schema.REJECTS):
            self.table(table)
        files: list[dict[str, Any]] = []
        for writer in self._tables.values():
            writer.close()
            files += writer.files
        files.sort(key=lambda entry: str(entry["path"]))
        content = document.encode({**description, "files": files})
        try:
            self.store.write(DOCUMENT, content, new=True)
        except FileExistsError:
            # Parts of the same names are the other's now.
            self._parts_stay = True
            raise ManifestError(
                f"{self.store.url()}: another job has committed a manifest there since this one began writing"
            ) from None
        self._parts_stay = True
        return document.decode(content)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if self._parts_stay:
                return
            for writer in self._tables.values():
                writer.discard()
        if kind is None:
            raise ManifestError(f"{self.store.url()}: the writer was left without commit(); nothing was kept")


class TableWriter:
    """A writer of the parts of one table. It holds at most one row group, whatever the size of the pieces.

    `files` lists the finished parts as manifest.json does.
    """

    def __init__(self, store: Store, table: Table) -> None:
        self.table = table
        self.files: list[dict[str, Any]] = []
        self._store = store
        self._check = SortCheck(table.sort_by)
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._part: _Part | None = None
        self._closed = False

    def write(self, rows: pa.Table) -> None:
        """Add `rows`, which follow those given before in the table's sort order.

        Raises:
          ManifestError: if columns, types, nulls or the order are not the table's.
        """
        if self._closed:
            raise ManifestError(f"{self.table.directory}/: is already finished")
        rows = _conform(rows, self.table)
        problem = self._check.problem(rows)
        if problem:
            raise ManifestError(f"{self.table.directory}/: {problem}")
        while rows.num_rows:
            taken = rows.slice(0, schema.ROW_GROUP_ROWS - self._waiting_rows)
            rows = rows.slice(taken.num_rows)
            self._waiting.append(taken)
            self._waiting_rows += taken.num_rows
            if self._waiting_rows == schema.ROW_GROUP_ROWS:
                self._flush()

    def close(self) -> None:
        """Finish the last part; a table without rows has one empty part."""
        if self._closed:
            return
        self._closed = True
        if self._waiting_rows:
            self._flush()
        if not self.files and self._part is None:
            self._part = self._next_part()
        self._finish_part()

    def discard(self) -> None:
        """Remove everything written."""
        self._closed = True
        if self._part is not None:
            self._part.discard()
            self._part = None
        for entry in self.files:
            self._store.delete(entry["path"])
        self.files = []

    def _flush(self) -> None:
        part = self._part or self._next_part()
        self._part = part
        # One chunk a column: pages must not follow the pieces in which the rows came, in any Arrow version.
        part.write(pa.concat_tables(self._waiting).combine_chunks())
        self._waiting, self._waiting_rows = [], 0
        if part.rows >= schema.PART_ROWS:
            self._finish_part()

    def _next_part(self) -> "_Part":
        return _Part(self._store, f"{self.table.directory}/part-{len(self.files):05d}.parquet", self.table)

    def _finish_part(self) -> None:
        if self._part is not None:
            self.files.append(self._part.close())
            self._part = None


class _Part:
    """One Parquet file while it is written."""

    def __init__(self, store: Store, path: str, table: Table) -> None:
        self.path = path
        self.rows = 0
        self._stack = ExitStack()
        self._sink = _CountingSink(self._stack.enter_context(store.writing(path)))
        self._parquet = pq.ParquetWriter(
            pa.PythonFile(self._sink, mode="w"),
            table.schema,
            version="2.6",
            data_page_version="1.0",
            compression={name: "none" if name in UNCOMPRESSED else "zstd" for name in table.schema.names},
            compression_level={name: ZSTD_LEVEL for name in table.schema.names if name not in UNCOMPRESSED},
            use_dictionary=[name for name in table.schema.names if name in REPEATED],
            column_encoding={name: "DELTA_BINARY_PACKED" for name in table.schema.names if name in PACKED},
            data_page_size=DATA_PAGE_BYTES,
            write_statistics=True,
            write_page_checksum=True,
            store_schema=True,
        )

    def write(self, rows: pa.Table) -> None:
        self._parquet.write_table(rows, row_group_size=schema.ROW_GROUP_ROWS)
        self.rows += rows.num_rows

    def close(self) -> dict[str, Any]:
        self._parquet.close()
        self._stack.close()
        return {
            "path": self.path,
            "rows": self.rows,
            "bytes": self._sink.bytes,
            "sha256": self._sink.digest.hexdigest(),
        }

    def discard(self) -> None:
        # The footer has nowhere to go any more, and a disk that is full must not hide the first error.
        self._sink.discarding = True
        with suppress(pa.ArrowException, OSError):
            self._parquet.close()
        # An exception makes the store drop what it was given.
        self._stack.__exit__(ManifestError, ManifestError(f"{self.path}: discarded"), None)


class _CountingSink:
    """A sink that passes bytes on, counted and digested: a file is never read back to be listed."""

    def __init__(self, sink: Any) -> None:
        self.digest = hashlib.sha256()
        self.bytes = 0
        self.closed = False
        self.discarding = False
        self._sink = sink

    def write(self, data: bytes) -> int:
        if self.discarding:
            return len(data)
        self.digest.update(data)
        self.bytes += len(data)
        self._sink.write(data)
        return len(data)

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None:
        """The store flushes when the file is done."""

    def close(self) -> None:
        self.closed = True


def _conform(rows: pa.Table, table: Table) -> pa.Table:
    """Return `rows` with exactly the table's schema; no value changes."""
    where = f"{table.directory}/"
    if rows.schema.names != table.schema.names:
        raise ManifestError(f"{where}: the columns are {rows.schema.names}; expected {table.schema.names}")
    for field in table.schema:
        nulls = rows.column(field.name).null_count
        if nulls and not field.nullable:
            raise ManifestError(f"{where}: column {field.name} has {nulls} nulls; it allows none")
    try:
        return rows.cast(table.schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise ManifestError(f"{where}: {first_line(error)}") from None
