"""The Parquet parts of one table: rows are read from the row groups that hold them, and no others."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from syllabus.manifests.errors import ManifestError, first_line
from syllabus.manifests.format.schema import Table
from syllabus.manifests.reading.opening import Snapshot
from syllabus.manifests.storage import Store

LOCAL_BUFFER, REMOTE_BUFFER = 1 << 20, 8 << 20
# Arrow's number types and NumPy's.
NUMBERS: dict[str, np.dtype[Any]] = {
    "int32": np.dtype(np.int32),
    "int64": np.dtype(np.int64),
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
}


class Parts:
    """The parts of one table, in order.

    Args:
      store: the manifest's directory.
      files: the table's entries of manifest.json.
      snapshot: knows whether the manifest is still there.
      table: what columns the parts have, where that is fixed.
    """

    def __init__(
        self, store: Store, files: Sequence[dict[str, Any]], snapshot: Snapshot, table: Table | None
    ) -> None:
        self.store = store
        self._table = table
        self._snapshot = snapshot
        self.paths = [str(entry["path"]) for entry in files]
        # Part p holds the rows bounds[p] … bounds[p + 1] - 1 of the table.
        self.bounds = np.cumsum([0, *(int(entry["rows"]) for entry in files)], dtype=np.int64)
        self.rows = int(self.bounds[-1])

    def read(self, start: int, stop: int, columns: Sequence[str] | None) -> pa.Table:
        """Return the rows start … stop - 1; both must lie within the table."""
        return self.read_ranges(np.asarray([start]), np.asarray([stop]), columns)

    def read_ranges(
        self, starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64], columns: Sequence[str] | None
    ) -> pa.Table:
        """Return the rows of several ranges, ascending and disjoint; a row group is read once at most."""
        full = stops > starts
        pieces = list(self._pieces(starts[full], stops[full], columns))
        if pieces:
            return pa.concat_tables(pieces)
        with self._opened(0) as file:
            return file.read_row_groups([], columns=_known(file, columns, self.paths[0]))

    def column(self, start: int, stop: int, name: str) -> npt.NDArray[Any]:
        """Return one column of numbers of the rows start … stop - 1, which must lie within the table.

        Memory: the array and one part; a table of the same rows would be held twice for a moment.
        """
        kind = NUMBERS.get(str(self.read(0, 0, [name]).schema.field(0).type))
        if kind is None:
            raise ManifestError(f"{self.paths[0]}: column {name} does not hold numbers")
        self._check_rows(start, stop)
        values: npt.NDArray[Any] = np.empty(stop - start, kind)
        for part, low in enumerate(self.bounds[:-1].tolist()):
            first, last = max(start, low), min(stop, int(self.bounds[part + 1]))
            if first < last:
                rows = self._whole(part, first - low, last - low, name)
                if rows.null_count:
                    raise ManifestError(f"{self.paths[part]}: column {name} has nulls")
                filled = first - start
                for chunk in rows.chunks:
                    values[filled : filled + len(chunk)] = _numbers(chunk, kind)
                    filled += len(chunk)
        return values

    def _check_rows(self, start: int, stop: int) -> None:
        """Compare the footers of all parts but the first with manifest.json, before room is made for them."""
        for part in range(1, len(self.paths)):
            if start < self.bounds[part + 1] and self.bounds[part] < stop:
                with self._opened(part):
                    pass

    def _whole(self, part: int, start: int, stop: int, name: str) -> pa.ChunkedArray:
        """Return rows start … stop - 1 of one part's column, its row groups read at once: half the time."""
        path = self.paths[part]
        with self._opened(part) as file:
            ends = np.cumsum([0, *(file.metadata.row_group(g).num_rows for g in range(file.num_row_groups))])
            first = int(np.searchsorted(ends, start, side="right")) - 1
            last = int(np.searchsorted(ends, stop, side="left"))
            column = file.read_row_groups(list(range(first, last)), columns=[name]).column(0)
            # A page whose header is damaged may be passed over in silence.
            if len(column) != ends[last] - ends[first]:
                raise ManifestError(
                    f"{path}: cannot be read: row groups {first} to {last - 1} gave {len(column)} of "
                    f"{ends[last] - ends[first]} rows"
                )
            return column.slice(start - int(ends[first]), stop - start)

    def cut(self, columns: Sequence[str] | None, sizes: Iterable[int]) -> Iterator[pa.Table]:
        """Yield the rows from the first on as tables of the given `sizes`; holds one row group more.

        Ends with the rows or the sizes; the last table is shorter where the rows end inside it.
        """
        wanted = iter(sizes)
        size = next(wanted, 0)
        waiting: list[pa.Table] = []
        count = 0
        for piece in self._pieces(np.asarray([0]), np.asarray([self.rows]), columns):
            while piece.num_rows and size:
                taken = piece.slice(0, size - count)
                piece = piece.slice(taken.num_rows)
                waiting.append(taken)
                count += taken.num_rows
                if count == size:
                    yield pa.concat_tables(waiting)
                    waiting, count, size = [], 0, next(wanted, 0)
            if not size:
                return
        if waiting:
            yield pa.concat_tables(waiting)

    def find(self, column: str, values: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        """Yield (start, stop) of the row groups that may hold one of the sorted `values`, by statistics."""
        for part, path in enumerate(self.paths):
            with self._opened(part) as file:
                place = file.schema_arrow.get_field_index(column)
                row = int(self.bounds[part])
                for group in range(file.num_row_groups):
                    meta = file.metadata.row_group(group)
                    statistics = meta.column(place).statistics
                    if statistics is None or not statistics.has_min_max:
                        raise ManifestError(f"{path}: row group {group} has no statistics of {column}")
                    first, last = np.searchsorted(values, [statistics.min, statistics.max + 1])
                    if last > first:
                        yield row, row + meta.num_rows
                    row += meta.num_rows

    def with_values(
        self, column: str, values: npt.NDArray[np.int64], columns: Sequence[str]
    ) -> tuple[pa.Table, npt.NDArray[np.bool_]]:
        """Return the rows with one of the `values` in `column`, and which of the values there are.

        Both ascend, without repetitions. Reads the row groups whose statistics admit one of the values.
        """
        pieces, found = [self.read(0, 0, columns)], np.zeros(len(values), np.bool_)
        for start, stop in self.find(column, values):
            rows = self.read(start, stop, [column, *(name for name in columns if name != column)])
            held = rows.column(column).to_numpy()
            first, last = np.searchsorted(values, [held[0], held[-1] + 1])
            place = np.searchsorted(held, values[first:last])
            found[first:last] = held[place] == values[first:last]
            pieces.append(rows.select(columns).take(pa.array(place[found[first:last]])))
        return pa.concat_tables(pieces), found

    def blocks(
        self, ranges: Iterable[tuple[int, int]], columns: Sequence[str] | None, rows: int
    ) -> Iterator[pa.Table]:
        """Yield the rows of several (start, stop), ascending and disjoint, at most `rows` at a time.

        Holds two blocks and 1 MB (8 MB off this machine) a column, never a row group.
        """
        bounds = np.asarray([*ranges], np.int64).reshape(-1, 2)
        yield from self._pieces(bounds[:, 0], bounds[:, 1], columns, rows)

    def _pieces(
        self,
        starts: npt.NDArray[np.int64],
        stops: npt.NDArray[np.int64],
        columns: Sequence[str] | None,
        most: int | None = None,
    ) -> Iterator[pa.Table]:
        for part, path in enumerate(self.paths):
            low, high = int(self.bounds[part]), int(self.bounds[part + 1])
            if not _overlap(starts, stops, low, high):
                continue
            with self._opened(part, buffered=most is not None) as file:
                names = _known(file, columns, path)
                row = low
                for group in range(file.num_row_groups):
                    end = row + file.metadata.row_group(group).num_rows
                    if _overlap(starts, stops, row, end):
                        first = row
                        for rows in _decoded(file, group, names, most, path):
                            for start, stop in _overlap(starts, stops, first, first + rows.num_rows):
                                yield rows.slice(start - first, stop - start)
                            first += rows.num_rows
                    row = end

    @contextmanager
    def _opened(self, part: int, buffered: bool = False) -> Iterator[pq.ParquetFile]:
        path = self.paths[part]
        buffer = (LOCAL_BUFFER if self.store.is_local else REMOTE_BUFFER) if buffered else 0
        try:
            with (
                self.store.open(path) as source,
                pq.ParquetFile(
                    source,
                    # Either would read all of a row group's bytes before the first row.
                    pre_buffer=not self.store.is_local and not buffered,
                    buffer_size=buffer,
                    page_checksum_verification=True,
                ) as file,
            ):
                # Opened, and then seen to be of this manifest: what replaces it has parts of the same names.
                self._snapshot.check()
                expected = int(self.bounds[part + 1] - self.bounds[part])
                groups = (file.metadata.row_group(g).num_rows for g in range(file.num_row_groups))
                if (rows := sum(groups)) != expected or rows != file.metadata.num_rows:
                    raise ManifestError(f"{path}: has {rows} rows, manifest.json says {expected}")
                # A footer has no checksum: a bit of it may be a name or a type.
                for problem in self._table.problems(file.schema_arrow) if self._table is not None else ():
                    raise ManifestError(f"{path}: {problem}")
                yield file
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # of a column's name
            self._snapshot.check()
            raise ManifestError(f"{path}: cannot be read: {first_line(error)}") from error


def _decoded(
    file: pq.ParquetFile, group: int, names: list[str] | None, most: int | None, path: str
) -> Iterator[pa.Table]:
    """Yield a row group whole, or `most` rows at a time."""
    expected, got = file.metadata.row_group(group).num_rows, 0
    if most is None:
        whole = file.read_row_group(group, columns=names)
        got = whole.num_rows
        if got == expected:
            yield whole
    else:
        for batch in file.iter_batches(most, [group], names):
            got += batch.num_rows
            yield pa.Table.from_batches([batch])
    # A page whose header is damaged may be passed over in silence.
    if got != expected:
        raise ManifestError(f"{path}: cannot be read: row group {group} gave {got} of {expected} rows")


def _numbers(chunk: pa.Array, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    # Not to_numpy(): the first call in a process imports pandas where there is one, .7 s.
    content: Any = chunk.buffers()[1]
    return np.frombuffer(content, kind)[chunk.offset : chunk.offset + len(chunk)]


def _overlap(
    starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64], low: int, high: int
) -> list[tuple[int, int]]:
    """Return the ranges cut to low … high - 1, empty ones left out; O(log ranges + those returned)."""
    first = int(np.searchsorted(stops, low, side="right"))
    last = int(np.searchsorted(starts, high, side="left"))
    cut = zip(starts[first:last].tolist(), stops[first:last].tolist(), strict=True)
    return [(max(start, low), min(stop, high)) for start, stop in cut]


def _known(file: pq.ParquetFile, columns: Sequence[str] | None, path: str) -> list[str] | None:
    # Parquet readers pass over unknown names in silence.
    if columns is None:
        return None
    names = file.schema_arrow.names
    for name in columns:
        if name not in names:
            raise ManifestError(f"{path}: has no column {name!r}; it has {', '.join(names)}")
    return list(columns)
