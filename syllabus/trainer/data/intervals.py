"""Intervals of positions, cut into equal shares, and what was left of these cut again.

Positions are given as intervals [(start, stop), …]; their concatenation is what is cut.
"""

from __future__ import annotations

from collections.abc import Sequence

Intervals = list[tuple[int, int]]


def share(intervals: Intervals, parts: int, part: int, equal: bool = False) -> Intervals:
    """Return the `part`-th of `parts` consecutive shares.

    Their lengths differ by one at most; `equal` leaves out the last positions so that they do not differ.
    """
    total = length(intervals)
    if equal:
        total -= total % parts
    return _cut(intervals, total * part // parts, total * (part + 1) // parts)


def left(intervals: Intervals, history: Sequence[Sequence[int]], equal: bool = False) -> Intervals:
    """Return what is left after, for each (parts, given) in turn, every share lost its first `given`."""
    for parts, given in history:
        shares = [share(intervals, parts, part, equal) for part in range(parts)]
        intervals = [piece for each in shares for piece in _cut(each, given, length(each))]
    return intervals


def length(intervals: Intervals) -> int:
    """Return the number of positions."""
    return sum(stop - start for start, stop in intervals)


def _cut(intervals: Intervals, first: int, last: int) -> Intervals:
    """Return positions first … last - 1 of the concatenation."""
    pieces, before = [], 0
    for start, stop in intervals:
        low, high = max(first - before, 0), min(last - before, stop - start)
        if low < high:
            pieces.append((start + low, start + high))
        before += stop - start
    return pieces
