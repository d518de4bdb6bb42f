"""Balancers: from the gradients of one cycle to the order of the next, by pair, by mean, or greedily.

A group is what is ordered as one: `unit` examples of GraB's, such as a microbatch. Groups are named by their
place in the order of the cycle, so a finished cycle gives a permutation of places.
"""

from typing import Any

import numpy as np
import torch

from syllabus.selectors import herding
from syllabus.selectors.balancing import Halving
from syllabus.selectors.balancing.vectors import (
    DenseVectors,
    OuterProducts,
    VectorBlock,
    is_taken,
    walk,
    walk_pairs,
)
from syllabus.trainer.errors import TrainerError

LIMIT = 4 * 2**30  # bytes of features that the greedy balancer keeps


class NextOrder:
    """The order of the next cycle, filled from both ends.

    Attributes:
        places: (groups,) int64; those before `front` and from `back` on are set.
        seen: (groups,) bool, groups that the walk has taken.
    """

    def __init__(self, groups: int) -> None:
        self.places, self.seen = np.zeros(groups, np.int64), np.zeros(groups, bool)
        self.front, self.back = 0, groups

    def put(self, front: np.ndarray, back: np.ndarray) -> None:
        """Place groups at the front in their order, others at the back, the first of them last."""
        self.places[self.front : self.front + len(front)] = front
        self.places[self.back - len(back) : self.back] = back[::-1]
        self.front, self.back = self.front + len(front), self.back - len(back)

    def closed(self) -> np.ndarray:
        """Return the whole order: groups not placed keep their rank, between front and back."""
        placed = np.zeros(len(self.places), bool)
        placed[self.places[: self.front]] = placed[self.places[self.back :]] = True
        return np.concatenate([self.places[: self.front], np.flatnonzero(~placed), self.places[self.back :]])


class PairBalancer:
    """Pair balance (CD-GraB, arXiv 2302.00845): walks over differences of groups that follow one another.

    State: one float64 vector of the features' width and, while a group waits for its partner, its features.

    Args:
        halving: the thresholds of kernel halving; 0 without.
    """

    def __init__(self, halving: Halving | None = None) -> None:
        self.halving = halving
        self._running_sum: torch.Tensor | None = None
        self._held: tuple[int, VectorBlock] | None = None

    def step(self, block: VectorBlock, groups: np.ndarray, following: NextOrder) -> bool:
        """Walk over a block, (B,) `groups`, and place them; False, nothing changed, if it is not finite."""
        running_sum = self._running_sum = _vector(self._running_sum, block)
        waiting = self._held
        if waiting is not None:
            groups, block = np.append(waiting[0], groups), block.after(waiting[1].to(block.device))
        even = len(groups) // 2 * 2
        odd = block.cut(even, len(groups)).copy() if even < len(groups) else None
        if odd is not None and not is_taken(odd):  # held, it would keep all that follow from being walked
            return False
        signs = walk_pairs(block if odd is None else block.cut(0, even), running_sum, self.halving)
        if signs is None:
            return False
        # Which of each pair goes to the front, as a place among the groups.
        front = np.arange(0, even, 2) + (signs < 0)
        following.put(groups[front], groups[front ^ 1])
        self._held = None if odd is None else (int(groups[-1]), odd)
        return True

    def turn(self, following: NextOrder, halving: Halving | None) -> np.ndarray:
        """Return the (groups,) int64 order of the next cycle over the same groups, and begin it."""
        self.halving, self._held = halving, None
        if self._running_sum is not None:
            self._running_sum.zero_()
        return following.closed()

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values that `load_state_dict` takes."""
        held = None if self._held is None else [self._held[0], *self._held[1].state()]
        halving = None if self.halving is None else [float(self.halving.spread[0]), self.halving.done]
        return {"position": _copied(self._running_sum), "held": held, "halving": halving}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._running_sum = _copied(state["position"])
        self._held = None
        if state["held"] is not None:
            group, *parts = state["held"]
            self._held = (group, (DenseVectors if len(parts) == 1 else OuterProducts)(*parts))
        if self.halving is not None:
            self.halving.spread[0], self.halving.done = state["halving"]


class MeanBalancer:
    """Mean balance (GraB, arXiv 2205.10733): walks over groups less the mean of the cycle before.

    In the first cycle that mean is zero. State: three float64 vectors of the features' width.
    """

    def __init__(self) -> None:
        self._running_sum: torch.Tensor | None = None
        self._mean: torch.Tensor | None = None
        self._total: torch.Tensor | None = None
        self._count = 0

    def step(self, block: VectorBlock, groups: np.ndarray, following: NextOrder) -> bool:
        """Walk over a block, (B,) `groups`, and place them; False, nothing changed, if it is not finite."""
        self._running_sum, self._mean = _vector(self._running_sum, block), _vector(self._mean, block)
        self._total = _vector(self._total, block)
        signs = walk(block, self._running_sum, self._mean, self._total)
        if signs is None:
            return False
        self._count += len(block)
        front = signs > 0
        following.put(groups[front], groups[~front])
        return True

    def turn(self, following: NextOrder, _halving: Halving | None) -> np.ndarray:
        """Return the (groups,) int64 order of the next cycle over the same groups, and begin it."""
        if self._running_sum is not None and self._total is not None and self._count:
            self._mean, self._total = self._total / self._count, self._total.zero_()
            self._running_sum.zero_()
            self._count = 0
        return following.closed()

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values that `load_state_dict` takes."""
        vectors = {"position": self._running_sum, "mean": self._mean, "total": self._total}
        return {**{name: _copied(vector) for name, vector in vectors.items()}, "count": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._running_sum, self._mean = _copied(state["position"]), _copied(state["mean"])
        self._total, self._count = _copied(state["total"]), state["count"]


class GreedyBalancer:
    """Greedy herding of the features of a whole cycle, which are all kept: the baseline of GraB.

    Lu, Meng, De Sa, "A general analysis of example-selection for stochastic gradient descent", ICLR 2022.
    Groups without features come last. Memory: n d float32, at most 4 GiB; time O(n² d) a cycle. On sketches
    of gradients it fits the sketch too well, and pairs are better (measured).
    """

    def __init__(self) -> None:
        self._rows = torch.empty(0, 0)

    def step(self, block: VectorBlock, groups: np.ndarray, following: NextOrder) -> bool:
        """Keep a block, (B,) `groups`; False, nothing changed, if it is not finite."""
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
        self._rows[torch.from_numpy(groups)] = rows.float().cpu()
        return True

    def turn(self, following: NextOrder, _halving: Halving | None) -> np.ndarray:
        """Return the (groups,) int64 order of the next cycle over the same groups, and begin it."""
        seen = np.flatnonzero(following.seen)
        if len(seen):
            following.put(seen[herding.greedy(self._rows.numpy()[seen])], seen[:0])
        return following.closed()

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values that `load_state_dict` takes."""
        return {"rows": self._rows.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._rows = state["rows"].clone()


Balancer = PairBalancer | MeanBalancer | GreedyBalancer


def _vector(vector: torch.Tensor | None, block: VectorBlock) -> torch.Tensor:
    if vector is None:
        return torch.zeros(block.width, dtype=torch.float64, device=block.device)
    return vector if vector.device == block.device else vector.to(block.device)


def _copied(vector: torch.Tensor | None) -> torch.Tensor | None:
    return None if vector is None else vector.detach().clone()
