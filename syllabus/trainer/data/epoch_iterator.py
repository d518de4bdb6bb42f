"""One epoch's rows on one rank, at the speed of an iterator written in C."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from operator import length_hint
from typing import TYPE_CHECKING, Any

import numpy as np

from syllabus.trainer.errors import TrainerError

if TYPE_CHECKING:
    from syllabus.trainer.data.sampler import ManifestSampler

CHUNK = 65_536


class EpochIterator(itertools.chain):
    """One epoch's rows on one rank; `state_dict` and `load_state_dict` as the sampler's.

    Positions in states are absolute, so loading the same state twice, or into the sampler and into its
    iterator as torchdata's StatefulDataLoader does, is loading it once.

    It is a chain of iterators of lists, so that no Python code runs for a row: a list's iterator knows how
    many numbers it still has, and the position follows from that when it is asked for.
    """

    def __new__(cls, sampler: ManifestSampler, epoch: int, start: int) -> EpochIterator:  # noqa: D102
        chunks = _Chunks(sampler, epoch, start)
        self = super().from_iterable(chunks)
        self._chunks = chunks
        return self

    @property
    def epoch(self) -> int:
        """The epoch that the rows are of."""
        return self._chunks.epoch

    @property
    def position(self) -> int:
        """Examples of the epoch that all ranks have been given together, those before a resume included."""
        return self._chunks.position

    def state_dict(self) -> dict[str, Any]:
        """Return the position after what was yielded, in O(1), as a fresh dict."""
        return self._chunks.sampler._state(self.epoch, self.position)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`, which may be of another epoch.

        Raises:
            TrainerError: the state is of something else, or the iterator has ended.
        """
        if self._chunks.ended:
            raise TrainerError("load_state_dict: the iterator has ended; load the state into a new one")
        self._chunks.begin(*self._chunks.sampler._checked(state))


class _Chunks(Iterator[Iterator[int]]):
    """The rows in lists: a list of all would take five times the memory of the array."""

    def __init__(self, sampler: ManifestSampler, epoch: int, start: int) -> None:
        self.sampler, self.ended = sampler, False
        self._now: Iterator[int] = iter(())
        self.begin(epoch, start)

    def begin(self, epoch: int, start: int) -> None:
        """Go to a position; the order is found when the first row is asked for, not before."""
        deque(self._now, maxlen=0)  # the chain has hold of it and would go on
        self.epoch, self._end = epoch, start
        self._order: np.ndarray | None = None
        self._left = 0

    def __next__(self) -> Iterator[int]:
        sampler = self.sampler
        if self._order is None:
            if sampler._current is not None and sampler._current._chunks is self:
                sampler._resume = None  # a loaded position is used once, and from here on it is
            self._order = sampler._order(self.epoch, self._end)
            left = len(self._order) - self._end
            self._left = (
                left if sampler.drop_last else left + sampler.num_replicas - 1
            ) // sampler.num_replicas
        count = min(self._left, CHUNK)
        if not count:
            self.ended, self._order = True, None
            raise StopIteration
        # Past the end the positions wrap around: the padding is the epoch's first examples.
        places = np.arange(count) * sampler.num_replicas + (self._end + sampler.rank)
        self._now = iter(sampler.rows_of(self._order.take(places, mode="wrap")).tolist())
        self._end, self._left = self._end + count * sampler.num_replicas, self._left - count
        return self._now

    @property
    def position(self) -> int:
        return self._end - length_hint(self._now) * self.sampler.num_replicas
