"""How many examples go through a model at once: found by trying, once, before training."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed

from syllabus.trainer.batch_size.cutting import Cutter
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.ranks import world_size


def largest_microbatch(
    model: torch.nn.Module,
    batch: Any,
    loss: Callable[[Any], torch.Tensor],
    *,
    limit: int,
    spare: int = 2,
) -> int:
    """Return the most examples, up to `limit`, whose forward and backward pass fit every rank's memory.

    Begins with `limit` and halves while the device runs out of memory. Gradients, buffers such as
    BatchNorm's, and torch's random generators are left as they were; memory that was asked for in vain is
    given back. Growing the microbatch saves time where the device has room; accumulating on one device saves
    updates only.

    Args:
        model: on its device.
        batch: one batch of the loader, of any size, on the device or on the CPU; it is repeated to the size
            tried.
        loss: a batch, where the model is -> the mean loss; it calls the model.
        limit: the largest size that is of use, such as the controller's `maximum` over the ranks.
        spare: arrays of the size of the parameters to keep room for, 2 as Adam's state; 0 after the first
            step.

    Cost: one pass of `limit` examples, and one of each size that does not fit.

    Raises:
        TrainerError: `limit` or `spare` out of bounds, or not even one example fits.
    """
    if limit < 1:
        raise TrainerError(f"largest_microbatch: limit={limit} is below 1")
    if spare < 0:
        raise TrainerError(f"largest_microbatch: spare={spare} is below 0")
    size = limit
    parameters = [p for p in model.parameters() if p.requires_grad]
    while True:
        fits = False
        # DDP's averaging stays out of it: ranks may need different numbers of trials.
        with _untouched(model, parameters), _without_averaging(model):
            try:
                kept = [torch.empty_like(p) for p in parameters for _ in range(spare)]
                value = loss(_to(_repeated(batch, size), next(model.parameters()).device))
                value.backward()  # type: ignore[no-untyped-call]
                fits = True
                del kept, value
            except torch.OutOfMemoryError:
                pass
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if fits:
            break
        if size == 1:
            raise TrainerError("largest_microbatch: not even one example fits the device's memory")
        size //= 2
    if world_size() > 1:
        least = torch.tensor(size, device=next(model.parameters()).device)
        torch.distributed.all_reduce(least, op=torch.distributed.ReduceOp.MIN)
        size = int(least)
    return size


def _repeated(batch: Any, size: int) -> Any:
    def again() -> Any:
        while True:
            yield batch

    return Cutter(again()).take(size)[0]


@contextlib.contextmanager
def _untouched(model: torch.nn.Module, parameters: list[torch.nn.Parameter]) -> Any:
    """Put gradients, buffers and random generators back."""
    gradients = [p.grad for p in parameters]
    buffers = [(buffer, copy.deepcopy(buffer.detach())) for buffer in model.buffers()]
    for p in parameters:
        p.grad = None
    try:
        with torch.random.fork_rng():
            yield
    finally:
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
        for p, gradient in zip(parameters, gradients, strict=True):
            p.grad = gradient


def _without_averaging(model: torch.nn.Module) -> Any:
    return model.no_sync() if hasattr(model, "no_sync") else contextlib.nullcontext()  # type: ignore[operator]


def _to(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, torch.Tensor):
        return batch.to(device)
    if isinstance(batch, dict):
        return {name: _to(part, device) for name, part in batch.items()}
    if isinstance(batch, (tuple, list)):
        return type(batch)(_to(part, device) for part in batch)
    return batch
