"""The ways in which parts become a manifest: a new one, one that replaces another, one in the other's place.

A manifest that is replaced stays, whole, until the new one is. Where that can be done the new one is written
beside it, and both change their names. Where it cannot (object stores, a mount point, a directory above
that one may not write) parts of both lie in one directory under names made of their content, and replacing
manifest.json is the commit.
"""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from syllabus.manifests.errors import ManifestError, first_line
from syllabus.manifests.format.document import decode
from syllabus.manifests.format.schema import DOCUMENT
from syllabus.manifests.replacement import make_beside, replace
from syllabus.manifests.storage import Store
from syllabus.manifests.writing.target import (
    busy,
    check_target,
    own_files,
    real_path,
    remove,
    repair_target,
    sweep,
)
from syllabus.manifests.writing.writable import FULL

TAKEN = "another job has committed a manifest there since this one began writing"


class Commit:
    """A new manifest in its place. `store` is where the parts go.

    Attributes:
      named_by_content: whether the names of parts are made of their content.
    """

    named_by_content = False

    def __init__(self, target: Store) -> None:
        self.target = self.store = target

    def publish(self, content: bytes, files: list[dict[str, Any]]) -> None:
        """Make the parts, `files` of manifest.json, and `content`, its bytes, the manifest at the target.

        Raises:
          ManifestError: if it cannot be done; a manifest that is there stays.
          FileExistsError: if another job's is there since this one began.
        """
        self._check_parts(files)
        self.store.sync()
        self.store.write(DOCUMENT, content, new=True)

    def discard(self, paths: set[str]) -> None:
        """Remove parts that became no manifest; if there is one by now, parts of these names are its own."""
        if not self.store.exists(DOCUMENT):
            self._delete(paths)

    def _delete(self, paths: set[str]) -> None:
        for path in sorted(paths):
            with suppress(OSError):
                self.store.delete(path)

    def _check_parts(self, files: list[dict[str, Any]]) -> None:
        """Raise unless every part is there: where there are no locks another job may have cleared some."""
        sizes = self.store.sizes(entry["path"] for entry in files)
        for entry in files:
            if sizes.get(entry["path"]) != entry["bytes"]:
                raise ManifestError(
                    f"{self.store.url(entry['path'])}: was removed or changed since it was written: "
                    "another job is writing there"
                )


class _Replacement(Commit):
    """A manifest in the place of another one, whose manifest.json must not change until then."""

    def __init__(self, target: Store) -> None:
        super().__init__(target)
        self._replaced = _digest(target)

    def _check_replaced(self) -> None:
        if _digest(self.target) != self._replaced:
            raise FileExistsError(errno.EEXIST, TAKEN, self.target.url())


class Exchange(_Replacement):
    """A manifest written beside the one that it replaces."""

    def __init__(self, target: Store, staged: Path) -> None:
        super().__init__(target)
        self.store = Store(staged)

    def publish(self, content: bytes, files: list[dict[str, Any]]) -> None:  # noqa: D102
        super().publish(content, files)
        self._check_replaced()
        own_files(self.target)
        try:
            aside = replace(real_path(self.target), Path(self.store.location))
        except OSError as error:
            raise ManifestError(
                f"{self.target.url()}: cannot be replaced: {first_line(error)}; it is as it was"
            ) from None
        remove(aside)

    def discard(self, paths: set[str]) -> None:  # noqa: ARG002, D102
        remove(Path(self.store.location))


class InPlace(_Replacement):
    """A manifest whose parts lie between those of another one, or of a job that was killed."""

    named_by_content = True

    def __init__(self, target: Store, found: set[str]) -> None:
        super().__init__(target)
        self._found = found

    def publish(self, content: bytes, files: list[dict[str, Any]]) -> None:  # noqa: D102
        self._check_parts(files)
        self.store.sync()
        self._check_replaced()
        self.store.write(DOCUMENT, content, new=self._replaced is None)
        # Only what was there before this job: another one may be writing.
        self._delete(self._found - {DOCUMENT, *(entry["path"] for entry in files)})

    def discard(self, paths: set[str]) -> None:  # noqa: D102
        # The same content has the same name, and may be a part of the manifest that is there.
        self._delete(paths - self._found - _listed(self.target))


@contextmanager
def begin(target: Store, overwrite: bool) -> Iterator[Commit]:
    """Yield the way in which a manifest is committed at `target`, locked meanwhile where that can be.

    What killed writers left there and beside it is cleared.

    Raises:
      ManifestError: before anything is deleted, if the place is not fit (`check_target`), or another job is
        writing there.
    """
    with ExitStack() as stack:
        repair_target(target)
        check_target(target, overwrite)
        try:
            stack.enter_context(target.locked())
        except BlockingIOError:
            raise ManifestError(busy(target)) from None
        # Again: the other job may have let go just now.
        check_target(target, overwrite)
        found = own_files(target)
        if target.is_local:
            sweep(real_path(target))
        yield _way(target, found, stack)


def _way(target: Store, found: set[str], stack: ExitStack) -> Commit:
    if not target.is_local:
        return InPlace(target, found)
    if DOCUMENT not in found:
        for path in sorted(found):
            target.delete(path)
        return Commit(target)
    if not os.access(target.location, os.W_OK):
        raise ManifestError(f"{target.url()}: cannot be written to: {os.strerror(errno.EACCES)}")
    try:
        staged = make_beside(real_path(target))
    except OSError as error:
        if error.errno in FULL:
            raise
        return InPlace(target, found)
    stack.enter_context(Store(staged).locked())
    return Exchange(target, staged)


def _digest(store: Store) -> str | None:
    """Return the sha256 of the manifest.json that is there; None if there is none."""
    try:
        return hashlib.sha256(store.read(DOCUMENT)).hexdigest()
    except FileNotFoundError:
        return None


def _listed(store: Store) -> set[str]:
    """Return the parts that manifest.json lists; none where there is none, or it cannot be read."""
    try:
        return {str(entry["path"]) for entry in decode(store.read(DOCUMENT))["files"]}
    except (ManifestError, pa.ArrowException, OSError, KeyError, TypeError):
        return set()
