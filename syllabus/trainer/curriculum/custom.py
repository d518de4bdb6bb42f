"""A custom schedule: a user's own function, whose every answer is checked."""

import hashlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from syllabus.trainer.curriculum.advice import FIXED
from syllabus.trainer.curriculum.pool import Pool
from syllabus.trainer.curriculum.schedules import SCHEDULES
from syllabus.trainer.errors import TrainerError

# The first argument is the Curriculum, which this file is below.
CustomFunction = Callable[[Any, int], np.ndarray]


class CustomSchedule:
    """A schedule that checks a user's; it warns once where two epochs in turn have one set."""

    def __init__(self, function: CustomFunction) -> None:
        name = getattr(function, "__name__", "custom")
        # One that has a built-in's name must not be taken for it: GraB asks for `fresh` by name.
        self.name = f"custom {name}" if name in SCHEDULES else name
        self._function = function
        self._before: tuple[int, np.ndarray] | None = None
        self._told = False

    def __call__(self, curriculum: Any, pool: Pool, epoch: int) -> np.ndarray:
        """Return the epoch's int64 indices, ascending, of a curriculum of this pool.

        Raises:
            TrainerError: they are no integers, of another number or weight than the budget, repeated, or no
                examples that may be drawn.
        """
        chosen = np.sort(np.asarray(self._function(curriculum, epoch)))
        _check(chosen, pool, f"schedule {self.name!r}: epoch {epoch}")
        before, self._before = self._before, (epoch, chosen)
        if before and not self._told and before[0] != epoch and np.array_equal(before[1], chosen):
            self._told = True
            first, second = sorted((before[0], epoch))
            message = f"schedule {self.name!r}: epochs {first} and {second} have one set: {FIXED}"
            warnings.warn(message, stacklevel=3)
        return chosen.copy()  # the last one is kept, to be compared with the next

    def digest(self, curriculum: Any, pool: Pool) -> str:
        """Return what tells two functions of one name apart: a digest of the first epoch.

        The later ones may depend on how many there are, or on what training has found by then.
        """
        chosen = np.sort(np.asarray(self._function(curriculum, 0)))
        _check(chosen, pool, f"schedule {self.name!r}: epoch 0")
        return hashlib.sha256(chosen.astype("<i8").tobytes()).hexdigest()[:16]


def _check(chosen: np.ndarray, pool: Pool, where: str) -> None:
    units, examples = pool.units, pool.examples
    count = units.budget_steps if units.weights is None else max(chosen.size, 1)
    if chosen.dtype.kind not in "iu" or chosen.shape != (count,):
        raise TrainerError(
            f"{where} gave {chosen.dtype} of shape {chosen.shape}; expected integers ({count},)"
        )
    repeated = chosen[1:][chosen[1:] == chosen[:-1]]
    if len(repeated):
        raise TrainerError(f"{where} gave index {repeated[0]} more than once")
    place = np.minimum(np.searchsorted(examples, chosen), len(examples) - 1)
    strange = chosen[examples[place] != chosen]
    if len(strange):
        raise TrainerError(f"{where} gave index {strange[0]}, which is no example of the manifest")
    if units.weights is not None:
        weight = int(units.weights[place].sum()) * units.scale
        spare = int(pool.strata.heaviest.sum()) * units.scale  # what draws by partition may be above
        if weight > units.budget + spare:
            raise TrainerError(
                f"{where} gave {weight} {units.name}, above the budget of {units.budget} and the heaviest"
                f" example of each partition, {spare} together"
            )
