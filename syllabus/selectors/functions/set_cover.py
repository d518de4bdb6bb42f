"""Set cover: every concept by some row.

f(S) = Σ_u w_u over the concepts u that some row of S has. Monotone and submodular; greedy's 1 - 1/e is the
best that can be had (Feige, "A threshold of ln n for approximating set cover", 1998).
"""

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from syllabus.selectors.functions.probabilistic_set_cover import ProbabilisticSetCover
from syllabus.selectors.functions.sparse_rows import SparseRows, sparse_rows


class SetCover(ProbabilisticSetCover):
    """The weight of the concepts that some row of the set has.

    Args:
      features: (n, d) numbers >= 0, above 0 where the row has the concept: a scipy sparse matrix, not copied
        if CSR of float64 but for 8 bytes an entry, or (n, d) float32.
      weights: (d,) finite numbers >= 0, of the concepts; all 1 if not given.

    Once all concepts are covered every gain is 0 and the smallest indices follow.
    """

    name: ClassVar[str] = "set_cover"

    def degrees(self, features: Any) -> SparseRows:
        """Return 1 for each concept of each row."""
        rows = sparse_rows(features, float(np.finfo(np.float64).max), self.name)
        return replace(rows, values=(rows.values > 0).astype(np.float64))
