"""The tables of a manifest, read by slices of rows, by index and by id."""

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from syllabus.manifests.errors import ManifestError
from syllabus.manifests.format import schema
from syllabus.manifests.format.schema import ROW_GROUP_ROWS, Table, table_of, table_rows
from syllabus.manifests.ids import as_strings, find_ids
from syllabus.manifests.reading.opening import Snapshot
from syllabus.manifests.reading.parquet_parts import Parts
from syllabus.manifests.storage import Store

Indices = npt.NDArray[np.int64]


class ManifestTables:
    """The tables of a manifest as they lie in its directory; what they mean, `Manifest` knows."""

    def __init__(self, store: Store, description: dict[str, Any]) -> None:
        self.store = store
        self.location = store.url()
        self.description = description
        self._rows = table_rows(description)
        self._snapshot = Snapshot(store, description)

    def table(
        self,
        table: Table | str,
        columns: Sequence[str] | None = None,
        start: int = 0,
        stop: int | None = None,
    ) -> pa.Table:
        """Return rows start … stop - 1 of a table, given by itself or by its directory.

        Cost: the row groups that hold these rows (at most 131,072 rows each), in the `columns` asked for.

        Raises:
          ManifestError: if there is no such table, column or row, or a part cannot be read.
        """
        parts = self.parts(table)
        first, last = within(start, stop, parts.rows, table if isinstance(table, str) else table.directory)
        return parts.read(first, last, columns)

    def column(
        self, table: Table | str, name: str, start: int = 0, stop: int | None = None
    ) -> npt.NDArray[Any]:
        """Return one column of numbers without nulls of rows start … stop - 1, in the column's own dtype.

        Memory: the array and one part, at most 1,048,576 rows.

        Raises:
          ManifestError: as `table`; or the column is not of numbers, or has nulls.
        """
        directory = table if isinstance(table, str) else table.directory
        parts = self.parts(table)
        first, last = within(start, stop, parts.rows, directory)
        return parts.column(first, last, name)

    def batches(
        self, table: Table | str, columns: Sequence[str] | None = None, rows: int = ROW_GROUP_ROWS
    ) -> Iterator[pa.Table]:
        """Yield a table in its order, `rows` rows at a time (the last fewer); holds one row group more."""
        if rows < 1:
            raise ManifestError(f"batches: rows = {rows} is below 1")
        return self.parts(table).cut(columns, repeat(rows))

    def lookup(self, ids: Any) -> Indices:
        """Return the index of each id, (rows,) int64.

        Args:
          ids: (rows,) strings, or integers standing for their text: a sequence, NumPy or Arrow array.

        Raises:
          ManifestError: if ids are not in the manifest; with their number and three of them.

        Cost: reads the columns id and index once; memory O(rows) ids and a row group.
        """
        wanted = as_strings(ids)
        rows = max(ROW_GROUP_ROWS, 8 * len(wanted))
        return find_ids(self.batches(schema.EXAMPLES, ["index", "id"], rows), wanted)

    def records(self, indices: Indices, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of ``examples`` for these indices, in the order given, repetitions included.

        Args:
          indices: (rows,) int64; each must be an accepted example.
          columns: those of ``examples`` that are wanted, all by default.

        Cost: the row groups whose statistics admit one of the indices.
        """
        wanted, place = np.unique(np.asarray(indices, dtype=np.int64), return_inverse=True)
        names = list(schema.examples_of(self.description).schema.names if columns is None else columns)
        rows, found = self.parts(schema.EXAMPLES).with_values("index", wanted, names)
        if not found.all():
            missing = wanted[~found]
            raise ManifestError(
                f"records: {missing.size} of {wanted.size} indices are no accepted examples: {missing[0]}, …"
            )
        return rows.take(pa.array(place))

    def joined(self, rows: pa.Table, columns: Sequence[str]) -> pa.Table:
        """Return rows with columns of ``examples`` behind theirs, found by the column `index`.

        Raises:
          ManifestError: the rows have no index, or have one of the columns; the columns are one text.
        """
        if isinstance(columns, str):
            raise ManifestError(f"join: {columns!r} is a text; give a list of columns, [{columns!r}]")
        if not columns:
            return rows
        if "index" not in rows.column_names:
            raise ManifestError(f"join: the rows have no column index to find {columns[0]!r} by")
        for name in columns:
            if name in rows.column_names:
                raise ManifestError(f"join: the rows have a column {name!r} of their own")
        columns = list(dict.fromkeys(columns))
        found = self.records(rows["index"].to_numpy(), columns)
        for name in columns:
            rows = rows.append_column(found.schema.field(name), found[name])
        return rows

    def parts(self, table: Table | str) -> Parts:
        """Return the parts of one table, for readers that need more than slices and batches."""
        directory = (table if isinstance(table, str) else table.directory).rstrip("/")
        if directory not in self._rows:
            raise ManifestError(
                f"{directory}/: the manifest has no such table; it has {', '.join(self._rows)}"
            )
        files = self.description["files"]
        own = [entry for entry in files if entry["path"].rpartition("/")[0] == directory]
        return Parts(self.store, own, self._snapshot, table_of(directory, self.description))


def within(start: int, stop: int | None, rows: int, name: str) -> tuple[int, int]:
    """Return (start, stop), which must lie within the rows of what is called `name`; None is the end."""
    last = rows if stop is None else stop
    if not 0 <= start <= last <= rows:
        raise ManifestError(f"{name}: rows {start} to {last} are not within its {rows} rows")
    return start, last
