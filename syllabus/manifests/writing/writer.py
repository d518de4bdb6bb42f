"""The writer of a manifest: parts as the rows come, manifest.json last.

The bytes depend on the rows alone: not on how they were handed over, nor on time, host or path.
"""

import os
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from syllabus.manifests.errors import ManifestError
from syllabus.manifests.format import document, schema
from syllabus.manifests.format.schema import Table
from syllabus.manifests.storage import Store
from syllabus.manifests.writing.commits import TAKEN, Commit, begin
from syllabus.manifests.writing.tables import TableWriter


class ManifestWriter:
    """A writer of one manifest into a directory; a context manager.

    Entering clears what an interrupted writer left there. Leaving without `commit` removes the parts
    written: a directory without manifest.json is no manifest.

    Args:
      location: a local path, a URL that pyarrow reaches, or a Store. Made where it is not there.
      overwrite: replace a committed manifest; it stays, whole, until `commit` has the new one.

    Raises:
      ManifestError: on entering, before anything is deleted, if a manifest is there and `overwrite` is
        not set, if there are files that are no part of a manifest, or if another job is writing there.
    """

    def __init__(self, location: str | os.PathLike[str] | Store, overwrite: bool = False) -> None:
        self.store = location if isinstance(location, Store) else Store(location)
        self.overwrite = overwrite
        self._tables: dict[str, TableWriter] = {}
        self._commit: Commit | None = None
        self._committed = False
        self._stack = ExitStack()

    def __enter__(self) -> "ManifestWriter":
        self._commit = self._stack.enter_context(begin(self.store, self.overwrite))
        return self

    def table(self, table: Table) -> "TableWriter":
        """Return the writer of one table, always the same one for a table; several may be open at once."""
        writer = self._tables.get(table.directory)
        if writer is None:
            if schema.PART.fullmatch(f"{table.directory}/part-00000.parquet") is None:
                raise ManifestError(f"{table.directory}/: is no directory of a manifest")
            way = self._entered()
            writer = self._tables[table.directory] = TableWriter(way.store, table, way.named_by_content)
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
            has committed a manifest there meanwhile, which stays; if the one there cannot be replaced.
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
            self._entered().publish(content, files)
        except FileExistsError:
            raise ManifestError(f"{self.store.url()}: {TAKEN}") from None
        self._committed = True
        return document.decode(content)

    def _entered(self) -> Commit:
        if self._commit is None:
            raise ManifestError(f"{self.store.url()}: the writer was not entered: use it in a with statement")
        return self._commit

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if self._committed:
                return
            written = [writer.discard() for writer in self._tables.values()]
            self._entered().discard(set().union(*written))
        if kind is None:
            raise ManifestError(f"{self.store.url()}: the writer was left without commit(); nothing was kept")
