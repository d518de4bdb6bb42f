"""The row groups of a Parquet source: which examples each holds, and reading some of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from syllabus.manifests import Manifest
from syllabus.manifests.errors import first_line
from syllabus.manifests.locations import parent_and_name
from syllabus.manifests.storage import Store
from syllabus.trainer.errors import TrainerError

FOOTERS = 16 << 20
"""Bytes of footers that are kept, as they are in their files: else each is read with every row group."""
REQUESTS = 8
"""Row groups that are asked of an object store at once: each answer is waited for."""


class RowGroups:
    """The row groups of the source that a manifest was made from, in its canonical order.

    An example's index counts the source's rows, so a file's rows are consecutive indices, and so are those of
    a row group. It holds no file open and may be pickled.

    Args:
        manifest: made from the source.
        source: the folder that the manifest's files are relative to, or the one file; a path or a URL.
        columns: of the source, those that are read; None for all.

    Attributes:
        starts: (groups,) int64 ascending, the index of the first row of each.

    Cost: one pass over three columns of the examples, and the footer of each file.

    Raises:
        TrainerError: a file that is missing, no Parquet, has other rows than were numbered or lacks a column.
    """

    def __init__(
        self, manifest: Manifest, source: str | os.PathLike[str], columns: Sequence[str] | None
    ) -> None:
        self.columns = None if columns is None else list(columns)
        store = Store(source)
        # The files of a manifest are relative to a folder, also where it was made from one of them.
        folder, only = parent_and_name(store.location)
        self._store = Store(folder) if store.is_file() else store
        names, starts, lasts = _files(manifest)
        if store.is_file() and names != [only]:
            raise TrainerError(f"{only}: the manifest was made from {', '.join(names[:3])}")
        ends = [*starts[1:], manifest.source_rows]
        self._footers: dict[str, pq.FileMetaData] = {}
        self._footer_bytes = 0
        groups: list[tuple[int, int, int]] = []
        for name, start, last, end in zip(names, starts, lasts, ends, strict=True):
            sizes = self._sizes(name)
            if not last - start < sum(sizes) <= end - start:
                numbered = f"{last - start + 1} to {end - start}"
                raise TrainerError(f"{name}: has {sum(sizes)} rows, {numbered} were numbered: it has changed")
            for number, size in enumerate(sizes):
                groups.append((start, names.index(name), number))
                start += size
        self._names = names
        table = np.array(groups, np.int64)
        self.starts, self._file, self._number = table.T.copy()

    def of(self, indices: np.ndarray) -> np.ndarray:
        """Return the row group of each of the int64 `indices`."""
        return np.searchsorted(self.starts, indices, side="right") - 1

    def read(self, indices: np.ndarray) -> pa.Table:
        """Return the rows of these examples in this order; reads the row groups that hold them, each once."""
        group = self.of(indices)
        order = np.argsort(group, kind="stable")
        needed, first = np.unique(group[order], return_index=True)
        wanted = [
            indices[places] - self.starts[which]
            for which, places in zip(needed, np.split(order, first[1:]), strict=True)
        ]
        if self._store.is_local:
            pieces = list(map(self._rows, needed.tolist(), wanted))
        else:
            with ThreadPoolExecutor(REQUESTS) as pool:
                pieces = list(pool.map(self._rows, needed.tolist(), wanted))
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return pa.concat_tables(pieces).take(pa.array(back))

    def _rows(self, which: int, rows: np.ndarray) -> pa.Table:
        """Return some rows of a row group."""
        with self._open(self._names[self._file[which]]) as parquet:
            group = parquet.read_row_group(int(self._number[which]), columns=self.columns)
            return group.take(pa.array(rows))

    def _sizes(self, name: str) -> list[int]:
        with self._open(name) as parquet:
            known = parquet.schema_arrow.names
            lost = [column for column in self.columns or () if column not in known]
            if lost:
                raise TrainerError(f"{name}: has no column {lost[0]!r}; it has {', '.join(known)}")
            metadata = parquet.metadata
            if not self._store.is_local and self._footer_bytes + metadata.serialized_size <= FOOTERS:
                self._footers[name] = metadata
                self._footer_bytes += metadata.serialized_size
            return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]

    @contextmanager
    def _open(self, name: str) -> Iterator[pq.ParquetFile]:
        try:
            with (
                self._store.open(name) as file,
                pq.ParquetFile(
                    file, metadata=self._footers.get(name), pre_buffer=not self._store.is_local
                ) as parquet,
            ):
                yield parquet
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise TrainerError(f"{name}: cannot be read: {first_line(error)}") from error


def _files(manifest: Manifest) -> tuple[list[str], list[int], list[int]]:
    """Return the files that have examples, in canonical order, the index of row 0 and the last of each."""
    names: list[str] = []
    starts: list[int] = []
    lasts: list[int] = []
    for rows in manifest.batches("examples", ["index", "source_file", "source_row"]):
        index = rows["index"].to_numpy()
        offsets = index - rows["source_row"].to_numpy()
        coded = rows["source_file"].combine_chunks().dictionary_encode()
        codes = coded.indices.to_numpy()
        turns = np.flatnonzero((np.diff(codes) != 0) | (np.diff(offsets) != 0)) + 1
        for row, stop in pairwise([0, *turns.tolist(), len(index)]):
            name, start = coded.dictionary[int(codes[row])].as_py(), int(offsets[row])
            if names[-1:] == [name] and starts[-1] == start:
                lasts[-1] = int(index[stop - 1])
                continue
            if name in names[-1:]:
                raise TrainerError(f"{name}: the manifest's indices do not count its rows")
            names.append(name)
            starts.append(start)
            lasts.append(int(index[stop - 1]))
    return names, starts, lasts
