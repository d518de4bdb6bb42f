"""The gradient of every parameter for every example, by `torch.func`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.func import functional_call, grad_and_value, vmap

from syllabus.selectors.balancing.vectors import DenseVectors
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.gradients.count_sketch import CountSketch


class FullGradients:
    """Per-example gradients that also train: `backward` takes the place of the forward and backward pass.

    Each is of the example's own loss by construction, whatever the batch's loss is reduced or scaled by.

    Args:
        model: any that `torch.func` can run: no BatchNorm in training mode.
        loss: (outputs, targets) of a batch, here always of one example -> its loss.
        sketch: to give GraB `sketch.width` numbers an example instead of d.

    Cost: several times a plain step, since the gradient of a batch is one matrix product and the gradients of
    its examples are as many outer products. Memory: B d numbers, kept until GraB has walked over them.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        loss: Callable[[Any, Any], torch.Tensor],
        sketch: CountSketch | None = None,
    ) -> None:
        self._model, self._sketch = model, sketch
        self._pieces: list[torch.Tensor] = []

        def own(parameters: Any, rest: Any, inputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            outputs = functional_call(model, (parameters, rest), (inputs[None],))
            return loss(outputs, target[None]).sum()

        self._own = vmap(grad_and_value(own), in_dims=(None, None, 0, 0), randomness="different")

    def backward(self, inputs: torch.Tensor, targets: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        """Add `scale` times the mean gradient to the parameters' `grad`; return the (B,) losses.

        Args:
            inputs: (B, ...).
            targets: (B, ...).
            scale: 1 over the number of microbatches where several are accumulated.
        """
        trained = {name: p for name, p in self._model.named_parameters() if p.requires_grad}
        rest = {name: p.detach() for name, p in self._model.named_parameters() if not p.requires_grad}
        rest |= dict(self._model.named_buffers())
        detached = {name: p.detach() for name, p in trained.items()}
        gradients, losses = self._own(detached, rest, inputs, targets)
        for name, parameter in trained.items():
            mean = gradients[name].mean(0) * scale
            parameter.grad = mean if parameter.grad is None else parameter.grad + mean
        self._pieces = [gradient.flatten(1) for gradient in gradients.values()]
        return losses.detach()

    def __call__(self) -> DenseVectors:
        """Return the features of the last `backward`, once: (B, d), one piece a parameter, or (B, width)."""
        if not self._pieces:
            raise TrainerError("FullGradients: no backward pass since the last call; call it after each")
        pieces, self._pieces = self._pieces, []
        return (
            DenseVectors(*(piece.float() for piece in pieces))
            if self._sketch is None
            else self._sketch(pieces)
        )
