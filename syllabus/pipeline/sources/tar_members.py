"""Members of a tar archive, read as a stream.

Python's ``tarfile`` takes an archive that was cut short for a whole one; here it is an error.

Memory: a header. What is not asked for is passed over.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import Any, NamedTuple

BLOCK = 512
PIECE = 1 << 20
LONGEST_HEADER = 1 << 20
"""Bytes of a long name or of extended headers; more are damage."""


class TarError(ValueError):
    """What is wrong with an archive."""


class Member(NamedTuple):
    """A file of an archive; its bytes are there until the next one is asked for."""

    name: str
    start: int
    """Where its first header begins."""
    size: int
    content: Content
    is_link: bool = False
    """Whether the content lies elsewhere: behind another name."""


class Content:
    """The bytes of a member, of which any number may be read."""

    def __init__(self, handle: Any, start: int, size: int) -> None:
        self._handle, self._stop, self._left = handle, start + size, size

    def read(self) -> bytes:
        """Return the bytes that are left."""
        size, self._left = self._left, 0
        return _exactly(self._handle, size)

    def skip(self) -> None:
        """Pass over what was not read; a file that is hashed on its way has no `seek`."""
        if self._left and hasattr(self._handle, "seek"):
            self._handle.seek(self._stop)
            self._left = 0
        while self._left:
            self._left -= len(_exactly(self._handle, min(self._left, PIECE)))


def members(handle: Any, start: int = 0, stop: int | None = None) -> Iterator[Member]:
    """Yield the files and links of an archive from byte `start`, where a header begins, to `stop` or its end.

    Raises:
      TarError: it is cut short, damaged, has no mark of its end, or data after it.
    """
    position, begun = start, None
    extended: dict[str, str] = {}
    while stop is None or position < stop:
        header = handle.read(BLOCK)
        if len(header) < BLOCK:
            raise TarError("ends without the mark of its end; was it cut short?")
        if not any(header):
            _check_rest(handle)
            return
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError, OverflowError) as error:
            raise TarError(f"no header at byte {position:,}: {error}") from None
        begun = position if begun is None else begun
        position += BLOCK
        size = info.size if info.type in _EXTENDING else _size(extended, info.size)
        if info.type in _WITHOUT_DATA:
            size = 0
        padded = -(-size // BLOCK) * BLOCK
        if info.type in _EXTENDING:
            if size > LONGEST_HEADER:
                raise TarError(f"header at byte {begun:,} has {size:,} bytes")
            _extend(extended, info.type, _exactly(handle, padded)[:size])
        else:
            if info.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse") for key in extended):
                raise TarError(f"holds a sparse file, {info.name!r:.100}, which is not read")
            content = Content(handle, position, size)
            if info.isreg() or info.islnk() or info.issym():
                yield Member(extended.get("path", info.name), begun, size, content, not info.isreg())
            content.skip()
            _exactly(handle, padded - size)
            extended, begun = {}, None
        position += padded


_EXTENDING = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_WITHOUT_DATA = (
    tarfile.DIRTYPE,
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.FIFOTYPE,
)


def _extend(extended: dict[str, str], kind: bytes, data: bytes) -> None:
    """Add what a header says of the next member: its long name, or records of ``length key=value``."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        extended["path"] = data.split(b"\0")[0].decode("utf-8", "surrogateescape")
    if kind not in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
        return
    while data.strip(b"\0"):
        length, _, _ = data.partition(b" ")
        if not length.isdigit() or not len(length) + 1 < int(length[:9]) <= len(data):
            raise TarError(f"an extended header is damaged: {data[:40]!r}")
        record, data = data[: int(length)], data[int(length) :]
        key, _, value = record[len(length) + 1 : -1].partition(b"=")
        extended[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")


def _size(extended: dict[str, str], size: int) -> int:
    given = extended.get("size", "")
    if given and not (given.isdecimal() and len(given) < 19):
        raise TarError(f"an extended header has the size {given[:40]!r}")
    size = int(given) if given else size
    if size < 0:
        raise TarError(f"a header has the size {size}")
    return size


def _check_rest(handle: Any) -> None:
    """After the first empty block there are only others."""
    while piece := handle.read(PIECE):
        if piece.strip(b"\0"):
            raise TarError("goes on after the mark of its end; take joined archives apart")


def _exactly(handle: Any, size: int) -> bytes:
    data = bytes(handle.read(size)) if size else b""
    if len(data) < size:
        raise TarError("ends in the middle of a file; was it cut short?")
    return data
