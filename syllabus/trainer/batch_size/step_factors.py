"""Learning-rate factor and β₂ around each step of an optimizer, and as they were right after it.

A scheduler that computes the next rate from the last would carry a factor along, one that computes it from
the first would wipe it out. So the factor is in the parameter groups only while `optimizer.step` runs:
schedulers, checkpoints and logs see the user's own values, group by group. Whoever calls `step`, a GradScaler
or a host, gets the factor.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

from syllabus.trainer.batch_size.signals import Decision
from syllabus.trainer.errors import TrainerError


class StepFactors:
    """Multiplies every group's learning rate and raises its β₂ while the optimizer steps.

    Args:
        optimizer: torch's, or what accelerate or Lightning wraps around one.
        decision: returns the decision in force.
        before: called before each step, with the user's own values still in place.
    """

    def __init__(self, optimizer: Any, decision: Callable[[], Decision], before: Callable[[], None]) -> None:
        self.optimizer = innermost(optimizer)
        self._decision, self._before = decision, before
        self._kept: list[dict[str, Any]] = []
        self._handles = [
            self.optimizer.register_step_pre_hook(self._apply),
            self.optimizer.register_step_post_hook(self._restore),
        ]

    def remove(self) -> None:
        """Leave the optimizer as it was."""
        for handle in self._handles:
            handle.remove()

    def _apply(self, *_: Any) -> None:
        self._restore()  # of a step that raised
        self._before()
        decision = self._decision()
        if decision.lr_factor == 1 and decision.beta2_power == 1:
            return
        for group in self.optimizer.param_groups:
            kept: dict[str, Any] = {}
            if decision.lr_factor != 1:
                rate = group["lr"]
                if isinstance(rate, torch.Tensor):
                    kept["lr"] = rate.clone()
                    rate.mul_(decision.lr_factor)  # in place: a captured graph reads this very tensor
                else:
                    kept["lr"] = rate
                    group["lr"] = rate * decision.lr_factor
            if decision.beta2_power != 1 and len(group.get("betas", ())) == 2:
                kept["betas"] = group["betas"]
                beta1, beta2 = group["betas"]
                group["betas"] = (beta1, beta2**decision.beta2_power)
            self._kept.append(kept)

    def _restore(self, *_: Any) -> None:
        if not self._kept:
            return
        for group, kept in zip(self.optimizer.param_groups, self._kept, strict=False):
            if "betas" in kept:
                group["betas"] = kept["betas"]
            if "lr" in kept:
                if isinstance(group["lr"], torch.Tensor):
                    group["lr"].copy_(kept["lr"])
                else:
                    group["lr"] = kept["lr"]
        self._kept = []


def adam_like(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether every group has two βs: the step is divided by the root of a running square."""
    return all(len(group.get("betas", ())) == 2 for group in optimizer.param_groups)


def check_free(where: str, optimizer: Any) -> None:
    """Raise where factors are on an optimizer already: they would act in each other's steps."""
    hooks = getattr(innermost(optimizer), "_optimizer_step_pre_hooks", {}).values()
    if any(isinstance(getattr(hook, "__self__", None), StepFactors) for hook in hooks):
        raise TrainerError(
            f"{where}: another AdaptiveBatchSize steps this optimizer; close() that one, or take a copy:"
            " model, optimizer = copy.deepcopy((model, optimizer))"
        )


def check_steps(where: str, optimizer: Any, scheduler: Any) -> None:
    """Raise where `optimizer` is none of torch's, or one of the two cannot be stepped without arguments."""
    inner = innermost(optimizer)
    if not isinstance(inner, torch.optim.Optimizer):
        raise TrainerError(f"{where}: optimizer is a {type(inner).__name__}; expected one of torch's")
    for name, one in (("optimizer", inner), ("scheduler", scheduler)):
        step = getattr(type(one), "step", None)  # the class's: hosts and schedulers wrap an object's
        taken = [] if step is None else [*inspect.signature(step).parameters.values()][1:]
        missing = [p.name for p in taken if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
        if missing:
            raise TrainerError(
                f"{where}: {name}: {type(one).__name__}.step needs {missing[0]!r}, which is not known here;"
                f" {'take another' if one is inner else 'leave it out and step it in your loop'}"
            )


def innermost(optimizer: Any) -> torch.optim.Optimizer:
    """Return torch's own optimizer inside what hosts wrap around it."""
    while not hasattr(optimizer, "_optimizer_step_pre_hooks") and hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    found: torch.optim.Optimizer = optimizer
    return found
