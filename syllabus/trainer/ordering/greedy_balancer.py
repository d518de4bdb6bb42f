"""Greedy ordering on the gradients of the last cycle: the baseline that GraB does without."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from syllabus.selectors import herding
from syllabus.selectors.balancing import Halving
from syllabus.selectors.balancing.vectors import VectorBlock
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.ordering.balancers import NextOrder

LIMIT = 4 * 2**30  # bytes of features that are kept


class GreedyBalancer:
    """Keeps every unit's features and herds them greedily when the cycle is over.

    Lu, Meng, De Sa, "A general analysis of example-selection for stochastic gradient descent", ICLR 2022.
    Units without features come last. Memory: n d float32, at most 4 GiB; time O(n² d) a cycle. On sketches
    of gradients it fits the sketch too well, and pairs are better (measured).
    """

    def __init__(self) -> None:
        self._rows = torch.empty(0, 0)

    def step(self, block: VectorBlock, units: np.ndarray, following: NextOrder) -> bool:
        """Keep a block, (B,) `units`; False, nothing changed, if it is not finite."""
        rows = block.written()
        if not bool(torch.isfinite(rows).all()):
            return False
        if not len(self._rows):
            needed = 4 * len(following.places) * block.width
            if needed > LIMIT:
                raise TrainerError(
                    f"GraB: balance 'greedy' would keep {len(following.places)} x {block.width} numbers,"
                    f" {needed:,} bytes; the limit is {LIMIT:,}. Sketch the features, or take 'pair'"
                )
            self._rows = torch.zeros(len(following.places), block.width)
        self._rows[torch.from_numpy(units)] = rows.float().cpu()
        return True

    def finished(self, following: NextOrder) -> np.ndarray:
        """Return the (units,) int64 order of the next cycle."""
        seen = np.flatnonzero(following.seen)
        if len(seen):
            following.put(seen[herding.greedy(self._rows.numpy()[seen])], seen[:0])
        return following.closed()

    def turn(self, _halving: Halving | None) -> None:
        """Begin a new cycle over the same units."""

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values that `load_state_dict` takes."""
        return {"rows": self._rows.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._rows = state["rows"].clone()
