"""Critical-batch warm-up (Merrill et al., arXiv:2505.23971) beside a fixed size, on a small transformer.

The critical batch is measured at five points of one run, by branches of 4,096 examples on two shuffles each;
the plan that `Steps.warm_up` makes of it is then judged on other seeds, under the same cosine of the rate.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from batch_size_networks import SMALL, Task, batches, criterion, tasks

from syllabus.trainer.batch_size import (
    AdaptiveBatchSize,
    BatchSizeController,
    Constant,
    Steps,
    critical_batch,
)

RATES, BRANCH, POINTS, SEEDS = (0.003, 0.006, 0.012), 4_096, (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2), 4
EPOCHS = 4


def train(
    task: Task, controller: BatchSizeController, rate: float, seed: int, points: tuple[int, ...] = ()
) -> tuple[float, float, int, list[tuple[int, int]]]:
    """Return training and test loss, updates, and the critical batches that were measured at some points."""
    torch.manual_seed(seed)
    model = task.network()
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    total = task.epochs * len(task.train)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total // SMALL)
    adaptive = AdaptiveBatchSize(model, optimizer, controller, grain=SMALL, microbatch=256, scheduler=cosine)
    measured: list[tuple[int, int]] = []
    for epoch in range(task.epochs):
        for x, y in adaptive.microbatches(batches(task.train, 1000 * seed + epoch)):
            adaptive.backward(criterion(model(x), y))
            adaptive.step()
            if len(measured) < len(points) and adaptive.examples >= points[len(measured)]:
                measured.append((adaptive.examples, _critical(task, model, optimizer)))
    return _loss(model, task.train), _loss(model, task.test), adaptive.updates, measured


def _critical(task: Task, trained: torch.nn.Module, running: torch.optim.Optimizer) -> int:
    """Branch from copies: the optimizer of a loop that goes on steps in that loop only."""
    model = copy.deepcopy(trained)
    optimizer = torch.optim.Adam(model.parameters())
    optimizer.load_state_dict(running.state_dict())
    return critical_batch(
        model,
        optimizer,
        lambda run: _branch(task, run),
        lambda batch: criterion(model(batch[0]), batch[1]),
        lambda: _loss(model, task.train),
        base=SMALL,
        examples=BRANCH,
        grain=SMALL,
        microbatch=256,
        runs=2,
    ).batch_size


def _branch(task: Task, run: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    return batches(task.train, 10**6 + run)


def _loss(model: torch.nn.Module, data: torch.utils.data.TensorDataset) -> float:
    model.eval()
    with torch.no_grad():
        logits = torch.cat([model(part) for part in data.tensors[0].split(500)])
    model.train()
    return float(criterion(logits, data.tensors[1]))


def warm_up(fashion: Path, wordnet: Path) -> None:
    """Print updates and losses of a fixed size and of the warm-up, at the rate best for the fixed one."""
    *_, task = tasks(fashion, wordnet)
    task = dataclasses.replace(task, epochs=EPOCHS)
    total = task.epochs * len(task.train)

    def fixed() -> BatchSizeController:
        return BatchSizeController(Constant(), SMALL)

    rate = min(RATES, key=lambda rate: train(task, fixed(), rate, 100)[0])
    *_, measured = train(task, fixed(), rate, 100, tuple(round(total * point) for point in POINTS))
    plan = Steps.warm_up(SMALL, measured)
    print(f"rate {rate:g}; critical batches {measured}; plan {plan.plan!r}", flush=True)
    methods = {
        "fixed 32": (rate, fixed),
        "fixed 64, its rate by √2": (rate * 2**0.5, lambda: BatchSizeController(Constant(), 2 * SMALL)),
        "critical-batch warm-up": (rate, lambda: BatchSizeController(plan)),
    }
    for name, (own, make) in methods.items():
        runs = np.array([train(task, make(), own, seed)[:3] for seed in range(SEEDS)])
        losses = ", ".join(
            f"{what} loss {runs[:, place].mean():.4f} ± {runs[:, place].std(ddof=1):.4f}"
            for place, what in enumerate(("training", "test"))
        )
        print(f"{name:24}{runs[:, 2].mean():>8,.0f} updates   {losses}", flush=True)
