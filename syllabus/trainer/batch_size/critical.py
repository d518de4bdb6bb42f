"""The critical batch size: the largest that loses nothing, measured by short runs from one point of training.

Merrill et al., arXiv:2505.23971: from a checkpoint, branches with larger and larger batches train on as many
examples each; up to the critical size their losses are those of the size in use. It grows in training, so
that a warm-up of the size by several such measurements loses nothing either: `Steps.warm_up`.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch

from syllabus.trainer.batch_size.accumulation import AdaptiveBatchSize
from syllabus.trainer.batch_size.controller import BatchSizeController
from syllabus.trainer.batch_size.planned import Constant
from syllabus.trainer.batch_size.schedules import SCALINGS
from syllabus.trainer.batch_size.step_factors import adam_like, check_free, innermost
from syllabus.trainer.errors import TrainerError


@dataclasses.dataclass(frozen=True)
class Branch:
    """One size that was tried: its learning-rate factor, mean final loss over the runs, and its spread."""

    batch_size: int
    lr_factor: float
    loss: float
    spread: float


@dataclasses.dataclass(frozen=True)
class CriticalBatch:
    """The largest size whose loss is within `tolerance` of the first branch's, and all branches."""

    batch_size: int
    tolerance: float
    branches: tuple[Branch, ...]


def critical_batch(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    loader: Callable[[int], Iterable[Any]],
    loss: Callable[[Any], torch.Tensor],
    evaluate: Callable[[], float],
    *,
    base: int,
    examples: int,
    grain: int,
    microbatch: int | None = None,
    multiples: Sequence[int] = (1, 2, 4, 8, 16),
    runs: int = 1,
    tolerance: float = 0.01,
    scaling: str = "auto",
    show: bool = True,
) -> CriticalBatch:
    """Branch short runs from where model and optimizer stand; return the largest batch that loses nothing.

    Model, optimizer and random generators are put back after every branch. One process; on a checkpoint of a
    larger run, load it first. In a loop of `AdaptiveBatchSize` that goes on, give copies, which `loss` and
    `evaluate` then use: ``model, optimizer = copy.deepcopy((model, optimizer))``.

    Args:
        model: in the state that the branches start from.
        optimizer: its optimizer, state included.
        loader: run number -> an iterable over batches of `grain` examples, the same ones for every size; it
            must hold `examples`.
        loss: a batch -> its mean loss; it calls the model.
        evaluate: returns the loss to compare by, such as `probe.loss`.
        base: the size in use.
        examples: that every branch trains on; several times the largest size.
        grain: the loader's batch size.
        microbatch: examples at once; `grain` by default.
        multiples: of `base`, rising from 1.
        runs: each size is trained so many times, on the loaders 0, 1, …; their losses are averaged.
        tolerance: how much larger a loss may be, as a share of the first branch's, and still lose nothing.
        scaling: of the learning rate with the size: ``none``, ``root``, ``linear``; ``auto`` is the root for
            Adam-like optimizers, whose β₂ follows too, and linear for others.
        show: print a line for each size, and the result, on standard error.

    Cost: len(multiples)·runs·examples gradients, and a copy of model and optimizer.

    Raises:
        TrainerError: a number out of bounds, a loader that ends early, or an optimizer that an
            `AdaptiveBatchSize` steps.
    """
    for name, value in (("base", base), ("examples", examples), ("grain", grain), ("runs", runs)):
        if value < 1:
            raise TrainerError(f"critical_batch: {name}={value} is below 1")
    if not multiples or multiples[0] != 1 or any(b <= a for a, b in itertools.pairwise(multiples)):
        raise TrainerError(f"critical_batch: multiples={tuple(multiples)} do not rise from 1")
    if examples < base * multiples[-1]:
        raise TrainerError(
            f"critical_batch: examples={examples} is below {base * multiples[-1]}, an update of the largest"
        )
    if not tolerance >= 0:
        raise TrainerError(f"critical_batch: tolerance={tolerance} is below 0")
    known = ("auto", *SCALINGS)
    if scaling not in known:
        raise TrainerError(f"critical_batch: scaling={scaling!r} is unknown; known: {', '.join(known)}")
    check_free("critical_batch", optimizer)
    inner = innermost(optimizer)
    with_beta2 = adam_like(inner)
    power = (0.5 if with_beta2 else 1.0) if scaling == "auto" else SCALINGS[scaling]
    branches: list[Branch] = []
    for multiple in multiples:
        losses = []
        for run in range(runs):
            with _Kept(model, optimizer):
                for group in inner.param_groups:  # other ones after each load
                    group["lr"] = group["lr"] * multiple**power
                    if with_beta2:
                        group["betas"] = (group["betas"][0], group["betas"][1] ** multiple)
                _train(model, optimizer, loader(run), loss, base * multiple, examples, grain, microbatch)
                losses.append(float(evaluate()))
        mean = sum(losses) / runs
        spread = math.sqrt(sum((value - mean) ** 2 for value in losses) / max(runs - 1, 1))
        branches.append(Branch(base * multiple, multiple**power, mean, spread))
        if show:
            worse = 100 * (mean / branches[0].loss - 1) if branches[0].loss else math.nan
            print(
                f"batch {base * multiple:,}: learning rate × {multiple**power:.3g}, loss {mean:.5g}"
                f" ({worse:+.2f}%) after {examples:,} examples",
                file=sys.stderr,
            )
    found = base
    for branch in branches[1:]:
        # Until the first that loses: one lucky larger size says nothing.
        if not branch.loss <= branches[0].loss + tolerance * abs(branches[0].loss):
            break
        found = branch.batch_size
    if show:
        print(f"largest batch within {tolerance:.1%}: {found:,}", file=sys.stderr)
    return CriticalBatch(found, tolerance, tuple(branches))


def _train(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    loader: Iterable[Any],
    loss: Callable[[Any], torch.Tensor],
    size: int,
    examples: int,
    grain: int,
    microbatch: int | None,
) -> None:
    adaptive = AdaptiveBatchSize(
        model, optimizer, BatchSizeController(Constant(), size), grain=grain, microbatch=microbatch
    )
    model.train()
    try:
        for batch in adaptive.microbatches(loader):
            adaptive.backward(loss(batch))
            if adaptive.step() and adaptive.examples >= examples:
                return
    finally:
        adaptive.close()
    raise TrainerError(
        f"critical_batch: the loader has {adaptive.examples} examples; {examples} were asked for"
    )


class _Kept:
    """Puts model, optimizer and random generators back."""

    def __init__(self, model: torch.nn.Module, optimizer: Any) -> None:
        self._model, self._optimizer = model, optimizer

    def __enter__(self) -> None:
        self._weights = copy.deepcopy(self._model.state_dict())
        self._state = copy.deepcopy(self._optimizer.state_dict())
        self._training = self._model.training
        self._generators = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002

    def __exit__(self, *_: object) -> None:
        self._model.load_state_dict(self._weights)
        self._optimizer.load_state_dict(self._state)
        self._optimizer.zero_grad(set_to_none=True)
        self._model.train(self._training)
        torch.set_rng_state(self._generators[0])
        np.random.set_state(self._generators[1])  # noqa: NPY002
        random.setstate(self._generators[2])
