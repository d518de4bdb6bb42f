"""The target of a writer: which of its files may be deleted before a manifest is written, and which not."""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from syllabus.manifests.errors import ManifestError, first_line
from syllabus.manifests.format.schema import DOCUMENT, PART
from syllabus.manifests.replacement import finish, interrupted, leftovers
from syllabus.manifests.storage import TEMPORARY, Store

STALE = 3600.0
"""Seconds after which a directory belongs to nobody any more, where filesystems have no locks."""


def check_target(location: str | os.PathLike[str] | Store, overwrite: bool = False) -> None:
    """Raise the ManifestError with which a ManifestWriter would refuse this place; nothing is touched.

    For jobs that take long: at their start. A place that is not there yet is a good one.
    """
    store = location if isinstance(location, Store) else Store(location)
    if DOCUMENT in own_files(store) and not overwrite:
        raise ManifestError(f"{store.url()}: holds a committed manifest; give another place, or --overwrite")


def repair_target(location: str | os.PathLike[str] | Store) -> None:
    """Put a manifest into its place that a killed writer was just putting there; most often there is none.

    Only local filesystems know this moment. A ManifestWriter repairs its own target.

    Raises:
      ManifestError: if another job is at it, or the place cannot be written to.
    """
    store = location if isinstance(location, Store) else Store(location)
    if not store.is_local:
        return
    target = real_path(store)
    staged = interrupted(target)
    if staged is None:
        return
    try:
        with Store(staged).locked():
            finish(target)
    except BlockingIOError:
        raise ManifestError(busy(store)) from None
    except OSError as error:
        raise ManifestError(
            f"{store.url()}: cannot be written to: {first_line(error)}; "
            f"a killed job left its manifest at {staged}"
        ) from None


def busy(store: Store) -> str:
    """Return the line that refuses a place where another job writes."""
    return f"{store.url()}: another job is writing a manifest there; nothing was touched"


def real_path(store: Store) -> Path:
    """Return a local directory without links: what is replaced is never a link to it. It may not be there."""
    return Path(os.path.realpath(store.location))


def own_files(store: Store) -> set[str]:
    """Return the files at `store`, all of them a manifest's; a ManifestError if there are others."""
    where = store.url()
    try:
        found = dict(_entries(store))
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, NotADirectoryError) and not os.path.lexists(store.location):
            return set()  # below a file: `check_writable` names that
        why = "is no directory" if isinstance(error, NotADirectoryError) else first_line(error)
        raise ManifestError(f"{where}: cannot be written to: {why}") from error
    foreign = sorted(path for path, own in found.items() if not own)
    if foreign:
        names = ", ".join(foreign[:3]) + (", …" if len(foreign) > 3 else "")
        raise ManifestError(
            f"{where}: {len(foreign)} files there are no part of a manifest ({names}); nothing was touched"
        )
    return set(found)


def remove(folder: Path) -> None:
    """Remove a local manifest, whole or not, that has another name now; a file of somebody else's stays.

    An error, such as of a file that cannot be removed, is passed over: the next writer tries again.
    """
    with suppress(OSError, ManifestError):
        # The document first: nobody takes the rest for a manifest.
        for path in sorted(own_files(Store(folder)), key=lambda path: (path != DOCUMENT, path)):
            (folder / path).unlink()
        for each, _, _ in os.walk(folder, topdown=False):
            Path(each).rmdir()


def sweep(target: Path) -> None:
    """Remove what killed writers left beside `target`; nothing that a living one holds, no file of others."""
    for folder in leftovers(target):
        with suppress(OSError), Store(folder).locked() as exclusive:
            if exclusive or folder.stat().st_mtime < time.time() - STALE:
                remove(folder)


def _entries(store: Store) -> Iterator[tuple[str, bool]]:
    """Yield (path, whether a manifest has such a file) of all that is there, directories left out.

    Links to directories are not, and not followed: what they lead to is somebody else's. Nor is a directory
    in a file's place.
    """
    if not store.is_local:
        yield from ((path, _is_own(path)) for path in store.files())
        return
    root = Path(store.location)
    for folder, directories, names in os.walk(root, onerror=_unless_missing):
        for name in names + directories:
            place = Path(folder, name)
            path = place.relative_to(root).as_posix()
            own = _is_own(path)
            with suppress(FileNotFoundError):
                mode = place.lstat().st_mode
                if own or not stat.S_ISDIR(mode):
                    yield path, own and (stat.S_ISREG(mode) or stat.S_ISLNK(mode))


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _is_own(path: str) -> bool:
    """Return whether `path` is the name of a part, of manifest.json, or of either while it is written."""
    directory, _, name = path.rpartition("/")
    if name.startswith(".") and name.endswith(TEMPORARY):
        name = name[1:].removesuffix(TEMPORARY).rpartition(".")[0]
        path = f"{directory}/{name}" if directory else name
    return path == DOCUMENT or PART.fullmatch(path) is not None
