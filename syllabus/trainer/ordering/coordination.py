"""Coordination of the ranks while training, so that all run the same order server on the same features.

At each step every rank tells the others the gradients of its own examples, before they are averaged. That is
under way while training goes on, and is waited for at the next step.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch.distributed

from syllabus.selectors.balancing.vectors import VectorBlock
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.ordering.base import EpochSource
from syllabus.trainer.ordering.gradient_cursor import Deal
from syllabus.trainer.ordering.messages import BEGINNING, END, Messages
from syllabus.trainer.ordering.order_server import OrderServer
from syllabus.trainer.ranks import accelerate_runs, world_size


class Coordination:
    """This rank's part in the steps of all ranks.

    It communicates in `begin` and `tell` only, which every rank calls once a batch, so that one rank alone
    may look into a loader or save a state.
    """

    def __init__(self) -> None:
        self._messages: Messages | None = None
        self._epoch, self._step, self._even = -1, 0, False

    @property
    def sent(self) -> int:
        """Bytes that this rank has given out to each of the others."""
        return 0 if self._messages is None else self._messages.sent

    def leave(self) -> None:
        """Have the ranks agree anew on where they stand, at their next step."""
        self._epoch = -1

    def begin(self, epoch: int, even: bool, equal: Callable[[], Mapping[str, Any]]) -> None:
        """Begin a step; at the first of an epoch, raise on all ranks if they are not `equal`.

        Args:
            epoch: where this rank stands.
            even: whether all ranks that have features must have equally many.
            equal: returns what must be alike, by name.
        """
        self._even = even
        if self._messages is None:
            self._messages = Messages()
        if epoch != self._epoch:
            self._messages.agree(BEGINNING, epoch, equal())
            self._epoch, self._step = epoch, 0

    def tell(self, server: OrderServer, block: VectorBlock | None, groups: np.ndarray) -> None:
        """Tell the others this rank's (B,) features, if it has any, and (B,) groups."""
        assert self._messages is not None
        self._messages.start(self._epoch, self._step, server.placed, block, groups)
        self._step += 1
        if not self._messages.sized:
            # Here all ranks are at it; later one that saves a state would wait for those that wait for it.
            self.finish(server)

    def end(self, server: OrderServer) -> None:
        """Let the server walk over the last step of an epoch; raise on all ranks if one's is not the others'.

        So no rank ends while another waits for it: what a run has left to do after its epochs, such as saving
        a state on one rank, needs no other rank.
        """
        assert self._messages is not None
        self.finish(server)
        self._messages.agree(END, self._epoch, {"state": server.digest()[:12]})

    def finish(self, server: OrderServer, forgive: bool = False) -> None:
        """Let the server walk over what all ranks told in the step before, as soon as it is there.

        Args:
            server: this rank's.
            forgive: warn where a rank did not answer, or would have to be asked again, and go on without
                that step.
        """
        if self._messages is not None and self._messages.waiting:
            try:
                told = self._messages.finish(alone=forgive)
            except TrainerError as error:
                if not (forgive and self._messages.unanswered):
                    raise
                warnings.warn(
                    f"{error}; the gradients of that step are lost, and its examples keep their rank",
                    stacklevel=3,
                )
                return
            if told is None:
                warnings.warn(
                    "GraB: the state is asked for while larger features than before are on their way; it is"
                    " without those of the last step, whose examples keep their rank",
                    stacklevel=3,
                )
                return
            if self._even and len(set(told.counts) - {0}) > 1:
                raise TrainerError(
                    f"GraB: step {self._step - 1} of epoch {self._epoch}: the ranks have {told.counts}"
                    " gradients; where a host deals batches out all need equally many (accelerate:"
                    " even_batches=True)"
                )
            if told.block is not None:
                server.step(told.block, told.groups, told.counts)


def deal(source: EpochSource) -> Deal:
    """Return how the epochs of `source` are dealt out, now that the ranks are known.

    Raises:
        TrainerError: the sampler counts other ranks than `torch.distributed`, which carries the gradients.
    """
    world = world_size()
    if source.num_replicas == world:
        rank = torch.distributed.get_rank() if world > 1 else 0
        if source.rank != rank:
            raise TrainerError(f"GraB: the sampler has rank={source.rank}, torch.distributed {rank}")
        return Deal(world, rank)
    if source.num_replicas == 1 and accelerate_runs():
        return Deal(world, torch.distributed.get_rank(), by_host=True)
    raise TrainerError(
        f"GraB: num_replicas={source.num_replicas}, and torch.distributed has {world} rank(s), through which"
        " they tell each other their gradients; leave num_replicas and rank out"
    )
