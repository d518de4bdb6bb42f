"""The probe: a fixed part of the data on which loss or gradient are measured exactly, in eval mode.

Batch losses are those of the examples that the curriculum has just chosen: low where it begins with the easy
ones, so that a rule would grow the batch too early. The probe is a stratified sample instead: of every
partition its share, drawn by seed from all that may be drawn, the same in every epoch and on every number of
ranks.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
import torch.distributed
from torch.utils.data import default_collate

from syllabus.trainer import counter_rng
from syllabus.trainer.curriculum.curriculum import Curriculum
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.ranks import world_size

SIZE = 512  # the standard error of the mean loss is then a twentieth of one example's


def stratified(curriculum: Curriculum, size: int = SIZE, *, seed: int) -> np.ndarray:
    """Return (size,) int64 example indices, ascending: of each partition its share, drawn by `seed`.

    Shares are rounded by largest remainders. With all n examples or fewer than `size`, all of them.

    Args:
        curriculum: says which examples may be drawn, and of which manifest.
        size: how many.
        seed: of the draw; it does not depend on the curriculum's own.

    Cost: O(n log n) time, 24 n bytes.

    Raises:
        TrainerError: `size` is below 1.
    """
    if size < 1:
        raise TrainerError(f"stratified: size={size} is below 1")
    examples = curriculum.examples
    if size >= len(examples):
        return examples.copy()
    every = curriculum.manifest.examples()
    partitions = np.asarray(curriculum.manifest.partitions())[np.searchsorted(every, examples)]
    counts = np.bincount(partitions)
    exact = counts * (size / len(examples))
    shares = np.floor(exact).astype(np.int64)
    # Ties by the partition's number: the same on every machine.
    rest = np.argsort(-(exact - shares), kind="stable")[: size - int(shares.sum())]
    shares[rest] += 1
    drawn = counter_rng.permuted(counter_rng.key(seed, "probe"), examples.copy())
    of_drawn = partitions[np.searchsorted(examples, drawn)]
    chosen = [drawn[of_drawn == partition][:share] for partition, share in enumerate(shares)]
    return np.sort(np.concatenate(chosen))


class Probe:
    """Measures the mean loss, or the mean gradient's squared norm, of fixed rows of a data set.

    The rows are read once, with random generators seeded for it and put back after: what is random in the
    data set is drawn once and for all. Every rank holds and measures its share. Memory: the rows, on the CPU.

    Args:
        model: measured in eval mode; its modules' modes are put back. DDP's is looked through.
        dataset: map-style; a batch of it is (inputs, targets), or what `loss` takes with the model's outputs.
        rows: which of its rows: those of `stratified`, through `sampler.rows_of`.
        loss: (outputs, targets) -> the batch's mean loss.
        batch_size: rows that go through the model at once.
        collate: makes a batch of examples; torch's default otherwise.
        device: where the model is; by default its first parameter's.
        seed: of what is random in the data set.

    Raises:
        TrainerError: no rows, one outside the data set, a batch size below 1.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        dataset: Any,
        rows: Sequence[int] | np.ndarray,
        loss: Callable[[Any, Any], torch.Tensor],
        *,
        batch_size: int = 256,
        collate: Callable[[list[Any]], Any] | None = None,
        device: str | torch.device | None = None,
        seed: int = 0,
    ) -> None:
        if not len(rows):
            raise TrainerError("Probe: rows is empty; give at least one")
        size = len(dataset) if hasattr(dataset, "__len__") else math.inf
        if not 0 <= min(rows) <= max(rows) < size:
            raise TrainerError(f"Probe: rows {min(rows)} to {max(rows)}; the data set has {size}")
        if batch_size < 1:
            raise TrainerError(f"Probe: batch_size={batch_size} is below 1")
        self._model, self._loss, self._count = model, loss, len(rows)
        self._device = device
        rank = torch.distributed.get_rank() if world_size() > 1 else 0
        own = [int(row) for row in rows][rank :: world_size()]
        collate = default_collate if collate is None else collate
        self._batches: list[tuple[Any, Any, int]] = []
        for first in range(0, len(own), batch_size):
            part = own[first : first + batch_size]
            with _seeded(counter_rng.key(seed, "probe", rank, first)[0]):
                inputs, targets = collate([dataset[row] for row in part])
            self._batches.append((inputs, targets, len(part)))

    def __len__(self) -> int:
        return self._count

    def loss(self) -> float:
        """Return the mean loss of all rows, over all ranks. Cost: a forward pass of each, one wait.

        Random generators, gradients and the modules' modes are as they were after it.
        """
        total = torch.zeros((), dtype=torch.float64)
        with self._evaluating() as (model, device), torch.no_grad():
            for inputs, targets, count in self._batches:
                value = self._loss(model(_to(inputs, device)), _to(targets, device))
                total = total.to(value.device) + value.double() * count
        return float(self._over_ranks(total.reshape(1))[0]) / self._count

    def squared_norm(self) -> float:
        """Return ‖g‖² of the mean gradient of all rows, over all ranks. Cost: a gradient of each."""
        with self._evaluating() as (model, device), torch.enable_grad():
            parameters = [p for p in model.parameters() if p.requires_grad]
            total = [torch.zeros_like(p, dtype=torch.float64) for p in parameters]
            for inputs, targets, count in self._batches:
                value = self._loss(model(_to(inputs, device)), _to(targets, device))
                gradients = torch.autograd.grad(value, parameters, allow_unused=True)
                for own, gradient in zip(total, gradients, strict=True):
                    if gradient is not None:
                        own += gradient.double() * count
        flat = self._over_ranks(torch.cat([own.flatten() for own in total]))
        return float(flat.square().sum()) / self._count**2

    def _over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        if world_size() > 1:
            values = values.to(self._placed())
            torch.distributed.all_reduce(values)
        return values

    def _placed(self) -> torch.device:
        if self._device is not None:
            return torch.device(self._device)
        return next(self._model.parameters()).device

    @contextlib.contextmanager
    def _evaluating(self) -> Iterator[tuple[torch.nn.Module, torch.device]]:
        # Without DDP: its forward pass would prepare an exchange of gradients that never comes.
        wrapped = hasattr(self._model, "no_sync") and hasattr(self._model, "module")
        model = cast(torch.nn.Module, self._model.module if wrapped else self._model)
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            with _seeded(0):
                yield model, self._placed()
        finally:
            for module, training in modes:
                module.training = training


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the generators of torch, numpy and Python, and put them back after."""
    python, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - users' data sets use it
    with torch.random.fork_rng():
        torch.manual_seed(seed & 0x7FFFFFFF)
        np.random.seed(seed & 0x7FFFFFFF)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy_state)  # noqa: NPY002


def _to(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {name: _to(part, device) for name, part in batch.items()}
    if isinstance(batch, (tuple, list)):
        return type(batch)(_to(part, device) for part in batch)
    return batch
