"""The base class of sources."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from syllabus.manifests.errors import first_line
from syllabus.manifests.storage import Store
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.sources.records import CHUNK_ROWS, Chunk, Columns, Records
from syllabus.pipeline.sources.sampling import Sample


class Source(ABC):
    """A kind of source: cuts its files into chunks, and reads chunks on any worker.

    Instances are pickled to the workers: they hold a `Store` and names, nothing open.
    """

    suffixes: tuple[str, ...] = ()

    def __init__(self, store: Store, files: list[str]) -> None:
        self.store = store
        self.files = files
        self.stamps = self._stamps()

    def _stamps(self) -> dict[str, tuple[int, int]]:
        """Stamps of the files as the job began, before their digests were taken."""
        return {file: self.store.stamp(file) for file in self.files}

    def check_unchanged(self, chunk: Chunk) -> None:
        """Refuse a file that was written anew since the plan: its rows have no place under those keys."""
        if self.store.stamp(chunk.file) != self.stamps[chunk.file]:
            raise UserError(f"{self.store.url(chunk.file)}: has changed since the job began; run again")

    def format_of(self, file: str) -> str:  # noqa: ARG002
        """Return what decides how a file's bytes are read: two formats may hold the same bytes."""
        return type(self).__name__

    def classes(self, columns: Columns) -> tuple[str, ...] | None:  # noqa: ARG002
        """Return the names of the label's classes, where the first file stores numbers for them."""
        return None

    @abstractmethod
    def names(self, columns: Columns) -> list[str]:
        """Return the columns of the first file."""

    def resolved(self, columns: Columns) -> Columns:
        """Return columns with the names that ``*`` stands for in the first file."""
        if columns.kind != "embedding" or "*" not in columns.content:
            return columns
        return columns.resolved(self.store.url(self.files[0]), self.names(columns))

    @abstractmethod
    def check(self, columns: Columns) -> None:
        """Refuse columns that the first file has not, before anything is read whole."""

    @abstractmethod
    def chunks(self, columns: Columns, chunk_rows: int = CHUNK_ROWS) -> Iterator[Chunk]:
        """Yield the chunks in canonical order; a missing column or unreadable file is a `UserError`."""

    @abstractmethod
    def sample(self, columns: Columns, rows: int) -> Sample:
        """Return about `rows` rows of a few files; little more than those is read."""

    @abstractmethod
    def read(self, chunks: list[Chunk], columns: Columns) -> Iterator[Records]:
        """Yield the records of each chunk; `chunks` lie in one file, in ascending order."""

    def contents(self, chunks: list[Chunk], rows: list[list[int]], columns: Columns) -> Iterator[list[Any]]:
        """Yield the contents of some rows of each chunk, as `read` gives them."""
        for records, wanted in zip(self.read(chunks, columns), rows, strict=True):
            yield [records.content[row] for row in wanted]

    def schema(self) -> dict[str, str]:
        """Return {column: type} of the first file; empty for formats that say nothing of types."""
        return {}

    @abstractmethod
    def dimension(self, columns: Columns) -> int:
        """Return the width of the embedding column: of most of its first rows; 0 where it has no vectors."""

    @contextmanager
    def opened(self, file: str) -> Iterator[Any]:
        """Yield an open file; one that cannot be opened or read is the user's to mend."""
        try:
            with self.store.open(file) as handle:
                yield handle
        except OSError as error:
            raise UserError(f"{self.store.url(file)}: cannot be read: {first_line(error)}") from None


def most_common_width(values: list[object]) -> int:
    """Return the most frequent length among the vectors in `values`; 0 where there is none."""
    widths = [len(value) for value in values if isinstance(value, list | tuple | np.ndarray)]
    return max(sorted(set(widths)), key=widths.count) if widths else 0
