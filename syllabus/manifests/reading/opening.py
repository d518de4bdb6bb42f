"""The document of a manifest, read and checked in itself and against the files that are there."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from syllabus.manifests.errors import ManifestError, NoManifestError, first_line
from syllabus.manifests.format.document import DIGEST_KEY, checked
from syllabus.manifests.format.schema import DOCUMENT
from syllabus.manifests.replacement import interrupted
from syllabus.manifests.storage import Store

LARGEST_DOCUMENT = 1 << 30
TRIES = 3
"""A manifest that is replaced while it is opened is opened anew, so often at most."""


class Snapshot:
    """Tells whether the manifest at a place is still the one that was opened there.

    Its files have the names of those of the manifest that replaces it, where both are local.
    """

    def __init__(self, store: Store, description: dict[str, Any]) -> None:
        self._store = store
        self._mark = f'"{DIGEST_KEY}": "{description.get(DIGEST_KEY)}"'.encode()
        self._stamp: tuple[int, int] | None = None

    def check(self) -> None:
        """Raise a ManifestError if it was replaced; for callers who have opened a file of it just now.

        Cost: a look at the time of manifest.json, and the first time it is read again. Elsewhere than locally
        nothing: there the names of parts are made of their content.
        """
        if not self._store.is_local:
            return
        try:
            stamp = self._store.stamp(DOCUMENT)
            if stamp == self._stamp:
                return
            same = self._mark in self._store.read(DOCUMENT)
        except OSError:
            same = False
        if not same:
            raise ManifestError(
                f"{DOCUMENT}: the manifest at {self._store.url()} was replaced or removed since it was "
                "opened; open it again"
            )
        self._stamp = stamp


def load(store: Store) -> dict[str, Any]:
    """Return the description of the manifest at `store`, checked in itself and against the files."""
    content = b""
    for _ in range(TRIES):
        before, content = content, read_document(store)
        description = checked(content)
        problems = list(size_problems(store, description))
        if not problems:
            return description
        if content == before:
            break
    raise ManifestError(problems[0])


def read_document(store: Store) -> bytes:
    """Return the bytes of manifest.json; a ManifestError where there is none."""
    try:
        size = store.sizes([DOCUMENT]).get(DOCUMENT, 0)
        if size > LARGEST_DOCUMENT:
            raise ManifestError(f"{DOCUMENT}: has {size:,} bytes; at most {LARGEST_DOCUMENT:,} are read")
        return store.read(DOCUMENT)
    except FileNotFoundError:
        if store.is_local and (staged := interrupted(Path(os.path.realpath(store.location)))):
            raise NoManifestError(
                f"{DOCUMENT}: not found: the job that was replacing {store.url()} ended between two renames; "
                f"the new manifest is {staged}, and the next job with this output puts it into its place"
            ) from None
        raise NoManifestError(f"{DOCUMENT}: not found: {store.url()} is no committed manifest") from None
    except (pa.ArrowException, OSError) as error:
        if store.is_local and os.path.isfile(store.location):  # noqa: PTH113 - a name that is none raises
            directory, _, name = store.url().rpartition("/")
            meant = f", here {directory}" if name == DOCUMENT else ""
            raise NoManifestError(f"{store.url()}: is a file; a manifest is a directory{meant}") from None
        raise NoManifestError(
            f"{DOCUMENT}: cannot be read from {store.url()}: {first_line(error)}"
        ) from error


def size_problems(store: Store, description: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each listed file that is not there with its size.

    The rows of a part are those of its footer when it is read. Where they are more than its bytes they are
    looked up here: no number of manifest.json is a size to allocate that no file bears out.
    """
    files = description["files"]
    try:
        sizes = store.sizes(entry["path"] for entry in files)
    except (pa.ArrowException, OSError) as error:
        yield f"{DOCUMENT}: {store.url()} cannot be listed: {first_line(error)}"
        return
    for entry in files:
        path, size = entry["path"], sizes.get(entry["path"])
        if size is None:
            yield f"{path}: is missing"
        elif size != entry["bytes"]:
            yield f"{path}: has {size} bytes, manifest.json says {entry['bytes']}"
        elif entry["rows"] > size and (rows := _rows(store, path)) != entry["rows"]:
            yield f"{path}: has {rows} rows, manifest.json says {entry['rows']}"


def _rows(store: Store, path: str) -> int | str:
    try:
        with store.open(path) as source, pq.ParquetFile(source) as file:
            return int(file.metadata.num_rows)
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return "unreadable"
