"""Formats whose records follow one another in a file: a chunk is a range of its bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain, islice
from typing import Any

from syllabus.pipeline.sources.records import CHUNK_BYTES, Chunk
from syllabus.pipeline.sources.sampling import Head

COUNTED_BYTES = 4 << 20
"""Bytes of records from which those of a larger file are judged."""


def cut(file: str, starts: Iterable[int], digest: Callable[[], str], chunk_rows: int) -> list[Chunk]:
    """Return the chunks of a file by the bytes at which its records begin.

    `digest` is asked for when all of them are known. The last chunk has no length: it ends with the file.
    """
    chunks: list[Chunk] = []
    begin = first = rows = 0

    def end(length: int) -> None:
        nonlocal first, rows
        chunks.append(Chunk(file, first, rows, "", begin, length))
        first, rows = first + rows, 0

    for start in starts:
        if rows == chunk_rows or (rows and start - begin >= CHUNK_BYTES):
            end(start - begin)
        if not rows:
            begin = start
        rows += 1
    if rows:
        end(0)
    known = digest()
    return [replace(chunk, digest=known) for chunk in chunks]


def head(file: str, starts: Iterable[int], rows: int, size: Callable[[], int]) -> Head:
    """Return the first `rows` of a file by the bytes at which its records begin.

    The records of `COUNTED_BYTES` are counted; `size` tells then of how many bytes the content is.
    """
    left = iter(starts)
    found = list(islice(left, rows + 1))
    if len(found) <= rows:
        return Head(Chunk(file, 0, len(found), "", found[0] if found else 0), len(found), True)
    chunk = Chunk(file, 0, rows, "", found[0], found[rows] - found[0])
    count = rows
    for start in chain(found[rows:], left):
        if start >= COUNTED_BYTES:
            return Head(chunk, round(count * max(1.0, size() / start)), False)
        count += 1
    return Head(chunk, count, True)


class Hashing:
    """An open file whose bytes are added to a digest as they are read."""

    def __init__(self, handle: Any) -> None:
        self._handle, self._digest = handle, hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer only at the end."""
        data = bytes(self._handle.read(size))
        self._digest.update(data)
        return data

    def hexdigest(self) -> str:
        """Return the digest of what was read."""
        return self._digest.hexdigest()
