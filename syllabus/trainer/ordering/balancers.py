"""What GraB keeps while it goes through a cycle: where the walk stands, and the order of the next cycle.

A unit is what is ordered as one: an example, or a microbatch. Units are named by their place in the order of
the cycle, so a finished cycle gives a permutation of places.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch

from syllabus.selectors.balancing import Halving
from syllabus.selectors.balancing.vectors import DenseVectors, OuterProducts, VectorBlock, walk, walk_pairs


class NextOrder:
    """The order of the next cycle, filled from both ends.

    Attributes:
        places: (units,) int64; those before `front` and from `back` on are set.
        seen: (units,) bool, units that the walk has taken.
    """

    def __init__(self, units: int) -> None:
        self.places, self.seen = np.zeros(units, np.int64), np.zeros(units, bool)
        self.front, self.back = 0, units

    def put(self, front: np.ndarray, back: np.ndarray) -> None:
        """Place units at the front in their order, others at the back, the first of them last."""
        self.places[self.front : self.front + len(front)] = front
        self.places[self.back - len(back) : self.back] = back[::-1]
        self.front, self.back = self.front + len(front), self.back - len(back)

    def closed(self) -> np.ndarray:
        """Return the whole order: units not placed keep their rank, between front and back."""
        placed = np.zeros(len(self.places), bool)
        placed[self.places[: self.front]] = placed[self.places[self.back :]] = True
        return np.concatenate([self.places[: self.front], np.flatnonzero(~placed), self.places[self.back :]])


class Balancer(Protocol):
    """What places the units of a cycle in the order of the next."""

    def step(self, block: VectorBlock, units: np.ndarray, following: NextOrder) -> bool:
        """Take a block of (B,) `units`; False, nothing changed, if it is not finite."""

    def finished(self, following: NextOrder) -> np.ndarray:
        """Return the (units,) int64 order of the next cycle, now that this one is over."""

    def turn(self, halving: Halving | None) -> None:
        """Begin a new cycle over the same units."""

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values that `load_state_dict` takes."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""


class PairBalancer:
    """Pair balance (CD-GraB, arXiv 2302.00845): walks over differences of units that follow one another.

    State: one float64 vector of the features' width and, while a unit waits for its partner, its features.

    Args:
        halving: the thresholds of kernel halving; 0 without.
    """

    def __init__(self, halving: Halving | None = None) -> None:
        self.halving = halving
        self._position: torch.Tensor | None = None
        self._held: tuple[int, VectorBlock] | None = None

    def step(self, block: VectorBlock, units: np.ndarray, following: NextOrder) -> bool:
        """Walk over a block, (B,) `units`, and place them; False, nothing changed, if it is not finite."""
        position = self._position = _vector(self._position, block)
        waiting = self._held
        if waiting is not None:
            units, block = np.append(waiting[0], units), block.after(waiting[1].to(block.device))
        even = len(units) // 2 * 2
        odd = block.cut(even, len(units)).copy() if even < len(units) else None
        if odd is not None and not bool(torch.isfinite(odd.gram()).all()):
            return False
        signs = walk_pairs(block if odd is None else block.cut(0, even), position, self.halving)
        if signs is None:
            return False
        first, second = units[:even:2], units[1:even:2]
        following.put(np.where(signs > 0, first, second), np.where(signs > 0, second, first))
        self._held = None if odd is None else (int(units[-1]), odd)
        return True

    def finished(self, following: NextOrder) -> np.ndarray:
        """Return the (units,) int64 order of the next cycle."""
        return following.closed()

    def turn(self, halving: Halving | None) -> None:
        """Begin a new cycle over the same units."""
        self.halving, self._held = halving, None
        if self._position is not None:
            self._position.zero_()

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values that `load_state_dict` takes."""
        held = None if self._held is None else [self._held[0], *self._held[1].state()]
        halving = None if self.halving is None else [float(self.halving.spread[0]), self.halving.done]
        return {"position": _copied(self._position), "held": held, "halving": halving}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._position = _copied(state["position"])
        self._held = None
        if state["held"] is not None:
            unit, *parts = state["held"]
            self._held = (unit, (DenseVectors if len(parts) == 1 else OuterProducts)(*parts))
        if self.halving is not None:
            self.halving.spread[0], self.halving.done = state["halving"]


class MeanBalancer:
    """Mean balance (GraB, arXiv 2205.10733): walks over units less the mean of the cycle before.

    In the first cycle that mean is zero. State: three float64 vectors of the features' width.
    """

    def __init__(self) -> None:
        self._position: torch.Tensor | None = None
        self._mean: torch.Tensor | None = None
        self._total: torch.Tensor | None = None
        self._count = 0

    def step(self, block: VectorBlock, units: np.ndarray, following: NextOrder) -> bool:
        """Walk over a block, (B,) `units`, and place them; False, nothing changed, if it is not finite."""
        self._position, self._mean = _vector(self._position, block), _vector(self._mean, block)
        self._total = _vector(self._total, block)
        signs = walk(block, self._position, self._mean)
        if signs is None:
            return False
        block.add_to(self._total, torch.ones(len(block), dtype=torch.float64, device=block.device))
        self._count += len(block)
        following.put(units[signs > 0], units[signs <= 0])
        return True

    def finished(self, following: NextOrder) -> np.ndarray:
        """Return the (units,) int64 order of the next cycle."""
        return following.closed()

    def turn(self, _halving: Halving | None) -> None:
        """Begin a new cycle over the same units."""
        if self._position is not None and self._total is not None and self._count:
            self._mean, self._total = self._total / self._count, self._total.zero_()
            self._position.zero_()
            self._count = 0

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values that `load_state_dict` takes."""
        vectors = {"position": self._position, "mean": self._mean, "total": self._total}
        return {**{name: _copied(vector) for name, vector in vectors.items()}, "count": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._position, self._mean = _copied(state["position"]), _copied(state["mean"])
        self._total, self._count = _copied(state["total"]), state["count"]


def _vector(vector: torch.Tensor | None, block: VectorBlock) -> torch.Tensor:
    if vector is None:
        return torch.zeros(block.width, dtype=torch.float64, device=block.device)
    return vector.to(block.device)


def _copied(vector: torch.Tensor | None) -> torch.Tensor | None:
    return None if vector is None else vector.detach().clone()
