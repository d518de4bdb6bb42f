"""Files of checkpoints: written whole or not at all, opened with care, rid of what killed runs left behind.

A file is written under a temporary name beside its place, locked by its writer for as long as that lives, and
renamed once it is on the disk. So whoever gets the lock of a temporary file knows that its writer is dead.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from syllabus.manifests.locations import parent_and_name
from syllabus.manifests.storage import Store
from syllabus.trainer.errors import TrainerError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]


class CheckpointFile:
    """One file, local or behind a URL.

    Raises:
        TrainerError: no path.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            text = os.fsdecode(path)
        except TypeError:
            raise TrainerError(f"checkpoint={path!r} is a {type(path).__name__}; expected a path") from None
        self._path = Path(text).absolute() if "://" not in text else None
        folder, self._name = parent_and_name(text) if self._path is None else ("", self._path.name)
        self._store = Store(folder) if self._path is None else None

    def open(self) -> Any | None:
        """Return the file, opened for random access; None where there is none.

        Raises:
            TrainerError: it is no file but a folder, a pipe or a device.
            OSError: it cannot be opened.
        """
        if self._store is not None:
            return self._store.open(self._name) if self._store.exists(self._name) else None
        try:
            mode = self._local.stat().st_mode  # opening a pipe would wait for its other end
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"
            raise TrainerError(f"is {kind}; give the path of a file")
        return self._local.open("rb")

    @contextlib.contextmanager
    def writing(self) -> Iterator[Any]:
        """Yield a sink whose content becomes the file when the block ends without an exception."""
        if self._store is not None:
            with self._store.writing(self._name) as sink:
                yield sink
            return
        self._local.parent.mkdir(parents=True, exist_ok=True)
        temporary, file = self._temporary()
        try:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                if fcntl is not None:
                    temporary.replace(self._local)  # while it is locked
            if fcntl is None:
                temporary.replace(self._local)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def check_writable(self) -> None:
        """Raise the OSError that writing would end in, as far as permissions and folders tell."""
        if self._path is None:
            return
        folder = next(folder for folder in self._path.parents if folder.exists())
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{folder} is no folder")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, f"{folder}: no permission to write")

    def sweep(self) -> int:
        """Remove what killed writers of this very file left beside it; return how many files.

        Where the filesystem has no locks nothing is removed: a writer may be at work.
        """
        if self._path is None or fcntl is None:
            return 0
        ours = re.compile(rf"\.{re.escape(self._path.name)}\.[0-9a-f]{{12}}\.tmp")
        left: list[Path] = []
        with contextlib.suppress(OSError):
            left = [path for path in self._path.parent.iterdir() if ours.fullmatch(path.name)]
        swept = 0
        for path in left:
            # A writer that lives has the lock, or has renamed its file by now; others may sweep as well.
            with contextlib.suppress(OSError):
                if stat.S_ISREG(path.lstat().st_mode):
                    with path.open("rb") as file:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        path.unlink()
                        swept += 1
        return swept

    @property
    def _local(self) -> Path:
        assert self._path is not None
        return self._path

    def _temporary(self) -> tuple[Path, IO[bytes]]:
        """Return a new file beside the place, locked."""
        while True:
            path = self._local.with_name(f".{self._local.name}.{secrets.token_hex(6)}.tmp")
            file = path.open("xb")
            if fcntl is None:
                return path, file
            with contextlib.suppress(OSError):  # a network filesystem without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink:
                return path, file
            file.close()  # swept before it was locked
