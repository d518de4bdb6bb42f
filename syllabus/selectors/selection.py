"""Selections: what optimisers return."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Selection:
    """Rows in the order in which they were picked, and what each added.

    Attributes:
      indices: (k,) int64 row numbers; the first j of a greedy selection are the greedy selection of size j
        (of a stochastic one they are not the one that would be drawn for j).
      gains: (k,) float64, f(S + e) - f(S) of each pick; they sum to `objective` up to rounding.
      objective: f of all of `indices`.
      upper_bound: no allowed set has a larger f, that is none within the budget or limit that holds every
        included row and no excluded one. None where no such bound is known.
    """

    indices: NDArray[np.int64]
    gains: NDArray[np.float64]
    objective: float
    upper_bound: float | None

    def __repr__(self) -> str:
        bound = "none" if self.upper_bound is None else f"{self.upper_bound:.6g}"
        return f"Selection({len(self.indices)} rows, objective={self.objective:.6g}, upper_bound={bound})"
