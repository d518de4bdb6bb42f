"""The gradient cursor: how far an epoch has come, and which groups the gradients of a step belong to."""

from collections.abc import Callable, Sequence

import numpy as np

from syllabus.trainer.errors import TrainerError


class GradientCursor:
    """The place in an epoch that gradients have come to, for groups of `unit` examples.

    Groups are named by their place in the cycle's order; -1 stands for a tail that is no whole group.

    Attributes:
        epoch: the one that is open, -1 before the first.
        begin: where in the cycle's order it begins.
        place: its examples whose gradients are known or passed over.
    """

    def __init__(self, unit: int) -> None:
        self.unit = unit
        self.epoch, self.begin, self.place = -1, 0, 0
        self._groups = 0
        self._found: tuple[np.ndarray, np.ndarray] | None = None  # the epoch's rows sorted, and their places

    def open(self, epoch: int, begin: int, groups: int, place: int = 0) -> None:
        """Open `epoch`, which begins at `begin` of a cycle of `groups` whole groups."""
        self.epoch, self.begin, self.place = epoch, begin, place
        self._groups, self._found = groups, None

    def next(self, count: int, given: int) -> np.ndarray:
        """Return the (count,) groups of the next gradients, and move on.

        Args:
            count: of gradients.
            given: examples of the epoch that the sampler has given out.
        """
        left = -(-(given - self.place) // self.unit)
        if count > left:
            raise TrainerError(
                f"GraB.step: {count} gradients, but of the {given} examples given out in epoch {self.epoch}"
                f" {self.place} were stepped through, and {left} units are left"
            )
        first = (self.begin + self.place) // self.unit
        self.place = min(self.place + count * self.unit, given)
        groups = np.arange(first, first + count)
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
        self.place = min(self.place + len(named), len(known))
        heads = groups[:: self.unit]
        if (np.repeat(heads, self.unit)[: len(groups)] != groups).any():
            raise TrainerError(f"GraB.step: the indices of a gradient are not one unit of {self.unit}")
        return heads
