"""Batch sizes by rule: updates and gradients to target losses, and what the controller costs.

    python benchmarks/batch_size.py convex --quick   # four problems, ten methods, five seeds; a minute
    python benchmarks/batch_size.py convex           # finer grids; three minutes
    python benchmarks/batch_size.py seesaw           # serial steps and loss beside a cosine; a minute
    python benchmarks/batch_size.py warm-up          # critical-batch warm-up beside a fixed size; minutes
    python benchmarks/batch_size.py cost             # what a controller and a probe take; a minute
    python benchmarks/batch_size.py networks         # softmax, a CNN, a transformer; a quarter of an hour
    python benchmarks/batch_size.py processes        # seconds of a CNN on one process and on two; a minute
    python benchmarks/batch_size.py plot FILE.svg    # draw what convex found

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

import torch
from batch_size_convex import compare, seesaw
from batch_size_figure import draw
from batch_size_networks import Runs, tasks
from batch_size_networks import compare as compare_networks
from batch_size_problems import PROBLEMS
from batch_size_processes import processes
from batch_size_warm_up import warm_up
from milo_data import idx
from torch.utils.data import TensorDataset

from syllabus.trainer.batch_size import (
    AdaDamp,
    AdaptiveBatchSize,
    BatchSizeController,
    Constant,
    GeoDamp,
    PadaDamp,
    Probe,
    RadaDamp,
    Seesaw,
    Steps,
    cosine,
)

criterion = torch.nn.functional.cross_entropy
GRAIN = 32
PARTS = ("convex", "seesaw", "warm-up", "cost", "networks", "processes", "plot")


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
        "Steps": lambda: BatchSizeController(Steps(f"0:{GRAIN} 1m:{2 * GRAIN}")),
        "PadaDamp": lambda: BatchSizeController(PadaDamp(rate=0), GRAIN),
        "Seesaw": lambda: BatchSizeController(Seesaw(cosine(10**7)), GRAIN),
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("output", nargs="?", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--results", type=Path, default=Path("runs/batch_size.csv"))
    parser.add_argument("--tasks", nargs="+", help="of networks: softmax, CNN, transformer")
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet/data.noun"))
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    arguments = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    if arguments.part == "convex":
        for make in PROBLEMS:
            compare(make(), 5, arguments.quick, arguments.results)
    elif arguments.part == "seesaw":
        seesaw(seeds=50)
    elif arguments.part == "plot":
        if arguments.output is None:
            parser.error("plot: name the file to draw into")
        draw(arguments.results, arguments.output)
    elif arguments.part == "warm-up":
        warm_up(arguments.fashion, arguments.wordnet)
    elif arguments.part == "cost":
        cost(arguments.fashion)
    elif arguments.part == "processes":
        processes(arguments.fashion)
    else:
        runs = Runs(arguments.results.with_name(arguments.results.stem + "-networks.jsonl"))
        for task in tasks(arguments.fashion, arguments.wordnet):
            if not arguments.tasks or task.name in arguments.tasks:
                compare_networks(task, runs)


if __name__ == "__main__":
    main()
