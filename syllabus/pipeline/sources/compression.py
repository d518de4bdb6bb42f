"""Compressed files of lines: read as their content, from the beginning on."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from syllabus.manifests.errors import first_line
from syllabus.manifests.storage import Store
from syllabus.pipeline.errors import UserError

PIECE = 1 << 20
BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowInvalid)
"""What decompression raises where a file is damaged, cut short, or not of the form that its name says."""


def _gzip(handle: Any) -> Any:
    return gzip.GzipFile(fileobj=handle, mode="rb")


def _zstd(handle: Any) -> Any:
    # Python has no Zstandard before 3.14.
    return pa.CompressedInputStream(pa.PythonFile(handle, mode="r"), "zstd")


_OPEN: dict[str, Callable[[Any], Any]] = {
    ".gz": _gzip,
    ".tgz": _gzip,
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zst": _zstd,
}
SUFFIXES = tuple(suffix for suffix in _OPEN if suffix != ".tgz")


def without_compression(name: str) -> str:
    """Return a file's name in small letters, less the suffix of its compression."""
    lowered = name.lower()
    return next((lowered.removesuffix(suffix) for suffix in SUFFIXES if lowered.endswith(suffix)), lowered)


def is_compressed(name: str) -> bool:
    """Return whether a file's name says that it is compressed."""
    return name.lower().endswith(tuple(_OPEN))


@contextmanager
def opened_content(store: Store, file: str, handle: Any) -> Iterator[Any]:
    """Yield an open file, a compressed one as its content; damage there is the user's to mend."""
    if not is_compressed(file):
        yield handle
        return
    try:
        content = Decompressed(file, lambda: store.open(file))
        try:
            yield content
        finally:
            content.close()
    except BROKEN as error:
        how = file.rpartition(".")[2].lower()
        raise UserError(f"{store.url(file)}: cannot be read as .{how}: {first_line(error)}") from None


class Decompressed:
    """The content of a compressed file: positions count its bytes.

    Args:
      name: of the file, whose suffix says how it is compressed.
      reopen: opens the file; called again where a position before the present one is asked for.

    Cost: whatever lies before a position is decompressed to get there, and nothing is kept but a piece.
    """

    def __init__(self, name: str, reopen: Callable[[], Any]) -> None:
        self._open = next(_OPEN[suffix] for suffix in _OPEN if name.lower().endswith(suffix))
        self._reopen = reopen
        self._file: Any = None
        self._stream: Any = None
        self._position = 0
        self._begin()

    def _begin(self) -> None:
        self.close()
        self._file = self._reopen()
        self._stream, self._position = self._open(_Readable(self._file)), 0

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer only at the end."""
        parts = []
        while size > 0 and (part := self._stream.read(min(size, PIECE))):
            parts.append(part)
            size -= len(part)
            self._position += len(part)
        return b"".join(parts)

    def size(self) -> int:
        """Return about how many bytes the content has, judged by what was read of it."""
        return self._position * int(self._file.size()) // max(1, int(self._file.tell()))

    def seek(self, position: int) -> None:
        """Go to a byte of the content: on from here, or from the beginning where it lies before."""
        if position < self._position:
            self._begin()
        while self._position < position and self.read(min(PIECE, position - self._position)):
            pass

    def close(self) -> None:
        """Close the file."""
        for opened in (self._stream, self._file):
            if opened is not None:
                opened.close()


class _Readable:
    """A pyarrow file as Python's decompressors ask for one."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        return bytes(self._handle.read(PIECE if size is None or size < 0 else size))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def writable(self) -> bool:
        return False

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True
