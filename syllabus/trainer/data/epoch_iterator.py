"""The iterator of one epoch's rows on one rank, at the speed of one written in C."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import length_hint
from typing import Any

import numpy as np

from syllabus.trainer.errors import TrainerError

CHUNK = 65_536


@dataclass(frozen=True)
class RankShare:
    """One rank's share of every epoch, as an iterator is given it by a sampler.

    Attributes:
        order: (epoch, start) -> the epoch's int64 indices in the order in which all ranks visit them.
        rows_of: indices -> the int64 rows of the data set that hold them.
        num_replicas: W.
        rank: r, which takes positions r, r+W, ….
        drop_last: leave out what does not divide by W.
        state: (epoch, position) -> the sampler's state there.
        checked: a state -> its epoch and position; raises where it is of something else.
        begins: told of rows when the first of them is asked for.
        goes_on: told of rows that were interrupted when the next of them is asked for, and of the epoch that
            was named since, or None.
    """

    order: Callable[[int, int], np.ndarray]
    rows_of: Callable[[np.ndarray], np.ndarray]
    num_replicas: int
    rank: int
    drop_last: bool
    state: Callable[[int, int], dict[str, Any]]
    checked: Callable[[dict[str, Any]], tuple[int, int]]
    begins: Callable[[EpochRows], None]
    goes_on: Callable[[EpochRows, int | None], None]


class EpochIterator(itertools.chain):
    """One epoch's rows on one rank; `state_dict` and `load_state_dict` as the sampler's.

    Positions in states are absolute, so loading the same state twice, or into the sampler and into its
    iterator as torchdata's StatefulDataLoader does, is loading it once.

    It is a chain of iterators of lists, so that no Python code runs for a row: a list's iterator knows how
    many numbers it still has, and the position follows from that when it is asked for.
    """

    def __new__(cls, rows: EpochRows) -> EpochIterator:  # noqa: D102
        self = super().from_iterable(rows)
        self._rows = rows
        return self

    def state_dict(self) -> dict[str, Any]:
        """Return the position after what was yielded, in O(1), as a fresh dict."""
        return self._rows.share.state(self._rows.epoch, self._rows.position)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`, which may be of another epoch.

        Raises:
            TrainerError: the state is of something else, or the iterator has ended.
        """
        if self._rows.ended:
            raise TrainerError("load_state_dict: the iterator has ended; load the state into a new one")
        self._rows.move(*self._rows.share.checked(state))


class EpochRows(Iterator[Iterator[int]]):
    """The rows in lists: a list of all would take five times the memory of the array.

    Attributes:
        epoch: that the rows are of.
        started: whether a first row was asked for.
        ended: whether there are no more.
    """

    def __init__(self, share: RankShare, epoch: int, start: int) -> None:
        self.share, self.started, self.ended = share, False, False
        self._list: list[int] = []
        self._now: Iterator[int] = iter(self._list)
        self._interrupted = False
        self._named: int | None = None
        self.move(epoch, start)

    def move(self, epoch: int, start: int) -> None:
        """Go to a position; the order is found when the first row is asked for, not before."""
        self._stop()
        self.epoch, self._end = epoch, start
        self._order: np.ndarray | None = None
        self._left = 0

    def interrupt(self, named: int | None = None) -> None:
        """Have `share.goes_on` called if another row is asked for, told of the epoch `named`. O(1)."""
        if self.started and not self.ended and self._order is not None:
            rest = copy.copy(self._now)  # of the same list
            self._stop()
            self._now, self._interrupted, self._named = rest, True, named

    def __next__(self) -> Iterator[int]:
        share, world = self.share, self.share.num_replicas
        if self._order is None:
            self._interrupted, self.started = False, True
            share.begins(self)
            self._order = share.order(self.epoch, self._end)
            left = len(self._order) - self._end
            self._left = (left if share.drop_last else left + world - 1) // world
        elif self._interrupted:
            self._interrupted = False
            if length_hint(self._now) or self._left:
                share.goes_on(self, self._named)
            return self._now
        count = min(self._left, CHUNK)
        if not count:
            self.ended, self._order = True, None
            raise StopIteration
        # Past the end the positions wrap around: the padding is the epoch's first examples.
        places = np.arange(count) * world + (self._end + share.rank)
        self._list = share.rows_of(self._order.take(places, mode="wrap")).tolist()
        self._now = iter(self._list)
        self._end, self._left = self._end + count * world, self._left - count
        return self._now

    @property
    def position(self) -> int:
        """Examples of the epoch that all ranks have been given together, those before a resume included."""
        return self._end - length_hint(self._now) * self.share.num_replicas

    def _stop(self) -> None:
        # The chain has hold of the list's iterator and would go on.
        self._now.__setstate__(len(self._list))  # type: ignore[attr-defined]
