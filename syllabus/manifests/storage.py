"""Directories with atomic writes on any filesystem of pyarrow: local, ``s3://``, ``gs://``, ``hdfs://``.

A file written here appears whole or not at all. Locally: a temporary name beside it, fsync, rename.
Elsewhere the content is collected first and sent by one write, because closing a half-written stream
would publish the half; an object store then shows the object whole or not at all.
"""

import errno
import glob
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from syllabus.manifests.errors import NoManifestError, first_line

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

TEMPORARY = ".tmp"
CHUNK = 1 << 22
_KINDS = {
    pafs.FileType.NotFound: "nothing",
    pafs.FileType.File: "file",
    pafs.FileType.Directory: "directory",
    pafs.FileType.Unknown: "special",
}


class Store:
    """A directory; paths given to its methods are relative to it, with ``/`` between their parts.

    Only its absolute location is pickled, so that a worker on another machine may open the same directory.
    """

    def __init__(self, location: str | os.PathLike[str]) -> None:
        text = os.fspath(location)
        self.is_local = "://" not in text or text.startswith("file://")
        if self.is_local:
            # Workers have another working directory than the job.
            self.location = str(Path(text.removeprefix("file://")).expanduser().absolute())
        else:
            self.location = text.rstrip("/")
        self._opened: tuple[Any, str] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"location": self.location, "is_local": self.is_local, "_opened": None}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Store) and self.location == other.location

    def __hash__(self) -> int:
        return hash(self.location)

    def __repr__(self) -> str:
        return f"Store({self.location!r})"

    @property
    def filesystem(self) -> Any:
        """The pyarrow filesystem that holds the directory."""
        return self._open()[0]

    def path(self, relative: str = "") -> str:
        """Return the path of `relative` as the filesystem spells it (no scheme)."""
        root = self._open()[1]
        return f"{root}/{relative}" if relative else root

    def url(self, relative: str = "") -> str:
        """Return the absolute location of `relative`, readable from any worker and by people."""
        if not relative:
            return self.location
        base, mark, query = self.location.partition("?")
        return f"{base}/{relative}{mark}{query}"

    def _open(self) -> tuple[Any, str]:
        if self._opened is None:
            if self.is_local:
                self._opened = (pafs.LocalFileSystem(), self.location)
            else:
                filesystem, root = _filesystem_of(self.location)
                self._opened = (filesystem, root.rstrip("/"))
        return self._opened

    def exists(self, relative: str = "") -> bool:
        """Return whether a file or directory of that name is there."""
        info = self.filesystem.get_file_info(self.path(relative))
        return bool(info.type != pafs.FileType.NotFound)

    def is_file(self, relative: str = "") -> bool:
        """Return whether a file, not a directory, of that name is there."""
        info = self.filesystem.get_file_info(self.path(relative))
        return bool(info.type == pafs.FileType.File)

    def kind(self, relative: str = "") -> str:
        """Return what a name stands for: ``file``, ``directory``, ``special`` (a pipe, …) or ``nothing``."""
        return _KINDS[self.filesystem.get_file_info(self.path(relative)).type]

    def stamp(self, relative: str) -> tuple[int, int]:
        """Return size and time of the last change (ns) of a file: what differs where it was written anew."""
        info = self.filesystem.get_file_info(self.path(relative))
        return int(info.size or 0), int(info.mtime_ns or 0)

    def files(self, relative: str = "") -> dict[str, int]:
        """Return {path relative to this directory: bytes} of all files below, temporary ones included."""
        root = self.path()
        selector = pafs.FileSelector(self.path(relative), recursive=True, allow_not_found=True)
        found = self.filesystem.get_file_info(selector)
        return {
            str(info.path)[len(root) + 1 :]: int(info.size)
            for info in found
            if info.type == pafs.FileType.File
        }

    def sizes(self, relatives: Iterable[str]) -> dict[str, int]:
        """Return {path: bytes} of those that are files; by one listing where that is not local."""
        if not self.is_local:
            found = self.files()
            return {path: found[path] for path in relatives if path in found}
        sizes = {}
        for path in relatives:
            # Not found, or below what is no directory.
            with suppress(FileNotFoundError, NotADirectoryError):
                status = Path(self.path(path)).stat()
                if stat.S_ISREG(status.st_mode):
                    sizes[path] = status.st_size
        return sizes

    def open(self, relative: str) -> Any:
        """Open a file for random access (a ``pyarrow.NativeFile``).

        OSError where something else has that name: a pipe would be waited for without an end.
        """
        path = self.path(relative)
        if self.is_local and not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - as it was spelt
            raise OSError(f"is no regular file: {path}")
        return self.filesystem.open_input_file(path)

    def read(self, relative: str) -> bytes:
        """Return a file's bytes."""
        with self.open(relative) as file:
            return bytes(file.read())

    def write(self, relative: str, content: bytes, new: bool = False) -> None:
        """Write a file; it appears whole or not at all. `new` as in `writing`."""
        with self.writing(relative, new) as sink:
            sink.write(content)

    @contextmanager
    def writing(
        self, relative: str, new: bool = False, named: Callable[[], str] | None = None
    ) -> Iterator[Any]:
        """Yield a sink whose content becomes the file when the block ends without an exception.

        With `new` a file that is there by then stays, and FileExistsError is raised: exactly on local
        filesystems, where a name is taken by one; elsewhere it is looked for just before the write.
        `named` is asked for the path when all is written, one in the directory of `relative`.
        """
        if not self.is_local:
            sink = pa.BufferOutputStream()
            yield sink
            target = self.path(relative if named is None else named())
            if new and self.exists(relative):
                raise FileExistsError(f"{self.url(relative)}: is there already")
            # Where there are real directories (HDFS) they must be there; object stores need none.
            if not isinstance(self.filesystem, pafs.S3FileSystem):
                self.filesystem.create_dir(target.rpartition("/")[0], recursive=True)
            with self.filesystem.open_output_stream(target, compression=None) as stream:
                stream.write(sink.getvalue())
            return
        parent = Path(self.path(relative)).parent
        parent.mkdir(parents=True, exist_ok=True)
        # Two attempts at one file may run at once: each has a name of its own, the last rename wins.
        temporary = parent / f".{Path(relative).name}.{secrets.token_hex(6)}{TEMPORARY}"
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _publish(temporary, Path(self.path(relative if named is None else named())), new)
        except BaseException:
            # What fails now must not hide why.
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise

    def sync(self) -> None:
        """Have the names of all files below on the disk, not only their content; locally alone."""
        if self.is_local:
            for folder, _, _ in os.walk(self.location):
                sync_directory(Path(folder))

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Lock the directory, made where it is not there, against others that do the same.

        Yields whether there is a lock: some filesystems have none.
        BlockingIOError if another process has the lock, or has just put another directory in its place; one
        that dies lets go. Only local filesystems have locks: elsewhere there is none.
        """
        if not self.is_local or fcntl is None:
            yield False
            return
        Path(self.location).mkdir(parents=True, exist_ok=True)
        descriptor, exclusive = os.open(self.location, os.O_RDONLY), True
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise
            except OSError:
                exclusive = False  # network filesystems may have no locks, or none on directories
            if not _is_at(descriptor, self.location):
                raise BlockingIOError(errno.EAGAIN, "was replaced", self.location)
            yield exclusive
        finally:
            os.close(descriptor)

    def delete(self, relative: str) -> None:
        """Remove one file; a file that is not there is no error."""
        if self.is_local:
            Path(self.path(relative)).unlink(missing_ok=True)
        elif self.exists(relative):
            self.filesystem.delete_file(self.path(relative))

    def sweep(self, older_than: float = 3600.0, name: str | None = None) -> int:
        """Remove what killed writers left behind, `older_than` seconds old; return how many files.

        With `name` that of writers of this one file alone, which lies directly in the directory.
        """
        if not self.is_local:
            return 0
        horizon, swept = time.time() - older_than, 0
        of_one = f".{glob.escape(name or '')}.{12 * '[0-9a-f]'}{TEMPORARY}"
        for path in Path(self.location).glob(of_one if name is not None else f"**/.*{TEMPORARY}"):
            # Another job's file may be renamed while we look.
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < horizon:
                    path.unlink()
                    swept += 1
        return swept


def _filesystem_of(location: str) -> tuple[Any, str]:
    """The filesystem of a URL, and the path in it."""
    scheme = location.partition("://")[0]
    if scheme in ("hf", "http", "https"):
        # Arrow would hand hf:// to a client of the hub, which asks the network at once.
        raise NoManifestError(
            f"{location}: {scheme}:// is not read from here; download the files, and give their folder"
        )
    try:
        filesystem, root = pafs.FileSystem.from_uri(location)
    except (pa.ArrowException, ValueError, ImportError) as error:
        raise NoManifestError(f"{location}: cannot be opened: {first_line(error)}") from None
    return filesystem, root


def _is_at(descriptor: int, location: str) -> bool:
    """Whether an open directory is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), Path(location).stat())
    except FileNotFoundError:
        return False


def sync_directory(folder: Path) -> None:
    """Have a directory's names on the disk, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _publish(temporary: Path, target: Path, new: bool) -> None:
    """Give a finished file its name, which nothing may have yet if it is to be `new`."""
    if new:
        try:
            os.link(temporary, target)
        except FileExistsError:
            raise FileExistsError(f"{target}: is there already") from None
        except OSError:  # a filesystem without links
            if target.exists():
                raise FileExistsError(f"{target}: is there already") from None
        else:
            # Renaming one of two names of a file to the other would leave both.
            temporary.unlink()
            return
    temporary.replace(target)


def sha256_of(store: Store, relative: str) -> str:
    """Return the hexadecimal sha256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with store.open(relative) as stream:
        while piece := stream.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()
