"""The order server: from the gradients of all workers to the order of the next cycle (arXiv 2302.00845).

It is a pure function of what it is told and in which order, so every rank runs its own and all have the same.
"""

import hashlib
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from syllabus.selectors.balancing import Halving
from syllabus.selectors.balancing.vectors import VectorBlock
from syllabus.trainer.ordering.balancers import (
    Balancer,
    GreedyBalancer,
    MeanBalancer,
    NextOrder,
    PairBalancer,
)

BALANCES = ("greedy", "kernel-halving", "mean", "pair")


class OrderServer:
    """One cycle of `groups` groups, which are named by their place in its order; then the next one.

    At each step of training it is told the features of all W workers. With pairs, those of one worker that
    follow one another are a pair, and one running sum goes over the first pair of every worker, then over
    the second, and so on: so its length does not grow with W, as that of walks of their own would. What is
    left over where a worker has an odd number is paired with what is left of the next worker. Other
    balances walk over the first group of every worker, then the second.

    Position t W + j of the order is the t-th of worker j. With one worker it is GraB (arXiv 2205.10733).

    Args:
        balance: one of `BALANCES`.
        groups: of the cycle.
        halving: with ``kernel-halving`` its thresholds.

    Attributes:
        following: the next order as far as it is known.
        placed: a checksum of it: what two servers differ in once they have found other signs.

    Memory: that of the balancer, and 17 bytes a group. Time of a step: one inner product and one addition
    for each pair, or group, and a copy of the features where there are several workers.
    """

    def __init__(self, balance: str, groups: int, halving: Halving | None = None) -> None:
        self.following, self.placed = NextOrder(groups), 0
        self._balancer = _balancer(balance, halving)
        self._paired = balance in ("kernel-halving", "pair")

    def step(self, block: VectorBlock, groups: np.ndarray, counts: Sequence[int] = ()) -> None:
        """Walk over the features of one step; nothing is changed if one of them is not finite.

        Args:
            block: (B,) vectors, those of the first worker in their order, then those of the second, ….
            groups: (B,) int64, which they are of; -1 for none. A group that was seen before in the cycle, or
                earlier in the block, is passed over.
            counts: how many each worker has; by default one worker has them all.
        """
        new = (groups >= 0) & ~self.following.seen[groups]
        if len(counts) > 1:
            first = np.zeros(len(groups), bool)
            first[np.unique(groups, return_index=True)[1]] = True
            new &= first
            owners = np.repeat(np.arange(len(counts)), counts)[new]
            taken = np.flatnonzero(new)[_sequence(owners, 2 if self._paired else 1)]
        elif new.all():
            taken = None
        else:
            taken = np.flatnonzero(new)
        if taken is not None:
            if not len(taken):
                return
            block, groups = block.take(torch.from_numpy(taken).to(block.device)), groups[taken]
        front, back = self.following.front, self.following.back
        if self._balancer.step(block, groups, self.following):
            self.following.seen[groups] = True
            places = self.following.places
            self.placed = zlib.crc32(places[front : self.following.front].tobytes(), self.placed)
            self.placed = zlib.crc32(places[self.following.back : back].tobytes(), self.placed)

    def turn(self, halving: Halving | None = None) -> np.ndarray:
        """Return the (groups,) int64 order of the next cycle, as places in this one's, and begin it."""
        order = self._balancer.turn(self.following, halving)
        self.following = NextOrder(len(order))
        return order

    def digest(self) -> str:
        """Return a digest of all of the state, equal on two ranks if they go on alike. O(groups + width)."""
        found = hashlib.sha256()
        _add(found, self.state_dict())
        return found.hexdigest()

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values that `load_state_dict` takes."""
        following = self.following
        return {
            "following": [torch.from_numpy(following.places.copy()), following.front, following.back],
            "seen": torch.from_numpy(following.seen.copy()),
            "balancer": self._balancer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`, of a server of the same balance, groups and thresholds."""
        self._balancer.load_state_dict(state["balancer"])
        places, self.following.front, self.following.back = state["following"]
        self.following.places[:], self.following.seen[:] = places.numpy(), state["seen"].numpy()


def _sequence(owners: np.ndarray, together: int) -> np.ndarray:
    """Return the order in which to take rows that lie worker by worker: `together` of each in turn."""
    counts = np.bincount(owners)
    within = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    rounds = within // together
    # What is no whole pair comes last, so that it does not shift the pairs of the workers behind.
    rounds[(counts[owners] - rounds * together) < together] = len(owners)
    return np.lexsort((within, owners, rounds))


def _balancer(balance: str, halving: Halving | None) -> Balancer:
    if balance == "greedy":
        return GreedyBalancer()
    return MeanBalancer() if balance == "mean" else PairBalancer(halving)


def _add(digest: Any, value: Any) -> None:
    """Add tensors and plain values, in lists and dicts, to a digest."""
    if isinstance(value, torch.Tensor):
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    elif isinstance(value, dict):
        for name, part in sorted(value.items()):
            digest.update(name.encode())
            _add(digest, part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            _add(digest, part)
    else:
        digest.update(repr(value).encode())
