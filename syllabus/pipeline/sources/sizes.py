"""Sizes of values, compared with their bounds before anything is made of them."""

from __future__ import annotations

from typing import Any

from syllabus.pipeline.sources.reasons import ABOVE

UNBOUNDED = 2**62


class TooLarge(str):
    """What stands for a value that was not read because it is larger than its bound: its size, in words."""

    __slots__ = ()


def size_above(value: Any, most: int) -> str | None:
    """Return in words the size of what has more than `most` bytes, or of a list of more values; else None."""
    if isinstance(value, TooLarge):
        return str(value)
    if isinstance(value, list) and len(value) > most:
        return f"{len(value):,} values"
    if not isinstance(value, str | bytes) or len(value) * 4 <= most:
        return None
    size = len(value) if isinstance(value, bytes) else len(value.encode("utf-8", "surrogatepass"))
    return f"{size:,} bytes" if size > most else None


def above(bound: str, column: str | None, size: str, most: int) -> tuple[str, str]:
    """Return reason and detail of a reject whose value in a column is larger than the option `bound`."""
    return ABOVE[bound], f"column {column}: {size}; {bound} is {most:,}"
