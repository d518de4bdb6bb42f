"""Loss scale: what multiplies each example's own loss on its way to backward, so that it can be undone.

The gradient that arrives at the loss says it: 1 over the number of accumulated microbatches, a GradScaler's
scale, weights. The 1/B of a mean is inside the loss, so its reduction must be known: a loss module states
it, another loss is passed through `watch`.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch

from syllabus.trainer.errors import TrainerError

TARGETS = ("target", "targets", "label", "labels")
REDUCTIONS = ("mean", "none", "sum")


class WatchedLoss:
    """The scale of the loss in the last backward pass.

    Args:
        loss: the loss module, whose calls are watched; without it, each loss goes through `watch`.
        caller: what errors call the features.

    Raises:
        TrainerError: a module that does not say how it reduces.
    """

    def __init__(self, loss: torch.nn.Module | None, caller: str) -> None:
        self._caller = caller
        # One entry a backward pass: the reduction, over how many examples, the gradient of the loss.
        self._passed: list[tuple[str, Any, torch.Tensor]] = []
        self._handle = None
        if loss is None:
            return
        if getattr(loss, "reduction", None) not in REDUCTIONS:
            raise TrainerError(
                f"{caller}: {type(loss).__name__} has no reduction of {', '.join(REDUCTIONS)};"
                " leave it out and pass each loss through watch(loss, reduction=...)"
            )
        self._handle = loss.register_forward_hook(self._called, with_kwargs=True)

    def watch(self, loss: torch.Tensor, reduction: str, examples: Any = None) -> torch.Tensor:
        """Return `loss` itself, whose backward pass is then seen.

        Args:
            loss: a number (``mean``, ``sum``) or (B,), one an example (``none``).
            reduction: what it is over the examples' own losses.
            examples: over how many a ``mean`` or ``sum`` is; by default B, where that is known.
        """
        if reduction not in REDUCTIONS:
            raise TrainerError(
                f"{self._caller}: reduction {reduction!r} is unknown; known: {', '.join(REDUCTIONS)}"
            )
        if loss.ndim != (reduction == "none"):
            expected = "(B,), one loss an example" if reduction == "none" else "a number"
            raise TrainerError(
                f"{self._caller}: the loss has shape {tuple(loss.shape)};"
                f" reduction {reduction!r} is {expected}"
            )
        if loss.requires_grad:
            loss.register_hook(lambda gradient: self._passed.append((reduction, examples, gradient)))
        return loss

    def undone(self, size: int) -> torch.Tensor | float:
        """Return what to multiply (size, p) gradients by, a number or (size, 1); forgets the pass.

        An example whose weight was 0 stays at 0: nothing is known of its loss. It is NaN, which `GraB.step`
        passes over, for a mean over no example, such as one whose targets are all ignored.
        """
        reduction, examples, gradient = self._once()
        if reduction == "none" and gradient.shape != (size,):
            raise TrainerError(
                f"{self._caller}: {len(gradient)} losses for {size} examples; expected one each"
            )
        parts = size if examples is None else examples
        if reduction != "none" and gradient.device.type == "cpu":
            # Nothing waits here, and Python's numbers cost a fifth of a tensor's operations.
            if reduction == "mean" and not float(parts):
                return float("nan")
            scale = gradient.item() / (float(parts) if reduction == "mean" else 1.0)
            return 1.0 / scale if scale else 0.0
        scales = gradient.double().reshape(-1, 1)
        if reduction == "mean":
            parts = torch.as_tensor(parts, dtype=torch.float64, device=scales.device)
            scales = torch.where(parts == 0, float("nan"), scales / parts)
        return torch.where(scales == 0, 0.0, 1.0 / scales)

    def mean_undone(self) -> torch.Tensor:
        """Return what makes of a whole gradient the mean of its examples' own ones; forgets the pass.

        It is not finite, which `GraB.step` passes over, where there was no example or none had a weight.
        """
        reduction, examples, gradient = self._once()
        if reduction == "sum" and examples is None:
            raise TrainerError(
                f"{self._caller}: the loss is a sum over how many examples? give watch(..., examples=B)"
            )
        # The sum of weights: of a mean it is the gradient of the loss itself.
        weights = gradient.double().sum() * (examples if reduction == "sum" else 1)
        none = reduction == "mean" and examples is not None and examples == 0
        return torch.where(
            torch.as_tensor(none, device=weights.device) | (weights == 0), float("nan"), 1.0 / weights
        )

    def _once(self) -> tuple[str, Any, torch.Tensor]:
        passed, self._passed = self._passed, []
        if not passed:
            raise TrainerError(
                f"{self._caller}: the loss was not seen, so its scale is not known; give the loss module, as"
                f" {self._caller}(..., loss=criterion), or pass each loss through watch(loss, reduction=...)"
            )
        if len(passed) > 1:
            raise TrainerError(
                f"{self._caller}: {len(passed)} losses went backward since the last call; call it after each,"
                " and watch one loss that is the sum of its parts"
            )
        return passed[0]

    def remove(self) -> None:
        """Leave the loss module as it was."""
        if self._handle is not None:
            self._handle.remove()

    def _called(
        self, module: Any, arguments: tuple[Any, ...], named: dict[str, Any], loss: torch.Tensor
    ) -> None:
        if not loss.requires_grad:
            return
        examples: Any = len(self._targets(module, arguments, named)) if module.reduction == "sum" else None
        if module.reduction == "mean" and getattr(module, "weight", None) is not None:
            raise TrainerError(
                f"{self._caller}: {type(module).__name__} has class weights, so its mean is not over"
                " examples; state reduction='none' in it and take the mean of what it returns"
            )
        ignored = getattr(module, "ignore_index", None)
        targets = self._targets(module, arguments, named) if ignored is not None else None
        # Targets that are shares of each class are floats, and none is ignored.
        if module.reduction == "mean" and targets is not None and not targets.is_floating_point():
            if targets.device.type == "cpu":
                examples = int(np.count_nonzero(targets.numpy() != ignored))
            else:
                examples = (targets != ignored).sum()  # no wait
        self.watch(loss, module.reduction, examples)

    def _targets(self, module: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> torch.Tensor:
        """Return the targets of a call, however its arguments were given: the second, or one of that name."""
        if len(arguments) > 1:
            found = arguments[1]
        else:
            try:
                every = inspect.signature(module.forward).bind(*arguments, **named).arguments
            except (TypeError, ValueError):
                every = {**dict(enumerate(arguments)), **named}
            by_name = [every[name] for name in TARGETS if name in every]
            found = [*by_name, *list(every.values())[1:2], None][0]
        if not isinstance(found, torch.Tensor) or not found.ndim:
            raise TrainerError(
                f"{self._caller}: {type(module).__name__} was called without a tensor of targets; leave it"
                " out and pass each loss through watch(loss, reduction=...)"
            )
        return found
