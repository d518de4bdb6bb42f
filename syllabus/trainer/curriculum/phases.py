"""The two phases of a schedule, and the walk through stored subsets in the first one of ``milo``."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from syllabus.trainer import counter_rng
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.validation import whole

REDUCTION = 3  # Hyperband's usual η


class Phases:
    """The phase of each epoch, and the number of epochs of that phase before it.

    The first phase is the first ⌈share·length⌉ epochs of each span: of all epochs, or of each rung.

    Attributes:
        epochs: of both phases.
        first_epochs: epochs of the first phase, over all spans.
    """

    def __init__(self, epochs: int, share: float, rungs: Sequence[int] = ()) -> None:
        self.epochs = epochs
        ends = np.array([*rungs, epochs])
        self._starts = np.concatenate([[0], ends[:-1]])
        # The guard keeps ⌈share·length⌉ right where the product should be whole and rounds up.
        self._first = np.array([math.ceil(share * length - 1e-9) for length in ends - self._starts])
        self._before = np.cumsum(self._first) - self._first
        self.first_epochs = int(self._first.sum())

    def of(self, epoch: int) -> tuple[bool, int]:
        """Return whether `epoch` is in the first phase, and its number among the epochs of its phase."""
        span = int(np.searchsorted(self._starts, epoch, side="right")) - 1
        inside, before = epoch - int(self._starts[span]), int(self._before[span])
        if inside < self._first[span]:
            return True, before + inside
        return False, epoch - before - int(self._first[span])


def rungs_of(per_rung: bool | Sequence[int], epochs: int) -> tuple[int, ...]:
    """Return the epochs, ascending and below `epochs`, after which a bandit scheduler may stop a trial.

    Raises:
        TrainerError: rungs that do not ascend within [1, epochs].
    """
    if isinstance(per_rung, (bool, np.bool_)):
        powers = [REDUCTION**power for power in range(64)] if per_rung else []
        return tuple(power for power in powers if power < epochs)
    if isinstance(per_rung, (str, bytes)) or not isinstance(per_rung, Iterable):
        raise TrainerError(f"Curriculum: per_rung={per_rung!r} is neither True or False nor epochs")
    rungs = tuple(whole("Curriculum", "per_rung", rung) for rung in per_rung)
    if (
        any(after <= before for before, after in zip((0, *rungs), rungs, strict=False))
        or max(rungs, default=0) > epochs
    ):
        raise TrainerError(f"Curriculum: per_rung={rungs} does not ascend within [1, epochs={epochs}]")
    return tuple(rung for rung in rungs if rung < epochs)


def subset_of_step(step: int, count: int, seed: int) -> int:
    """Return the `step`-th of `count` subsets: in shuffled cycles, never one twice running. O(count)."""
    cycle, place = divmod(step, count)
    walk = _cycle(cycle, count, seed)
    if cycle and count > 2 and walk[0] == _cycle(cycle - 1, count, seed)[-1]:
        # A swap at the front leaves the cycle's last subset alone: no cycle depends on one before the last.
        walk[[0, 1]] = walk[[1, 0]]
    return int(walk[place])


def _cycle(cycle: int, count: int, seed: int) -> np.ndarray:
    # Of two subsets, only one alternation has no equal neighbours, so every cycle is the first.
    return counter_rng.permutation(counter_rng.key(seed, "subsets", cycle if count > 2 else 0), count)
