"""What an optimiser is asked for: how many rows, which of them are set, which may be picked."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Task:
    """A budget and the rows it may be spent on.

    Attributes:
      budget: rows in the selection, those of `first` included.
      first: (f,) int64, rows that are in from the beginning, in the order in which they are added.
      candidates: (c,) int64, ascending, the rows to pick from; f <= budget <= f + c.
    """

    budget: int
    first: NDArray[np.int64]
    candidates: NDArray[np.int64]

    @classmethod
    def free(cls, n: int, budget: int) -> "Task":
        """Return the task without constraints: pick `budget` of n rows."""
        return cls(budget, np.empty(0, np.int64), np.arange(n))
