"""Cycles: the sets that come again, and so can be put in order by what was learnt the time before.

All examples, where the fraction is 1 or the schedule is ``fresh``: a cycle is then a pass over all of them,
and its epochs are the ⌊n/k⌋ whole slices of its order, unstratified: not the sets of `Curriculum.indices`.
Else the set of each epoch, a cycle of its own.
"""

import numpy as np

from syllabus.trainer import counter_rng
from syllabus.trainer.curriculum import SCHEDULES, Curriculum
from syllabus.trainer.errors import TrainerError

STARTS = ("herding", "shuffle")


class Cycles:
    """The cycles of a curriculum's epochs, for orders of groups of `unit` examples.

    Raises:
        TrainerError: slices that would cut a group, or that cannot keep the curriculum's budgets.
    """

    def __init__(self, curriculum: Curriculum, unit: int, start: str, seed: int) -> None:
        self.curriculum, self._start, self._seed = curriculum, start, seed
        n, size = curriculum.n, curriculum.count(0)
        self._size = size
        self.whole = curriculum.schedule == "fresh" or curriculum.full
        if curriculum.units.weights is not None and not curriculum.full and self.whole:
            raise TrainerError(
                f"GraB: slices of its order would not keep the budget in {curriculum.unit!r}, as 'fresh'"
                " does; give fraction=1, a schedule whose sets come again, or order='balance'"
            )
        # What is left where the size does not divide n waits for the next cycle, in the middle of which GraB
        # puts what it has not seen. Filling the last slice up with examples that were seen already unbalances
        # the cycle: measured, most of the gain is lost.
        self.slices = n // size if self.whole else 1
        if unit > size:
            raise TrainerError(f"GraB: unit={unit} is above the {size} examples of an epoch")
        if self.slices > 1 and size % unit:
            raise TrainerError(f"GraB: epochs of {size} examples are not whole units of {unit}")
        if self.slices > 1 and curriculum.budgets != "proportional":
            raise TrainerError(
                f"GraB: budgets {curriculum.budgets!r} cannot be kept in slices of its order;"
                " give the curriculum budgets='proportional'"
            )

    def of(self, epoch: int) -> tuple[int, int]:
        """Return the epoch's cycle, and where in the cycle's order the epoch begins."""
        if not self.whole:
            return epoch, 0
        cycle, part = divmod(epoch // self.curriculum.refresh_every, self.slices)
        return cycle, part * self._size

    def count(self) -> int:
        """Return how many cycles the curriculum's epochs make."""
        return self.of(self.curriculum.epochs - 1)[0] + 1

    def members(self, epoch: int) -> np.ndarray:
        """Return the int64 indices of the epoch's cycle, ascending."""
        return self.curriculum.examples if self.whole else self.curriculum.indices(epoch)

    def first_order(self, epoch: int) -> np.ndarray:
        """Return the cycle's order as it is when nothing was learnt yet."""
        members, manifest = self.members(epoch), self.curriculum.manifest
        if self._start == "shuffle":
            # The permutation that order "shuffle" has at fraction 1, so that the two begin alike.
            return members[
                counter_rng.permutation(counter_rng.key(self._seed, "shuffle", epoch), len(members))
            ]
        subset = None if self.whole else self.curriculum.subset_of(epoch)
        if subset is not None:
            return manifest.subset(self.curriculum.fraction, subset)
        if not manifest.orders or not self.whole:
            raise TrainerError(
                f"GraB: start 'herding': the manifest has no order for the set of epoch {epoch}"
            )
        order = manifest.order(manifest.orders[0])
        return order[np.isin(order, members)] if len(members) < len(order) else order


def sets_come_again(curriculum: Curriculum) -> bool:
    """Return whether any set may come again; of a user's own schedule only its epochs tell."""
    whole = curriculum.schedule == "fresh" or curriculum.full
    one_subset = curriculum.easy_epochs > 1 and curriculum.manifest.subset_count(curriculum.fraction) == 1
    own = curriculum.schedule not in SCHEDULES
    return whole or curriculum.refresh_every > 1 or one_subset or own or curriculum.epochs == 1
