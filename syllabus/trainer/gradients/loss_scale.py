"""Loss scale: what multiplies each example's own loss on its way to backward, so that it can be undone.

The gradient that arrives at the loss says it: 1 over the number of accumulated microbatches, a GradScaler's
scale, weights. The 1/B of a mean is inside the loss, so its reduction must be known: a loss module states
it, another loss is passed through `watch`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from syllabus.trainer.errors import TrainerError

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
        self._handle = loss.register_forward_hook(self._called)

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

        An example whose weight was 0 stays at 0: nothing is known of its loss.
        """
        reduction, examples, gradient = self._once()
        if reduction == "none" and gradient.shape != (size,):
            raise TrainerError(
                f"{self._caller}: {len(gradient)} losses for {size} examples; expected one each"
            )
        parts = size if examples is None else examples
        if reduction != "none" and gradient.device.type == "cpu":
            # Nothing waits here, and Python's numbers cost a fifth of a tensor's operations.
            scale = gradient.item() / (float(parts) if reduction == "mean" else 1.0)
            return 1.0 / scale if scale else 0.0
        scales = gradient.double().reshape(-1, 1) / (parts if reduction == "mean" else 1)
        return torch.where(scales == 0, 0.0, 1.0 / scales)

    def mean_undone(self) -> torch.Tensor:
        """Return what makes of a whole gradient the mean of its examples' own ones; forgets the pass."""
        reduction, examples, gradient = self._once()
        if reduction == "sum" and examples is None:
            raise TrainerError(
                f"{self._caller}: the loss is a sum over how many examples? give watch(..., examples=B)"
            )
        # The sum of weights: of a mean it is the gradient of the loss itself.
        return 1.0 / (gradient.double().sum() * (examples if reduction == "sum" else 1))

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

    def _called(self, module: Any, arguments: tuple[Any, ...], loss: torch.Tensor) -> None:
        if not loss.requires_grad:
            return
        examples: Any = len(arguments[1]) if module.reduction == "sum" else None
        if module.reduction == "mean" and getattr(module, "weight", None) is not None:
            raise TrainerError(
                f"{self._caller}: {type(module).__name__} has class weights, so its mean is not over"
                " examples; state reduction='none' in it and take the mean of what it returns"
            )
        ignored = getattr(module, "ignore_index", None)
        if module.reduction == "mean" and ignored is not None and not arguments[1].is_floating_point():
            targets = arguments[1]
            if targets.device.type == "cpu":
                examples = int(np.count_nonzero(targets.numpy() != ignored))
            else:
                examples = (targets != ignored).sum()  # no wait
        self.watch(loss, module.reduction, examples)
