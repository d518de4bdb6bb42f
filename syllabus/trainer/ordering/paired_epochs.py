"""Pairs of epochs, the second of which is the first one played backwards, set and all."""

import warnings

import numpy as np

from syllabus.trainer.curriculum import Curriculum
from syllabus.trainer.ordering.cycles import sets_come_again


def mirrored_epoch(curriculum: Curriculum, epoch: int) -> int:
    """Return the epoch that `epoch` is the mirror image of; itself where it is drawn.

    Epochs 2i and 2i + 1 are a pair where they have the same set. With ``fresh`` and proportional budgets
    cycles are paired instead: the second one is the first from its last epoch to its first.

    Cost: where sets are compared, what drawing two costs.
    """
    if _cycle(curriculum) > 1:
        return counted_epoch(curriculum, epoch)
    before = epoch - epoch % 2
    if curriculum.full or np.array_equal(curriculum.indices(before), curriculum.indices(epoch)):
        return before
    return epoch


def counted_epoch(curriculum: Curriculum, epoch: int) -> int:
    """Return the epoch whose set has as many examples as that of `mirrored_epoch`. O(1)."""
    cycle = _cycle(curriculum)
    number, place = divmod(epoch, cycle)
    return number * cycle - 1 - place if cycle > 1 and number % 2 else epoch


def warn_without_pairs(order: str, curriculum: Curriculum) -> None:
    """Warn, as from the caller's caller, where no epoch is the mirror image of another."""
    cycle, epochs = _cycle(curriculum), curriculum.epochs
    if 1 < epochs <= cycle:
        found = f"its {epochs} epochs are within one cycle of 'fresh', {cycle} epochs"
    elif (
        cycle == 1 and not curriculum.full and (not sets_come_again(curriculum) or _is_drawn_anew(curriculum))
    ):
        found = f"schedule {curriculum.schedule!r} draws another set for every epoch"
    else:
        return
    warnings.warn(
        f"order {order!r}: {found}, so none is played backwards; more than one cycle of 'fresh' with"
        " proportional budgets, refresh_every above 1 or fraction 1 give sets that come again",
        stacklevel=4,
    )


def _is_drawn_anew(curriculum: Curriculum) -> bool:
    return curriculum.schedule == "fresh" and curriculum.refresh_every == 1 and curriculum.epochs > 1


def _cycle(curriculum: Curriculum) -> int:
    """Return the epochs of a cycle, 1 where epochs do not make one."""
    if curriculum.schedule != "fresh" or curriculum.full or curriculum.budgets != "proportional":
        return 1
    pool = curriculum.pool
    return -(-int(pool.strata.sizes.sum()) // pool.units.budget_steps) * curriculum.refresh_every
