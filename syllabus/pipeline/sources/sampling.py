"""The first rows of a few files, for a look at a source before it is read whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from syllabus.pipeline.sources.records import Chunk

FILES = 20
"""Files that are opened, at most."""


class Head(NamedTuple):
    """The first rows of a file, as a chunk without a digest."""

    chunk: Chunk
    rows: int
    """Of the whole file."""
    counted: bool
    """Whether `rows` were counted, and not judged by bytes."""


class Sample(NamedTuple):
    """The first rows of some files."""

    chunks: list[Chunk]
    files: int
    """Files that were looked at."""
    rows: int
    """Of the whole source."""
    counted: bool
    """Whether `rows` were counted, and not judged by bytes."""


def spread(names: list[str], count: int) -> list[str]:
    """Return `count` of the names, or all, at even distances."""
    count = min(count, len(names))
    return [names[place * len(names) // count] for place in range(count)]


def sample_of(stamps: dict[str, tuple[int, int]], rows: int, head: Callable[[str, int], Head]) -> Sample:
    """Return about `rows` rows, the first of each of a few files that are spread over the source.

    Args:
      stamps: of each file its size, first.
      rows: how many in all.
      head: returns so many first rows of a file.
    """
    files = spread(list(stamps), FILES)
    heads = [head(file, -(-rows // len(files))) for file in files]
    found = sum(each.rows for each in heads)
    whole, seen = (sum(stamps[file][0] for file in names) for names in (stamps, files))
    counted = len(files) == len(stamps) and all(each.counted for each in heads)
    total = found if len(files) == len(stamps) else round(found * whole / max(1, seen))
    return Sample([each.chunk for each in heads if each.chunk.rows], len(files), total, counted)
