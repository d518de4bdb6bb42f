"""Batch sizes by rule: updates and gradients to target losses, and what the controller costs.

    python benchmarks/batch_size.py convex --quick   # three problems, eleven methods, five seeds; minutes
    python benchmarks/batch_size.py convex           # finer grids; an hour or two
    python benchmarks/batch_size.py seesaw           # serial steps and loss beside a cosine; a minute
    python benchmarks/batch_size.py cost            # seconds an epoch with a controller and without; a minute
    python benchmarks/batch_size.py networks --quick # softmax regression, a CNN on Fashion-MNIST; minutes

Fashion-MNIST is read from --fashion, a folder with its idx files (Debian: dataset-fashion-mnist).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# Read by BLAS when numpy is imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np
import torch
from batch_size_convex import compare, seesaw
from batch_size_problems import PROBLEMS
from milo_data import idx
from torch.utils.data import DataLoader, TensorDataset

from syllabus.trainer.batch_size import (
    AdaDamp,
    AdaptiveBatchSize,
    BatchSizeController,
    Constant,
    GeoDamp,
    NoiseScale,
    NormTest,
    PadaDamp,
    Probe,
    RadaDamp,
    Steps,
)

criterion = torch.nn.functional.cross_entropy
GRAIN = 32


def fashion(folder: Path, rows: int) -> tuple[TensorDataset, TensorDataset]:
    """Return the first `rows` images for training and 5,000 of the test images."""

    def part(name: str, count: int) -> TensorDataset:
        images = idx(folder / f"{name}-images-idx3-ubyte.gz", count)
        labels = idx(folder / f"{name}-labels-idx1-ubyte.gz", count)
        x = torch.from_numpy(images.copy()).float()[:, None] / 255 - 0.286
        return TensorDataset(x / 0.353, torch.from_numpy(labels.copy()).long())

    return part("train", rows), part("t10k", 5_000)


def softmax() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))


def cnn() -> torch.nn.Module:
    layers: list[torch.nn.Module] = []
    for inputs, outputs in ((1, 16), (16, 32)):
        layers += [torch.nn.Conv2d(inputs, outputs, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(32 * 49, 10))


def batches(data: TensorDataset, seed: int, size: int = GRAIN) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield an epoch's batches, cut from tensors: a loader of single rows would hide what is timed."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    for rows in order.split(size):
        yield data.tensors[0][rows], data.tensors[1][rows]


def cost(folder: Path) -> None:
    """Print the time that controllers take for themselves, as a share of a CNN's step, and what a probe adds.

    On a network of ten parameters, whose steps take next to nothing, taken in turns with a plain loop, the
    best of 60: beside a CNN's step the difference would drown in that step's own noise.
    """
    controllers: dict[str, Callable[[], BatchSizeController] | None] = {
        "plain loop": None,
        "Constant": lambda: BatchSizeController(Constant(), GRAIN),
        "GeoDamp": lambda: BatchSizeController(GeoDamp(epochs=5), GRAIN),
        "AdaDamp, average": lambda: BatchSizeController(
            AdaDamp(loss="average"), GRAIN, growth=1, every=3_200
        ),
        "RadaDamp, dwell 10": lambda: BatchSizeController(RadaDamp(), GRAIN, growth=1, dwell=10),
        "RadaDamp": lambda: BatchSizeController(RadaDamp(), GRAIN, growth=1),
    }
    updates = 200
    rows = [(torch.randn(GRAIN, 4), torch.randint(0, 2, (GRAIN,)))] * updates
    own: dict[str, float] = {}
    for _ in range(60):
        for name, make in controllers.items():
            seconds = trained(torch.nn.Linear(4, 2), rows, make) / updates
            own[name] = min(own.get(name, seconds), seconds)
    train, _ = fashion(folder, 3_200)
    epochs = [trained(cnn(), list(batches(train, turn)), None) for turn in range(8)]
    epoch = min(epochs)
    step = epoch / (len(train) / GRAIN)
    print(f"{'':24}{'us an update':>14}{f'of a step of {1e3 * step:.1f} ms':>24}")
    for name in list(controllers)[1:]:
        more = own[name] - own["plain loop"]
        print(f"{name:24}{1e6 * more:>14.1f}{100 * more / step:>23.2f}%")
    model, times = cnn(), []
    probe = Probe(model, train, range(512), criterion)
    for _ in range(8):
        started = time.process_time()
        probe.loss()
        times.append(time.process_time() - started)
    controller = BatchSizeController(AdaDamp(), GRAIN)
    AdaptiveBatchSize(
        model, torch.optim.SGD(model.parameters(), lr=0.1), controller, grain=GRAIN, probe=probe
    )
    share = min(times) / epoch * len(train) / (controller.every or 1)
    print(f"a probe of 512, measured every {controller.every:,} examples: {100 * share:.2f}% of an epoch")


def trained(
    model: torch.nn.Module,
    rows: list[tuple[torch.Tensor, torch.Tensor]],
    make: Callable[[], BatchSizeController] | None,
) -> float:
    """Return the CPU seconds of one pass over `rows`, in a plain loop or under a controller."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    started = time.process_time()
    if make is None:
        for x, y in rows:
            criterion(model(x), y).backward()
            optimizer.step()
            optimizer.zero_grad()
    else:
        adaptive = AdaptiveBatchSize(model, optimizer, make(), grain=GRAIN)
        for x, y in adaptive.microbatches(rows):
            adaptive.backward(criterion(model(x), y))
            adaptive.step()
    return time.process_time() - started


def networks(folder: Path, quick: bool) -> None:
    """Print updates, examples, time and test accuracy at target losses, each method at its best rate."""
    rows, epochs, seeds = (12_800, 8, 1) if quick else (60_000, 30, 3)
    train, test = fashion(folder, rows)
    total = rows * epochs
    small, cap = GRAIN, 1024
    methods: dict[str, Callable[[], BatchSizeController]] = {
        "small": lambda: BatchSizeController(Constant(), small),
        "large": lambda: BatchSizeController(Constant(), cap),
        "small, decayed rate": lambda: BatchSizeController(
            GeoDamp(epochs=max(epochs // 5, 1)), small, maximum=small
        ),
        "GeoDamp": lambda: BatchSizeController(GeoDamp(epochs=max(epochs // 5, 1)), small, maximum=cap),
        "PadaDamp": lambda: BatchSizeController(PadaDamp(final=512, examples=total), small, maximum=cap),
        "AdaDamp, probe": lambda: BatchSizeController(AdaDamp(), small, maximum=cap),
        "AdaDamp, average": lambda: BatchSizeController(AdaDamp(loss="average"), small, maximum=cap),
        "RadaDamp": lambda: BatchSizeController(RadaDamp(), small, maximum=cap, dwell=10),
        "Steps": lambda: BatchSizeController(
            Steps(f"0:{small} {total // 4}:{4 * small} {total // 2}:{16 * small}"), maximum=cap
        ),
        "NormTest": lambda: BatchSizeController(NormTest(), small, maximum=cap, dwell=10),
        "NoiseScale": lambda: BatchSizeController(NoiseScale(0.25), small, maximum=cap, dwell=10),
    }
    rates = (0.02, 0.08, 0.32) if quick else (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
    for name, make in (("softmax regression", softmax), ("CNN 16-32", cnn)):
        print(f"\n{name}, {rows:,} images, {epochs} epochs, {seeds} seed(s), rate of {rates}")
        print(f"{'':22}{'rate':>6}{'loss':>9}{'accuracy':>10}{'updates':>10}{'probe':>9}{'CPU s':>8}")
        for method, controller in methods.items():
            runs = []
            for rate in rates:
                found = [once(make, controller(), train, test, rate, epochs, seed) for seed in range(seeds)]
                runs.append((*np.mean(found, 0), rate))
            loss, accuracy, updates, probes, seconds, rate = min(runs)
            print(
                f"{method:22}{rate:>6}{loss:>9.4f}{accuracy:>10.4f}{updates:>10,.0f}{probes:>9,.0f}{seconds:>8.1f}",
                flush=True,
            )


def once(
    make: Callable[[], torch.nn.Module],
    controller: BatchSizeController,
    train: TensorDataset,
    test: TensorDataset,
    rate: float,
    epochs: int,
    seed: int,
) -> tuple[float, float, int, float, float]:
    """Return training loss, test accuracy, updates, the probe's cost in gradients, and CPU seconds."""
    torch.manual_seed(seed)
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    rows = np.random.default_rng(seed).permutation(len(train))[:512]
    probe = Probe(model, train, rows, criterion) if "probe_loss" in controller.rule.needs else None
    adaptive = AdaptiveBatchSize(model, optimizer, controller, grain=GRAIN, microbatch=256, probe=probe)
    started = time.process_time()
    for epoch in range(epochs):
        for x, y in adaptive.microbatches(batches(train, 1000 * seed + epoch)):
            adaptive.backward(criterion(model(x), y))
            adaptive.step()
    seconds = time.process_time() - started
    model.eval()
    with torch.no_grad():
        losses = [(criterion(model(x), y).item(), len(x)) for x, y in DataLoader(train, 1000)]
        loss = sum(value * count for value, count in losses) / len(train)
        hits = [(model(x).argmax(1) == y).sum().item() for x, y in DataLoader(test, 1000)]
    measured = len(adaptive.records) * 512 / 3 if probe is not None else 0.0
    return loss if np.isfinite(loss) else np.inf, sum(hits) / len(test), adaptive.updates, measured, seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("convex", "seesaw", "cost", "networks"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.part == "convex":
        for make in PROBLEMS:
            compare(make(), seeds=5, quick=arguments.quick)
    elif arguments.part == "seesaw":
        seesaw(seeds=50)
    elif arguments.part == "cost":
        cost(arguments.fashion)
    else:
        networks(arguments.fashion, arguments.quick)


if __name__ == "__main__":
    main()
