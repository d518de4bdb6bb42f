"""GraB: the order of the next cycle, found from the gradients of this one (arXiv 2205.10733, 2302.00845).

A cycle is one pass over a set that comes again (`cycles.py`), refined for as long as it stays the same.
"""

import hashlib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from syllabus.selectors.balancing import Halving
from syllabus.selectors.balancing.vectors import DenseVectors, VectorBlock
from syllabus.trainer import counter_rng
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.ordering.base import EpochSource
from syllabus.trainer.ordering.coordination import Coordination, deal
from syllabus.trainer.ordering.cycles import STARTS, Cycles, sets_come_again
from syllabus.trainer.ordering.grab_state import check_grab_state
from syllabus.trainer.ordering.gradient_cursor import GradientCursor
from syllabus.trainer.ordering.order_server import BALANCES, OrderServer
from syllabus.trainer.ranks import world_size
from syllabus.trainer.validation import one_of, whole

STATE_VERSION = 3  # 3: last layers of more than 1,024 numbers are sketched


class GraB:
    """An order for `ManifestSampler(curriculum, order=grab)` that is refined while training.

    After each backward pass `step` is told the gradients of the batch's examples, or small features that
    stand for them; under `torch.distributed` on every rank those of its own (CD-GraB). An example that got
    none in a cycle (a batch dropped, an epoch left early, features that are not finite) keeps its rank; one
    that comes a second time in a cycle is passed over.

    Args:
        balance: ``pair`` (needs no mean of an earlier cycle), ``mean`` (GraB as first published),
            ``kernel-halving`` (pairs, with random thresholds), or ``greedy``, the baseline that GraB
            replaces: greedy herding of the features of a whole cycle, which are all kept.
        start: the order of the first cycle: ``shuffle``, or ``herding``, the manifest's stored order.
        unit: examples that are ordered as one; with the mean gradient of a microbatch (`MeanGradient`) its
            size.

    Memory: 2 int64 an example; of the features' width d 1 float64 vector and at times one group's features
    (``pair``, ``kernel-halving``), or 3 float64 vectors (``mean``). It does not grow with n · d, but for
    ``greedy``: n · d float32, and O(n² d) time a cycle.

    Raises:
        TrainerError: an unknown name, a unit below 1.
    """

    def __init__(self, balance: str = "pair", *, start: str = "shuffle", unit: int = 1) -> None:
        self.balance = one_of("GraB", "balance", balance, BALANCES)
        self.start = one_of("GraB", "start", start, STARTS)
        self.unit = whole("GraB", "unit", unit, 1)
        self._source: EpochSource | None = None
        self._server = OrderServer(self.balance, 0)
        self._cycles: Cycles | None = None
        self._order = np.empty(0, np.int64)  # of the cycle
        self._digest = ""  # of that order
        self._width: int | None = None
        self._cycle = -1
        self._cursor = GradientCursor(self.unit)
        self._opened = self._stepped = self._warned = False
        self._ranks = Coordination()

    def __repr__(self) -> str:
        return f"GraB(balance={self.balance!r}, start={self.start!r}, unit={self.unit})"

    @property
    def name(self) -> str:
        """The name of this order in states."""
        return f"grab-{self.balance}"

    def step(self, gradients: torch.Tensor | VectorBlock, indices: Sequence[int] | None = None) -> None:
        """Take note of the gradients of the batch that was just used, before the next one is.

        Args:
            gradients: (B, d) floats, or a block of factors as `LastLayer` gives; one row a group, of each
                example's own unscaled loss. A vector (d,) is one row.
            indices: the rows of the data set that the batch was made of, in its order. By default what the
                sampler gave out next: right for any loader that keeps the sampler's order.

        Cost: one inner product and one addition of width d a group. A block with NaN or infinity is passed
        over, as a GradScaler passes over its step. On several ranks call it on each, once a batch and before
        the optimizer: the features travel to the others until the next call, and all walk over all of them.

        Raises:
            TrainerError: no epoch has begun; more gradients than examples given out; indices of other
                number or epoch; another width than before; ranks that differ, or one that does not answer.
        """
        block = _block(gradients)
        if self._width not in (None, block.width):
            raise TrainerError(f"GraB.step: gradients have width {block.width}; before it was {self._width}")
        groups = self._groups_of(len(block), indices)
        self._stepped, self._width = True, block.width
        self._take_note(block, groups)

    def skip(self, count: int) -> None:
        """Pass over the next `count` gradients, of a batch that has none, such as one whose loss is NaN.

        On several ranks each of them calls `step` or `skip` once a batch; `skip(0)` where its own are over
        and others' are not.
        """
        groups = self._groups_of(whole("GraB.skip", "count", count, 0), None)
        self._take_note(None, groups[:0])

    def state_dict(self) -> dict[str, Any]:
        """Return all that the order depends on from here on: tensors of O(n + d) and plain values.

        Save it in a file of its own beside the sampler's, whose O(1) state names the order by its digest. It
        is the same on every rank and holds on any number of them. It starts no communication, so one rank may
        ask alone: it waits for the features that are on their way, or warns if they do not come.
        """
        self._ranks.finish(self._server, forgive=True)
        return {
            **self._identity(),
            "epoch": self._cursor.epoch,
            "cycle": self._cycle,
            "place": self._cursor.place,
            "stepped": self._stepped,
            "width": self._width,
            "order": torch.from_numpy(self._order.copy()),
            **self._server.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`; load the sampler's state after this one.

        Raises:
            TrainerError: the state was made for something else, or is not sound; nothing was loaded then.
        """
        self._ranks.finish(self._server)
        _, cycles = self._served()
        state = check_grab_state(state, self._identity(), cycles, self.unit, self.balance)
        self._cycle, self._width = state["cycle"], state["width"]
        self._stepped, self._opened = state["stepped"], False
        self._take(state["order"].numpy().copy())
        begin = self._served()[1].of(max(state["epoch"], 0))[1]
        self._cursor.open(state["epoch"], begin, len(self._order) // self.unit)
        self._cursor.place = state["place"]
        self._ranks.leave()
        self._server = self._new_server()
        self._server.load_state_dict(state)

    # What the sampler calls.

    def attach(self, source: EpochSource) -> None:
        """Serve `source`; called by its constructor."""
        if self._source is not None:
            raise TrainerError("GraB: already the order of another sampler; make one for each")
        if source.num_replicas > 1 and world_size() == 1:
            raise TrainerError(
                f"GraB: num_replicas={source.num_replicas}, and torch.distributed is not initialised, through"
                " which ranks tell each other their gradients; make the sampler after init_process_group"
            )
        self._cycles = Cycles(source.curriculum, self.unit, self.start, source.seed)
        self._source = source
        if not sets_come_again(source.curriculum):
            self._warn(f"schedule {source.curriculum.schedule!r} draws another set for every epoch")

    def leave(self, epoch: int) -> None:
        """Check, before `epoch` is entered, that the one before it was stepped through."""
        if epoch != self._cursor.epoch and self._opened and not self._stepped:
            raise TrainerError(
                f"GraB: epoch {self._cursor.epoch} of {len(self._slice())} examples got no gradients; call"
                " grab.step(...) after each backward pass, and mind that a loader with drop_last makes no"
                " batch of an epoch that is smaller than one"
            )

    def visits(self, epoch: int, place: int) -> np.ndarray:
        """Enter `epoch` at `place` and return its example indices in the order of their visit."""
        if epoch < (current := self._cursor.epoch):
            raise TrainerError(
                f"GraB: epoch {epoch} comes after {current}; load the state of then to go back"
            )
        self.leave(epoch)
        self._cursor.deal = deal(source := self._served()[0])
        self._ranks.finish(self._server)
        if epoch > current:
            self._enter(epoch)
        self._cursor.go_to(place, source.curriculum.count(epoch))
        self._opened = True
        return self._cursor.visits(self._slice())

    def order_id(self, epoch: int) -> str:
        """Return what names the order that `epoch` follows; empty as long as that is not known."""
        return self._digest if self._served()[1].of(epoch)[0] == self._cycle else ""

    def check(self, epoch: int, position: int, order_id: str) -> None:
        """Check that a sampler's state belongs to the state that this object is in."""
        if (epoch or position) and (self._cursor.epoch < 0 or order_id != self.order_id(epoch)):
            raise TrainerError(
                f"load_state_dict: the order of epoch {epoch} is {order_id[:12] or 'not begun'} in the state"
                f" and {self.order_id(epoch)[:12] or 'not known'} here; load GraB's own state first"
            )

    # Private.

    def _groups_of(self, count: int, indices: Sequence[int] | None) -> np.ndarray:
        if not self._opened:
            raise TrainerError("GraB.step: no epoch has begun; take the batch from the sampler's loader")
        source = self._served()[0]
        if self._cursor.deal.workers > 1:
            self._ranks.finish(self._server)
            self._ranks.begin(self._cursor.epoch, self._cursor.deal.by_host, self._equal)
        if indices is None:
            return self._cursor.next(count, source.given_out)
        return self._cursor.named(indices, count, lambda: source.rows_of(self._slice()))

    def _take_note(self, block: VectorBlock | None, groups: np.ndarray) -> None:
        if self._cursor.deal.workers > 1:
            self._ranks.tell(self._server, block, groups)
            if self._cursor.through:
                self._ranks.end(self._server)
        elif block is not None:
            self._server.step(block, groups)

    def _equal(self) -> dict[str, Any]:
        """Return what the ranks must have alike when they begin an epoch, or go on with it."""
        identity = self._identity()
        return {
            **identity.pop("curriculum"),
            "order_seed": identity.pop("seed"),
            **identity,
            "start": self.start,
            "place": self._cursor.place,
            "dealing": "the host's" if self._cursor.deal.by_host else "the sampler's",
            "order": self._digest[:12],
            "state": self._server.digest()[:12],
        }

    def _served(self) -> tuple[EpochSource, Cycles]:
        if self._source is None or self._cycles is None:
            raise TrainerError("GraB: not the order of a sampler yet; make ManifestSampler(..., order=grab)")
        return self._source, self._cycles

    def _enter(self, epoch: int) -> None:
        cycles = self._served()[1]
        cycle, begin = cycles.of(epoch)
        if cycle != self._cycle:
            self._cycle = cycle
            if len(self._order) and np.array_equal(np.sort(self._order), cycles.members(epoch)):
                groups = self._server.turn(self._halving())
                whole = len(groups) * self.unit
                turned = self._order[:whole].reshape(-1, self.unit)[groups].ravel()
                self._take(np.concatenate([turned, self._order[whole:]]))
            else:
                if len(self._order):
                    self._warn(f"epoch {epoch} has another set than the one before")
                self._take(cycles.first_order(epoch))
                self._server = self._new_server()
        self._cursor.open(epoch, begin, len(self._order) // self.unit)
        self._stepped = False

    def _warn(self, found: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"GraB: {found}, so its order is that of 'shuffle' and nothing is gained; schedule 'fresh',"
                " refresh_every above 1 or fraction 1 give sets that come again; drawn ones: order 'balance'",
                stacklevel=2,
            )

    def _take(self, order: np.ndarray) -> None:
        self._order = order
        self._digest = hashlib.sha256(order.astype("<i8").tobytes()).hexdigest()

    def _new_server(self) -> OrderServer:
        return OrderServer(self.balance, len(self._order) // self.unit, self._halving())

    def _halving(self) -> Halving | None:
        source, cycles = self._served()
        if self.balance != "kernel-halving" or not (pairs := len(self._order) // self.unit // 2):
            return None
        return Halving(pairs, cycles.count(), counter_rng.key(source.seed, "halving", self._cycle))

    def _slice(self) -> np.ndarray:
        begin, count = self._cursor.begin, self._served()[1].curriculum.count(self._cursor.epoch)
        return self._order[begin : begin + count]

    def _identity(self) -> dict[str, Any]:
        source, _ = self._served()
        return {
            "version": STATE_VERSION,
            "name": self.name,
            "unit": self.unit,
            "manifest": source.curriculum.manifest.fingerprint,
            "seed": source.seed,
            "curriculum": source.curriculum.identity(),
        }


def _block(gradients: torch.Tensor | VectorBlock) -> VectorBlock:
    if isinstance(gradients, torch.Tensor):
        return DenseVectors(torch.atleast_2d(gradients.detach()).float())
    return gradients
