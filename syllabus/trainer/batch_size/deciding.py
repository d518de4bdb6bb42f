"""Measures what a rule needs when a decision is due, asks the controller, and keeps the record."""

from __future__ import annotations

import dataclasses
from typing import Any

from syllabus.trainer.batch_size.controller import BatchSizeController
from syllabus.trainer.batch_size.controller_state import check_progress
from syllabus.trainer.batch_size.pending import Pending
from syllabus.trainer.batch_size.probe import Probe
from syllabus.trainer.batch_size.signals import Decision, Signals
from syllabus.trainer.batch_size.update import Update
from syllabus.trainer.errors import TrainerError

PROBE_SHARE = 0.01  # of the training's cost, what measuring on the probe takes by default
RECORD_EVERY = 100  # updates between two records where a plan changes nothing


class Decider:
    """A controller, the measurements since its last decision, and the record of all.

    Args:
        controller: decides.
        probe: for rules that measure on one.

    Attributes:
        records: every decision that changed something or measured something; state and checkpoints hold them.

    Raises:
        TrainerError: the rule needs a probe and there is none.
    """

    def __init__(self, controller: BatchSizeController, probe: Probe | None) -> None:
        self.controller, self.probe = controller, probe
        self.records: list[Decision] = []
        self._pending = Pending()
        self._planned = Signals()
        measures = {"probe_loss", "probe_norm"} & controller.rule.needs
        if measures and probe is None:
            raise TrainerError(
                f"AdaptiveBatchSize: {controller.rule.name} measures {', '.join(sorted(measures))}; give"
                " probe=Probe(...), or a rule that takes averages"
            )
        if controller.every is None and measures and probe is not None:
            # A forward pass is a third of a gradient; a probe's gradient is a whole one.
            controller.every = int(len(probe) / (3 if measures == {"probe_loss"} else 1) / PROBE_SHARE)

    def first(self) -> None:
        """Decide before the first update: what rules compare with later is measured at the first weights.

        Raises:
            TrainerError: the controller has decided for another run.
        """
        if done := self.controller.decision.updates:
            raise TrainerError(
                f"AdaptiveBatchSize: its controller has decided after {done} updates of another run; make a"
                " controller for each run, or load what that run saved"
            )
        if self.controller.due(0, 0):
            self._decide(0, 0, 0)

    def after(self, update: Update, updates: int, examples: int, epoch: int) -> None:
        """Take what `update` measured, and decide if that is due; the counts include it."""
        self._pending.add(update.loss, update.all, update.norm, update.first_norm, update.first)
        if self.controller.due(updates, examples):
            self._decide(updates, examples, epoch)

    def state(self) -> dict[str, Any]:
        """Return plain values, equal on all ranks."""
        return {
            "controller": self.controller.state_dict(),
            "pending": self._pending.state(),
            "records": [record.state() for record in self.records],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned, which was checked but for the controller's own."""
        controller = self.controller.checked(state["controller"])
        check_progress(state, controller["last"])
        self.controller.take(controller)
        self._pending.load(state["pending"])
        self.records = [Decision.of(record) for record in state["records"]]

    def _decide(self, updates: int, examples: int, epoch: int) -> None:
        controller, rule = self.controller, self.controller.rule
        if rule.planned:
            before = controller.decision
            if self._planned.epoch != epoch:
                self._planned = Signals(epoch=epoch)
            decision = controller.decide(updates, examples, self._planned)
            if updates and decision.applies_as(before) and len(self._pending) < RECORD_EVERY:
                return
            # For the record only, and not at every update: the device is waited for.
            signals = self._pending.signals(epoch)
            averages = controller.observe(signals)
            self.records.append(decision._replace(signals=signals, averages=averages))
            return
        signals = self._pending.signals(epoch)
        if self.probe is not None and "probe_loss" in rule.needs:
            signals = dataclasses.replace(signals, probe_loss=self.probe.loss())
        if self.probe is not None and "probe_norm" in rule.needs:
            signals = dataclasses.replace(signals, probe_norm=self.probe.squared_norm())
        self.records.append(controller.decide(updates, examples, signals))
