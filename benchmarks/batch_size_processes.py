"""Seconds to a training loss on one process and on two, for the CNN of `batch_size_networks.py`.

Two processes average gradients by gloo and see the examples of one, half of each update on either. Rates are
those that `networks` chose; .36 is the largest of .36, .48 and .72 by which the large size arrives.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as distributed
from batch_size_networks import MEASURED, ROWS, SMALL, Task, criterion, methods, tasks
from torch.nn.parallel import DistributedDataParallel

from syllabus.trainer.batch_size import AdaptiveBatchSize, BatchSizeController, Constant

TARGET, EPOCHS, LARGE, MARK, SEEDS = 0.422, 8, 256, 2_000, 2
PLAN = 4 * ROWS  # examples of the cosine
RATE, LARGE_RATE = 0.24, 0.36
Reached = tuple[float, float, float, float]  # updates, examples, seconds, CPU seconds; NaN where it was not


def compared() -> dict[str, tuple[float, Callable[[], BatchSizeController]]]:
    """Return rates, and how the controllers are made."""
    made = methods(PLAN)
    names = ("fixed 32", "Seesaw of that cosine", "AdaDamp, averages")
    return {
        **{name: (RATE, made[name]) for name in names},
        f"fixed {LARGE}": (LARGE_RATE, lambda: BatchSizeController(Constant(), LARGE)),
    }


def reach(
    task: Task, controller: BatchSizeController, rate: float, seed: int, rank: int = 0, world: int = 1
) -> Reached:
    """Train to the target; what measuring the loss takes is not counted."""
    torch.manual_seed(seed)
    inner = task.network()
    model = DistributedDataParallel(inner) if world > 1 else inner
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    grain = SMALL // world
    adaptive = AdaptiveBatchSize(model, optimizer, controller, grain=grain, microbatch=LARGE // world)
    x, y = task.train.tensors
    spent, marks, started = np.zeros(2), 0, _clocks()
    for epoch in range(EPOCHS):
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(1000 * seed + epoch))
        batches = ((x[rows], y[rows]) for rows in order[rank::world].split(grain))
        for inputs, targets in adaptive.microbatches(batches):
            adaptive.backward(criterion(model(inputs), targets))
            if not adaptive.step() or adaptive.examples < MARK * (marks + 1):
                continue
            spent, marks = spent + _clocks() - started, adaptive.examples // MARK
            with torch.no_grad():
                loss = criterion(inner(x[:MEASURED]), y[:MEASURED])
            if world > 1:
                distributed.broadcast(loss, 0)  # both stop, or neither; and both begin again together
            if loss <= TARGET:
                return adaptive.updates, adaptive.examples, *spent
            started = _clocks()
    return np.nan, np.nan, np.nan, np.nan


def _clocks() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def _measure(rank: int, world: int, port: int, fashion: Path, found: Any) -> None:
    torch.set_num_threads(1)
    if world > 1:
        distributed.init_process_group(
            "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world
        )
    task = next(task for task in tasks(fashion, Path()) if task.name == "CNN")
    for name, (rate, make) in compared().items():
        several = [reach(task, make(), rate, seed, rank, world) for seed in range(SEEDS)]
        if rank == 0:
            found.put((name, np.array(several)))
    if world > 1:
        distributed.destroy_process_group()


def processes(fashion: Path) -> None:
    """Print updates, examples and seconds to the target, on one process and on two."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    queue = torch.multiprocessing.get_context("spawn").SimpleQueue()
    found = []
    for world in (1, 2):
        torch.multiprocessing.spawn(_measure, (world, port, fashion, queue), nprocs=world)
        found.append(dict(queue.get() for _ in compared()))
    print(
        f"CNN to a training loss of {TARGET}, {ROWS:,} rows, {SEEDS} seeds, a thread a process; s (CPU s)\n"
        f"{'':24}{'rate':>6}{'updates':>9}{'examples':>10}{'on one':>16}{'on two, of each':>18}{'times':>12}"
    )
    for name, (rate, _) in compared().items():
        one, two = (several[name].mean(0) for several in found)
        print(
            f"{name:24}{rate:>6g}{one[0]:>9,.0f}{one[1]:>10,.0f}"
            f"{f'{one[2]:.2f} ({one[3]:.2f})':>16}{f'{two[2]:.2f} ({two[3]:.2f})':>18}"
            f"{f'{one[2] / two[2]:.2f} ({one[3] / two[3]:.2f})':>12}"
        )
