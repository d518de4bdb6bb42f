"""Whether a place can be written to, tried before hours of work are to be kept there."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

import pyarrow as pa

from syllabus.manifests.errors import ManifestError, first_line
from syllabus.manifests.storage import TEMPORARY, Store

PROBED = b"\0" * 4096
"""Written by a trial: a full disk still takes a file without content."""
FULL = (errno.ENOSPC, errno.EDQUOT)


def check_writable(location: str | os.PathLike[str] | Store, needed: int = 0) -> None:
    """Write and remove a small file where a directory is, or is to be made; return if that was possible.

    A local directory that is not there yet is not made: its nearest parent that is there is tried. Elsewhere
    (``s3://`` and the like) the file is written in the directory itself. `needed` bytes must be free where
    the filesystem tells how many are.

    Raises:
      ManifestError: if no file can be made there, or too few bytes are free.
    """
    store = location if isinstance(location, Store) else Store(location)
    try:
        if not store.is_local:
            _try_elsewhere(store)
            return
        place = nearest_parent(store)
        _try(place)
        free = _free(place)
    except (pa.ArrowException, OSError) as error:
        why = "no space is left" if getattr(error, "errno", None) in FULL else _reason(error)
        raise ManifestError(f"{store.url()}: cannot be written to: {why}") from None
    if free is not None and free < needed:
        raise ManifestError(
            f"{store.url()}: has {_gigabytes(free)} of space left; at least {_gigabytes(needed)} are needed"
        )


def nearest_parent(store: Store) -> Path:
    """Return the local directory itself, or the nearest above it that is there.

    Raises:
      NotADirectoryError: if a file is in the way.
    """
    for place in (Path(store.location), *Path(store.location).parents):
        if place.is_dir():
            return place
        if os.path.lexists(place):
            raise NotADirectoryError(errno.ENOTDIR, "is no directory", str(place))
    raise FileNotFoundError(errno.ENOENT, "no such directory", store.location)


def _try(place: Path) -> None:
    trial = place / _name()
    try:
        with trial.open("xb") as file:
            file.write(PROBED)
            file.flush()
            os.fsync(file.fileno())
    finally:
        trial.unlink(missing_ok=True)


def _try_elsewhere(store: Store) -> None:
    name = _name()
    there = store.exists()
    try:
        store.write(name, PROBED)
    finally:
        store.delete(name)
        if not there and store.exists() and not store.files():
            # A real directory (HDFS), made for the trial: an object store has none.
            store.filesystem.delete_dir(store.path())


def _name() -> str:
    # As a file of a writer that was killed is called: the next one sweeps it away, should it stay behind.
    return f".manifest.json.{secrets.token_hex(6)}{TEMPORARY}"


def _free(place: Path) -> int | None:
    """Return the bytes that are left to this user; None where the filesystem does not say."""
    if not hasattr(os, "statvfs"):
        return None
    found = os.statvfs(place)
    # Some network filesystems have no count of blocks.
    return found.f_bavail * found.f_frsize if found.f_blocks else None


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        place = Path(os.fsdecode(error.filename))
        return f"{error.strerror}: {place.parent if place.name.endswith(TEMPORARY) else place}"
    return first_line(error)


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
