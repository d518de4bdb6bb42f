"""Applies the controller's batch sizes in anyone's loop: gradients accumulated over microbatches, exactly.

An update's gradient is Σ over its examples of their gradients, divided by their true number, over all ranks:
whatever the microbatches, the ranks' shares, or how many examples an epoch's last update has. BatchNorm's
statistics are those of each microbatch; weight decay, momentum and averages of weights act once an update.

On one device accumulation saves updates, not time: give a larger `microbatch` where memory allows.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from syllabus.trainer.batch_size import step_factors
from syllabus.trainer.batch_size.controller import BatchSizeController
from syllabus.trainer.batch_size.controller_state import check_applied_state
from syllabus.trainer.batch_size.cutting import Cutter
from syllabus.trainer.batch_size.deciding import Decider
from syllabus.trainer.batch_size.probe import Probe
from syllabus.trainer.batch_size.signals import Decision
from syllabus.trainer.batch_size.update import Update
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.ranks import world_size
from syllabus.trainer.validation import whole


class AdaptiveBatchSize:
    """Gives the microbatches of each update, weighs their losses, steps the optimizer, asks the controller.

        adaptive = AdaptiveBatchSize(model, optimizer, BatchSizeController(GeoDamp(epochs=5), 64), grain=32)
        for epoch in range(epochs):
            sampler.set_epoch(epoch)
            for inputs, targets in adaptive.microbatches(loader):
                adaptive.backward(loss(model(inputs), targets))   # the microbatch's mean loss
                adaptive.step()                                   # does nothing before an update is complete

    Make it after DistributedDataParallel has wrapped the model: gradients then travel once an update. To
    clip, do it `if adaptive.complete`, before `step`; gradients are the update's mean by then. A host with
    its own backward is given `scaled(loss)`, one with its own batches calls `begin`, one that steps the
    optimizer itself calls `updated` after it; a host that steps it between is stopped by an error.

    Args:
        model: what is trained; on several ranks in DistributedDataParallel.
        optimizer: of its parameters. While it steps, and only then, its groups hold the factors.
        controller: says how large; it is bound to this loop.
        grain: examples on this rank that sizes are multiples of: the loader's batch size, or 1 for any size.
        microbatch: examples that go through the model at once on this rank, at most; `grain` by default.
            Larger joins the loader's batches, smaller divides them. `largest_microbatch` finds what fits.
        scheduler: stepped by examples, so that it needs no number of updates: once for every `grain` on every
            rank, as it would be in plain training with that batch size; `sampler.steps(grain)` is its length.
        scaler: a `torch.amp.GradScaler`.
        probe: for rules that measure on one.

    Attributes:
        updates: done so far.
        examples: done so far, by all ranks together.
        epoch: epochs done so far.
        records: every decision that changed something or measured something.

    Raises:
        TrainerError: a number out of bounds, ranks without a wrapped model, a rule without what it measures
            by, or an optimizer that another one steps and has not left by `close`.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optimizer: Any,
        controller: BatchSizeController,
        *,
        grain: int,
        microbatch: int | None = None,
        scheduler: Any = None,
        scaler: Any = None,
        probe: Probe | None = None,
    ) -> None:
        step_factors.check_steps("AdaptiveBatchSize", optimizer, scheduler)
        step_factors.check_free("AdaptiveBatchSize", optimizer)
        grain = whole("AdaptiveBatchSize", "grain", grain, 1)
        microbatch = grain if microbatch is None else whole("AdaptiveBatchSize", "microbatch", microbatch, 1)
        self.world = world_size()
        if self.world > 1 and not isinstance(model, DistributedDataParallel):
            raise TrainerError(
                f"AdaptiveBatchSize: torch.distributed has {self.world} ranks and the model is a"
                f" {type(model).__name__}; wrap it in DistributedDataParallel; sharded models are refused"
            )
        self.model, self.optimizer, self.controller = model, optimizer, controller
        self.grain, self.microbatch = grain, microbatch
        self.scheduler, self.scaler = scheduler, scaler
        self._decider, needs = Decider(controller, probe), controller.rule.needs
        self._halves, self._norms = "noise" in needs, "norm" in needs
        inner = step_factors.innermost(optimizer)
        self._parameters = [p for group in inner.param_groups for p in group["params"]]
        controller.bind(grain * self.world, step_factors.adam_like(inner))
        self.updates = self.examples = self.epoch = self._position = 0
        self._update = self._next()
        # The last, so that what is refused above leaves the optimizer as it was.
        self._factors = step_factors.StepFactors(inner, lambda: self.decision, self._before_step)

    @property
    def decision(self) -> Decision:
        """The decision in force for the update that is being accumulated."""
        return self.controller.decision

    @property
    def records(self) -> list[Decision]:
        """Every decision that changed something or measured something."""
        return self._decider.records

    @property
    def complete(self) -> bool:
        """Whether the microbatch at hand is its update's last."""
        return self._update.complete

    def microbatches(self, loader: Iterable[Any]) -> Iterator[Any]:
        """Yield one pass over `loader` as microbatches of updates; the last update takes what is left.

        Reads one batch ahead, to know which microbatch is the last. Between them, averaging over ranks is off
        but for the last of each update.
        """
        self._drop("the loop was left early, or without step()")
        cutter = Cutter(loader)
        while cutter.more_than(0):
            self._prepare()
            left = self._share() - self._update.taken
            batch, count = cutter.take(min(self._at_once(), left))
            self._begin(count, last=not cutter.more_than(0))
            with self.sync():
                yield batch

    def begin(self, examples: int, last: bool = False) -> None:
        """Say that a microbatch of so many examples of this rank comes next.

        For hosts that deal out the batches themselves; `microbatches` calls it. `last` says that the pass
        ends with this one.
        """
        if examples < 1:
            raise TrainerError(f"AdaptiveBatchSize.begin: examples={examples} is below 1")
        self._prepare()
        self._begin(examples, last)

    def sync(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context of forward and backward: no averaging over ranks but in the last microbatch."""
        if self.world > 1 and not self.complete:
            return self.model.no_sync()  # type: ignore[operator, no-any-return]
        return contextlib.nullcontext()

    def scaled(self, loss: torch.Tensor, count: float | None = None) -> torch.Tensor:
        """Return the microbatch's mean `loss` times its weight in the update, for backward.

        Args:
            loss: a number, the mean over what counts.
            count: how many the mean is over, where these are not examples but tokens, say.
        """
        if self._update.weighed:
            raise TrainerError(
                "AdaptiveBatchSize.scaled: call it once for each microbatch, in a loop over microbatches()"
            )
        if loss.ndim:
            raise TrainerError(
                f"AdaptiveBatchSize.scaled: the loss has shape {tuple(loss.shape)}; expected a mean, a number"
            )
        if count is not None and not count >= 0:
            raise TrainerError(f"AdaptiveBatchSize.scaled: count={count} is below 0")
        return self._update.scaled(loss, count)

    def backward(self, loss: torch.Tensor, count: float | None = None) -> None:
        """Accumulate the gradient of the microbatch's mean `loss`; `count` as of `scaled`."""
        loss = self.scaled(loss, count)
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()
        if self.complete and self._measures():
            self._update.measure_whole(self._loss_scale())

    def step(self) -> bool:
        """Step optimizer, scaler and scheduler if the update is complete; decide; return whether it was."""
        if not self.complete:
            return False
        if not self._update.weighed:
            raise TrainerError(
                "AdaptiveBatchSize.step: the update's last microbatch did not go backward; call"
                " adaptive.backward(loss) for each"
            )
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.updated()
        return True

    def updated(self) -> None:
        """Count the update and decide, after a step that the host made; `step` calls it."""
        update = self._update
        if not update.complete or not update.weighed:
            raise TrainerError("AdaptiveBatchSize.updated: the update is not complete; ask adaptive.complete")
        self.updates, self.examples = self.updates + 1, self.examples + update.all
        every, before = self.grain * self.world, self._position
        self._position += update.all
        if self.scheduler is not None:
            for _ in range(-(-self._position // every) - -(-before // every)):
                self.scheduler.step()
        if update.last:
            self.epoch, self._position = self.epoch + 1, 0
        self._decider.after(update, self.updates, self.examples, self.epoch)
        self._update = self._next()

    def state_dict(self) -> dict[str, Any]:
        """Return plain values, equal on all ranks, for between two updates: counts, controller, records.

        Raises:
            TrainerError: in the middle of an update, whose gradients it would not hold.
        """
        if self._update.taken:
            raise TrainerError(
                f"AdaptiveBatchSize.state_dict: {self._update.taken} examples of an update are accumulated"
                " and would be lost; ask after step() has returned True"
            )
        return {
            "updates": self.updates,
            "examples": self.examples,
            "epoch": self.epoch,
            "position": self._position,
            **self._decider.state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`, which may be of another number of ranks or another grain.

        Raises:
            TrainerError: it is of another rule or options, or not sound; nothing was loaded then.
        """
        state = check_applied_state(state)
        self._decider.load(state)
        self._drop("a state was loaded")
        self.updates, self.examples = state["updates"], state["examples"]
        self.epoch, self._position = state["epoch"], state["position"]
        self._update = self._next()

    def close(self) -> None:
        """Leave the optimizer as it was."""
        self._factors.remove()

    def _drop(self, why: str) -> None:
        """Give up an update that is not complete, and its gradients."""
        if taken := self._update.taken:
            warnings.warn(f"{taken} examples of an unfinished update are dropped: {why}", stacklevel=3)
            self.optimizer.zero_grad(set_to_none=True)
            self._update = self._next()

    def _begin(self, examples: int, last: bool) -> None:
        if self._update.microbatches == 1:
            self._update.measure_first(self._loss_scale())
        self._update.begin(examples, last)

    def _prepare(self) -> None:
        if self._update.complete:
            raise TrainerError(
                "AdaptiveBatchSize: an update is complete and was not stepped; call step() in each turn of"
                " the loop"
            )
        if not self.updates and not self._update.taken:
            self._decider.first()
            self._update = self._next()

    def _next(self) -> Update:
        return Update(self._parameters, self._share(), self.world)

    def _share(self) -> int:
        """Examples of an update on this rank."""
        return self.decision.batch_size // self.world

    def _at_once(self) -> int:
        """Examples in a microbatch; rules by noise need two of them."""
        return min(self.microbatch, -(-self._share() // 2)) if self._halves else self.microbatch

    def _measures(self) -> bool:
        """Whether the whole gradient's norm is asked for, or makes a free measurement of the noise."""
        return self._norms or self._update.first_norm is not None

    def _loss_scale(self) -> float:
        return 1.0 if self.scaler is None else float(self.scaler.get_scale())

    def _before_step(self) -> None:
        if not self.complete:
            raise TrainerError(
                "optimizer.step() in the middle of an update: a host that steps by itself, such as Hugging"
                " Face's Trainer, cannot change its batch size; use your own loop, accelerate, or Lightning's"
                " manual optimization"
            )
        if self._measures():
            self._update.measure_whole(1.0)  # a GradScaler has unscaled by now
