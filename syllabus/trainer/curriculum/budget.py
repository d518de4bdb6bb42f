"""The budget of an epoch: a number of examples, or of the units of a column such as tokens."""

from dataclasses import dataclass
from typing import cast

import numpy as np

from syllabus.manifests import Manifest, budget
from syllabus.trainer.errors import TrainerError

SPARSE = 4  # rows of the source an example, from which on a table of the rows is too large


@dataclass(frozen=True)
class Units:
    """The budget of a curriculum's epochs, and the weights that count towards it.

    Attributes:
        name: of a unit: ``examples``, or that of the manifest's column.
        budget: of an epoch, in units.
        scale: the greatest number that divides all weights: draws count in steps of it, so that they do not
            depend on what weights are measured in.
        budget_steps: the budget in such steps.
        full: whether an epoch is all that may be drawn.
        heaviest: steps of the heaviest example that may be drawn.
        weights: (n,) int64 of the examples that may be drawn, in index order, in steps; None where the unit
            is an example.
    """

    name: str
    budget: int
    scale: int
    budget_steps: int
    full: bool
    heaviest: int
    weights: np.ndarray | None

    @classmethod
    def of(cls, manifest: Manifest, fraction: float, kept: np.ndarray | None) -> "Units":
        """Return those of `fraction` of a manifest; what may be drawn is `kept`, (n,) bool, or None for all.

        The fraction is one of all the data. If less is left, that is the budget.

        Raises:
            TrainerError: a budget below the lightest example; a weight below 1.
        """
        every = manifest.weights()
        scale = lightest = heaviest = 1
        if every is None:
            left, weights = manifest.n if kept is None else int(kept.sum()), None
        else:
            if every.min() < 1:
                index = manifest.examples()[every.argmin()]
                raise TrainerError(f"examples/: index {index} has weight {every.min()}, below 1")
            scale = int(np.gcd.reduce(every))
            weights = (every if kept is None else every[kept]) // scale
            left, lightest, heaviest = int(weights.sum()), int(weights.min()), int(weights.max())
        steps = min(budget(fraction, manifest.total // scale), left)
        if steps < lightest:
            of = f"n={manifest.n} is no example at all"
            if weights is not None:
                of = f"{manifest.total} {manifest.unit} is less than any example weighs"
            raise TrainerError(f"Curriculum: fraction={fraction} of {of}")
        size = min(budget(fraction, manifest.total), left * scale)
        return cls(manifest.unit, size, scale, steps, steps == left, heaviest, weights)

    def of_members(self, members: np.ndarray, examples: np.ndarray) -> np.ndarray:
        """Return the (m,) int64 steps of (m,) `members` of the ascending `examples`; there are weights."""
        weights, last = cast(np.ndarray, self.weights), int(examples[-1])
        if last > SPARSE * len(examples):
            return weights[np.searchsorted(examples, members)]
        # At a million members in the order of an importance a table takes a thirtieth of a search.
        table = np.empty(last + 1, np.int64)
        table[examples] = weights
        return table[members]
