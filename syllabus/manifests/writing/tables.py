"""The writers of the tables of a manifest: Parquet parts as the rows come, whole or not at all."""

import hashlib
from contextlib import ExitStack, suppress
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from syllabus.manifests.errors import ManifestError, first_line
from syllabus.manifests.format import schema
from syllabus.manifests.format.schema import Table
from syllabus.manifests.format.sorting import SortCheck
from syllabus.manifests.storage import Store

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


class TableWriter:
    """A writer of the parts of one table. It holds at most one row group, whatever the size of the pieces.

    `files` lists the finished parts as manifest.json does. With `named_by_content` a part's name has 16
    digits of its sha256: parts of two manifests may then lie in one directory.
    """

    def __init__(self, store: Store, table: Table, named_by_content: bool = False) -> None:
        self.table = table
        self.files: list[dict[str, Any]] = []
        self._store = store
        self._named_by_content = named_by_content
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

    def discard(self) -> set[str]:
        """Write no more; return the paths of what was written."""
        self._closed = True
        if self._part is not None:
            self._part.discard()
            self._part = None
        return {str(entry["path"]) for entry in self.files}

    def _flush(self) -> None:
        part = self._part or self._next_part()
        self._part = part
        # One chunk a column: pages must not follow the pieces in which the rows came, in any Arrow version.
        part.write(pa.concat_tables(self._waiting).combine_chunks())
        self._waiting, self._waiting_rows = [], 0
        if part.rows >= schema.PART_ROWS:
            self._finish_part()

    def _next_part(self) -> "_Part":
        path = f"{self.table.directory}/part-{len(self.files):05d}.parquet"
        return _Part(self._store, path, self.table, self._named_by_content)

    def _finish_part(self) -> None:
        if self._part is not None:
            self.files.append(self._part.close())
            self._part = None


class _Part:
    """One Parquet file while it is written."""

    def __init__(self, store: Store, path: str, table: Table, named_by_content: bool) -> None:
        self.path = path
        self.rows = 0
        self._stack = ExitStack()
        named = self._name if named_by_content else None
        self._sink = _CountingSink(self._stack.enter_context(store.writing(path, named=named)))
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

    def _name(self) -> str:
        digest = self._sink.digest.hexdigest()[: schema.NAME_DIGITS]
        self.path = f"{self.path.removesuffix('.parquet')}-{digest}.parquet"
        return self.path

    def discard(self) -> None:
        # The footer has nowhere to go any more, and a disk that is full must not hide the first error.
        self._sink.discarding = True
        with suppress(pa.ArrowException, OSError):
            self._parquet.close()
        # An exception makes the store drop what it was given; closing the file writes, and may fail again.
        with suppress(OSError):
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
