"""A user's own function as a schedule: what it returns is checked on every call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from syllabus.trainer.curriculum import cautions
from syllabus.trainer.curriculum.schedules import Schedule
from syllabus.trainer.errors import TrainerError

if TYPE_CHECKING:
    from syllabus.trainer.curriculum.curriculum import Curriculum


class OwnSchedule:
    """A schedule that checks another; it warns once where two epochs in turn have one set."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._before: tuple[int, np.ndarray] | None = None
        self._told = False

    def __call__(self, curriculum: Curriculum, epoch: int) -> np.ndarray:
        """Return the epoch's int64 indices, ascending.

        Raises:
            TrainerError: they are no integers, of another number or weight than the budget, repeated, or no
                examples that may be drawn.
        """
        chosen = np.sort(np.asarray(self._schedule(curriculum, epoch)))
        _check(chosen, curriculum, f"schedule {curriculum.schedule!r}: epoch {epoch}")
        before, self._before = self._before, (epoch, chosen)
        if before and not self._told and before[0] != epoch and np.array_equal(before[1], chosen):
            self._told = True
            cautions.warn_fixed(curriculum.schedule, (before[0], epoch))
        return chosen.copy()  # the last one is kept, to be compared with the next


def _check(chosen: np.ndarray, curriculum: Curriculum, where: str) -> None:
    units = curriculum.units
    count = len(curriculum) if units.weights is None else max(chosen.size, 1)
    if chosen.dtype.kind not in "iu" or chosen.shape != (count,):
        raise TrainerError(
            f"{where} gave {chosen.dtype} of shape {chosen.shape}; expected integers ({count},)"
        )
    repeated = chosen[1:][chosen[1:] == chosen[:-1]]
    if len(repeated):
        raise TrainerError(f"{where} gave index {repeated[0]} more than once")
    place = np.minimum(np.searchsorted(curriculum.examples, chosen), curriculum.n - 1)
    strange = chosen[curriculum.examples[place] != chosen]
    if len(strange):
        raise TrainerError(f"{where} gave index {strange[0]}, which is no example of the manifest")
    if units.weights is not None:
        weight = int(units.weights[place].sum()) * units.scale
        spare = int(curriculum.strata.heaviest.sum()) * units.scale  # what draws by partition may be above
        if weight > units.budget + spare:
            raise TrainerError(
                f"{where} gave {weight} {units.name}, above the budget of {units.budget} and the heaviest"
                f" example of each partition, {spare} together"
            )
