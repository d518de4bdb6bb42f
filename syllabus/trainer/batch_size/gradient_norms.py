"""Squared norms of gradients while they are there: for rules that ask, and for the noise where it is free."""

from __future__ import annotations

from collections.abc import Iterable

import torch


def squared_norm(parameters: Iterable[torch.nn.Parameter]) -> torch.Tensor:
    """Return Σ‖grad‖² as a 0-d tensor where the gradients are, without waiting for it. One pass over them."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return torch.zeros(())
    dense = [g.coalesce().values() if g.is_sparse else g for g in gradients]
    norms = torch._foreach_norm(dense)
    first = norms[0]
    if any(norm.dtype != first.dtype or norm.device != first.device for norm in norms) or (
        first.dtype.itemsize < 4
    ):
        widest = max((norm.dtype for norm in norms), key=lambda dtype: dtype.itemsize)
        dtype = widest if widest.itemsize >= 4 else torch.float32
        norms = tuple(norm.to(first.device, dtype) for norm in norms)
    every = torch.stack(norms)
    return torch.dot(every, every)


def scale_gradients(parameters: Iterable[torch.nn.Parameter], factor: float) -> None:
    """Multiply the gradients in place."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if gradients:
        torch._foreach_mul_(gradients, factor)
