"""The mean gradient of a microbatch, for `GraB(unit=...)`."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from syllabus.selectors.balancing.vectors import DenseVectors
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.gradients.count_sketch import CountSketch
from syllabus.trainer.gradients.loss_scale import WatchedLoss


class MeanGradient:
    """Features of GraB that are free: the gradient of a whole microbatch, before it is accumulated.

    `features()` after a backward pass gives one row for `GraB(unit=B)`, the mean of the gradients of the
    examples' own losses.

    Args:
        parameters: whose gradients are taken, d numbers together.
        loss: the loss module; with reduction none, the mean is weighted as the loss was. Without it,
            pass each loss through `watch`.
        sketch: to keep `sketch.width` numbers instead of d.

    Cost and memory: one copy of d numbers.
    """

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        loss: torch.nn.Module | None = None,
        sketch: CountSketch | None = None,
    ) -> None:
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._loss, self._sketch = WatchedLoss(loss, "MeanGradient"), sketch
        self._passed: dict[int, torch.Tensor] = {}
        # A hook of a parameter sees the gradient of this pass alone, before it is added to `grad`.
        self._handles = [
            parameter.register_hook(lambda gradient, place=place: self._passed.__setitem__(place, gradient))
            for place, parameter in enumerate(self._parameters)
        ]

    def watch(self, loss: torch.Tensor, reduction: str, examples: int | None = None) -> torch.Tensor:
        """Return `loss` itself, so that its scale is seen; with reduction ``sum``, of how many examples."""
        return self._loss.watch(loss, reduction, examples)

    def __call__(self) -> DenseVectors:
        """Return the (1, d) features of the last backward pass, once."""
        if not self._passed:
            raise TrainerError("MeanGradient: no backward pass since the last call; call it after each")
        passed, self._passed = self._passed, {}
        undone = self._loss.mean_undone()
        rows = [
            passed.get(place, torch.zeros_like(parameter)).detach().reshape(1, -1) * undone
            for place, parameter in enumerate(self._parameters)
        ]
        return self._sketch(rows) if self._sketch is not None else DenseVectors(torch.cat(rows, 1).float())

    def remove(self) -> None:
        """Leave the parameters and the loss module as they were."""
        for handle in self._handles:
            handle.remove()
        self._loss.remove()
