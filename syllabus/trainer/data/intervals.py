"""Intervals of positions, cut into equal shares, and what was left of these cut again.

Positions are given as intervals [(start, stop), …]; their concatenation is what is cut.
"""

from __future__ import annotations

from collections.abc import Sequence

Intervals = list[tuple[int, int]]


def share(intervals: Intervals, parts: int, part: int) -> Intervals:
    """Return the `part`-th of `parts` consecutive shares, whose lengths differ by one at most."""
    total = length(intervals)
    return _cut(intervals, [(total * part // parts, total * (part + 1) // parts)])


def even(intervals: Intervals, parts: int, count: int, drop_last: bool) -> Intervals:
    """Return the intervals with a length that `parts` divides: the last positions left out, or some added.

    What is added are positions from `count` on, which are no examples: they stand for the first ones again.
    """
    total = length(intervals)
    if drop_last:
        return _cut(intervals, [(0, total - total % parts)])
    return [*intervals, (count, count + -total % parts)] if total % parts else intervals


def left(intervals: Intervals, history: Sequence[Sequence[int]], count: int, drop_last: bool) -> Intervals:
    """Return what is left after, for each (parts, given) in turn, every even share lost its first `given`.

    Without what was added to make shares even: other parts need other additions.
    """
    for parts, given in history:
        whole = even(intervals, parts, count, drop_last)
        total = length(whole)
        kept = [(total * part // parts + given, total * (part + 1) // parts) for part in range(parts)]
        rest = _cut(whole, kept)
        intervals = [(start, min(stop, count)) for start, stop in rest if start < count]
    return intervals


def length(intervals: Intervals) -> int:
    """Return the number of positions."""
    return sum(stop - start for start, stop in intervals)


def without_first(intervals: Intervals, given: int) -> Intervals:
    """Return the intervals without their first `given` positions."""
    return _cut(intervals, [(given, length(intervals))])


def _cut(intervals: Intervals, ranges: Intervals) -> Intervals:
    """Return the positions of the concatenation that lie in the ascending `ranges` of it. O(both lengths)."""
    pieces, before, place = [], 0, 0
    for start, stop in intervals:
        end = before + stop - start
        while place < len(ranges) and ranges[place][0] < end:
            first, last = ranges[place]
            low, high = max(first, before), min(last, end)
            if low < high:
                pieces.append((start + low - before, start + high - before))
            if last > end:
                break  # it goes on in the next interval
            place += 1
        before = end
    return pieces
