"""The gradient cursor: how far an epoch has come, and which groups the gradients of a step belong to."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from syllabus.trainer.errors import TrainerError


class Deal(NamedTuple):
    """How an epoch is dealt out: to how many workers, which of them is this one, and by whom.

    The sampler gives example by example; a host that is given all of them gives batch by batch.
    """

    workers: int = 1
    worker: int = 0
    by_host: bool = False

    def positions(self, count: int) -> np.ndarray:
        """Return the (count,) int64 positions of this worker's next examples, from where all of them are."""
        if self.by_host:
            return np.arange(count) + self.worker * count
        return np.arange(count) * self.workers + self.worker


class GradientCursor:
    """The place in an epoch that gradients have come to, for groups of `unit` examples.

    Groups are named by their place in the cycle's order; -1 stands for what is no whole group.

    Of W workers the sampler gives each every W-th example from where the epoch was begun. So that a worker's
    `unit` examples are a group, `visits` puts W groups side by side: worker j has the j-th of each W.

    Attributes:
        epoch: the one that is open, -1 before the first.
        begin: where in the cycle's order it begins.
        place: its examples whose gradients are known or passed over, of all workers together.
        deal: who of how many workers this one is.
    """

    def __init__(self, unit: int) -> None:
        self.unit, self.deal = unit, Deal()
        self.epoch, self.begin, self.place = -1, 0, 0
        self._start = self._size = self._groups = 0
        self._found: tuple[np.ndarray, np.ndarray] | None = None  # the epoch's rows sorted, and their places

    def open(self, epoch: int, begin: int, groups: int) -> None:
        """Open `epoch`, which begins at `begin` of a cycle of `groups` whole groups."""
        self.epoch, self.begin = epoch, begin
        self._groups, self._found = groups, None
        self.go_to(0, 0)

    def go_to(self, place: int, size: int) -> None:
        """Go on at `place` of the epoch's `size` examples."""
        self.place = self._start = place
        self._size = size

    @property
    def through(self) -> bool:
        """Whether nothing is left of the epoch that all workers could have."""
        return self._size - self.place < self.deal.workers

    def visits(self, order: np.ndarray) -> np.ndarray:
        """Return the epoch's order as the workers visit it, position by position."""
        return order[self._places(np.arange(len(order)))] if self._moved else order

    @property
    def _moved(self) -> bool:
        return self.deal.workers > 1 and self.unit > 1 and not self.deal.by_host

    def _places(self, positions: np.ndarray) -> np.ndarray:
        """Return which places of the epoch's order the workers visit at `positions`, int64."""
        if not self._moved:
            return positions
        together = self.deal.workers * self.unit
        ahead = positions - self._start
        whole = (self._size - self._start) // together * together  # what is left is dealt as it comes
        within = ahead % together
        moved = positions - within + within % self.deal.workers * self.unit + within // self.deal.workers
        return np.where((ahead >= 0) & (ahead < whole), moved, positions)

    def next(self, count: int, given: int) -> np.ndarray:
        """Return the (count,) groups of the next gradients, and move on.

        One of several workers that has none moves on to the end.

        Args:
            count: of gradients.
            given: examples of the epoch that the sampler has given out.
        """
        workers = self.deal.workers
        mine = -(-(given - self.place) // workers)
        left = -(-mine // self.unit)
        # A host completes the last batches with examples that it repeats, so it may have more than are left.
        if count > left and not (self.deal.by_host and left):
            raise TrainerError(
                f"GraB.step: {count} gradients, but of the {given} examples given out in epoch {self.epoch}"
                f" {self.place} were stepped through, and {left} units are left"
            )
        first = (self.begin + self.place) // self.unit
        if workers == 1:
            groups = np.arange(first, first + count)
        else:
            places = self.place + self.deal.positions(count * self.unit)
            at = (self.begin + self._places(places)) // self.unit
            at[places >= self._size] = -1  # examples that are repeated so that all workers have equally many
            at = at.reshape(count, self.unit)
            groups = np.where((at == at[:, :1]).all(1), at[:, 0], -1)
        self.place = min(self.place + count * self.unit * workers, given)
        if not count and workers > 1:
            self.place = self._size
        if workers > 1 or first + count > self._groups:
            groups[groups >= self._groups] = -1
        return groups

    def named(self, indices: Sequence[int], count: int, rows: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the (count,) groups of gradients by the rows that they are of, and move on.

        Args:
            indices: rows of the data set, those of a group in their order.
            count: of gradients.
            rows: gives the int64 rows of the whole epoch.
        """
        named = np.asarray(indices)
        if named.ndim != 1 or named.dtype.kind not in "iu" or -(-len(named) // self.unit) != count:
            raise TrainerError(
                f"GraB.step: {count} gradients of units of {self.unit},"
                f" and {named.dtype} indices {named.shape}"
            )
        if self._found is None:
            mine = rows()
            places = np.argsort(mine, kind="stable")
            self._found = mine[places], places
        known, places = self._found
        at = np.minimum(np.searchsorted(known, named), len(known) - 1)
        strange = named[known[at] != named]
        if len(strange):
            raise TrainerError(f"GraB.step: row {strange[0]} is not in epoch {self.epoch}")
        if len(np.unique(named)) < len(named):
            raise TrainerError("GraB.step: a row occurs more than once among the indices of one step")
        groups = (self.begin + places[at]) // self.unit
        groups[groups >= self._groups] = -1
        self.place = min(self.place + len(named) * self.deal.workers, len(known))
        heads = groups[:: self.unit]
        if (np.repeat(heads, self.unit)[: len(groups)] != groups).any():
            raise TrainerError(f"GraB.step: the indices of a gradient are not one unit of {self.unit}")
        return heads
