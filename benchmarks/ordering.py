"""Orders: their discrepancy, and the time of an epoch. What they are worth to training: label_noise.py.

    python benchmarks/ordering.py herding     # discrepancies and their time, about a minute, 2 GB
    python benchmarks/ordering.py time        # an epoch with GraB beside a plain one (Fashion-MNIST)

Fashion-MNIST is read from --fashion, a folder with its idx files (Debian: dataset-fashion-mnist).
"""

import argparse
import gzip
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Read by BLAS when numpy is imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np
import torch
from label_noise import manifest_of
from torch.nn import functional

from syllabus.selectors import herding
from syllabus.trainer import Curriculum, FullGradients, GraB, LastLayer, ManifestSampler


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


# Herding


def discrepancies() -> None:
    warm = unit(np.random.default_rng(1).standard_normal((64, 384)))
    herding.discrepancy(warm, herding.window(warm, herding.pair(warm, start=herding.balance(warm))))
    herding.greedy(warm)
    print(
        "unit vectors, default_rng(0), 384 dimensions\n" + f"{'order':24}{'n':>9}{'l2':>9}{'linf':>9}{'s':>9}"
    )
    for n in (2000, 10_000, 100_000):
        rows = unit(
            np.random.default_rng(0).standard_normal((n, 384), np.float32 if n > 2000 else np.float64)
        )
        calls: dict[str, Callable[[], np.ndarray]] = {
            "random": lambda n=n: np.random.default_rng(1).permutation(n),
            "pair, 5 passes": lambda rows=rows: herding.pair(rows),
            "balance, 5 passes": lambda rows=rows: herding.balance(rows),
            "balance + window 256": lambda rows=rows: herding.window(rows, herding.balance(rows)),
        }
        if n <= 10_000:
            calls["greedy"] = lambda rows=rows: herding.greedy(rows)
        for name, call in calls.items():
            start = time.perf_counter()
            order = call()
            seconds = time.perf_counter() - start
            found = herding.discrepancy(rows, order)
            print(f"{name:24}{n:9,}{found.l2:9.3f}{found.linf:9.3f}{seconds:9.3f}", flush=True)
    million()


def million() -> None:
    rows = np.random.default_rng(0).standard_normal((1_000_000, 384), np.float32)
    s, c = np.ones(384, np.float32), np.ones(len(rows), np.float32)
    products = statistics.median(timed(lambda: (rows @ s, c @ rows)) for _ in range(3))
    one = statistics.median(timed(lambda: herding.balance(rows, passes=1)) for _ in range(3))
    five = statistics.median(timed(lambda: herding.balance(rows, passes=5)) for _ in range(3))
    # A call also checks that the rows are finite and sums them: about a third of the first figure.
    print(
        f"1,000,000 x 384: Z @ s and c @ Z {products:.3f} s; balance of one pass, checks and mean included,"
        f" {one / products:.2f} times that; each pass after the first {(five - one) / 4 / products:.2f} times"
    )


# Time of an epoch


def idx(path: Path) -> np.ndarray:
    raw = gzip.decompress(path.read_bytes())
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def mlp() -> torch.nn.Sequential:
    layers = [torch.nn.Linear(784, 1024), torch.nn.ReLU(), torch.nn.Linear(1024, 1024), torch.nn.ReLU()]
    return torch.nn.Sequential(torch.nn.Flatten(), *layers, torch.nn.Linear(1024, 10))


def cnn() -> torch.nn.Sequential:
    layers: list[torch.nn.Module] = []
    for inputs, outputs in ((1, 16), (16, 32)):
        layers += [torch.nn.Conv2d(inputs, outputs, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(32 * 49, 10))


@dataclass(frozen=True)
class Data:
    """The first images, and a curriculum of all of them."""

    x: torch.Tensor
    y: torch.Tensor
    curriculum: Curriculum

    @classmethod
    def first(cls, count: int, fashion: Path, folder: Path, device: str) -> "Data":
        """Read the first `count` images, and prepare a manifest of them in `folder`."""
        x = (
            torch.from_numpy(idx(fashion / "train-images-idx3-ubyte.gz")[:count].copy()).float()[:, None]
            / 255
        )
        y = torch.from_numpy(idx(fashion / "train-labels-idx1-ubyte.gz")[:count].copy()).long()
        folder.mkdir()
        manifest = manifest_of(folder, x[:, 0, 12:16, 12:16].flatten(1).numpy() + 1, y.numpy())
        return cls(x.to(device), y.to(device), Curriculum(manifest, 1.0, 1, seed=0))


def epochs_beside(fashion: Path, folder: Path, device: str) -> None:
    many = Data.first(12_800, fashion, folder / "many", device)
    few = Data.first(320, fashion, folder / "few", device)
    print(
        f"Fashion-MNIST, batch 64, {device}, {torch.get_num_threads()} thread; seconds, least of 3, and ratio"
    )
    for name, make in (("MLP 784-1024-1024-10", mlp), ("CNN 16-32", cnn)):
        ours(
            f"{name}, last layer, 200 steps",
            lambda make=make: epoch(make(), many, False),
            lambda make=make: epoch(make(), many, True),
        )
        for kind in ("grab", "one by one"):
            ours(
                f"{name}, full gradients, {kind}, 5 steps",
                lambda make=make: full_epoch(make(), few, "plain"),
                lambda make=make, kind=kind: full_epoch(make(), few, kind),
            )


def ours(name: str, plain: Callable[[], float], ordered: Callable[[], float]) -> None:
    pairs = [(plain(), ordered()) for _ in range(4)][1:]
    before, after = (min(times) for times in zip(*pairs, strict=True))
    print(f"{name:54}{before:8.3f}{after:8.3f}{after / before:8.3f}", flush=True)


def epoch(model: torch.nn.Module, data: Data, on: bool) -> float:
    x, y, device = data.x, data.y, data.x.device
    model.to(device)
    criterion, optimizer = torch.nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.05)
    grab = GraB()
    sampler = ManifestSampler(data.curriculum, grab if on else "shuffle")
    features = LastLayer(model[-1], criterion) if on else None
    start = time.perf_counter()
    for rows in torch.tensor(list(sampler), device=device).split(64):
        criterion(model(x[rows]), y[rows]).backward()
        if features is not None:
            grab.step(features())
        optimizer.step()
        optimizer.zero_grad()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def full_epoch(model: torch.nn.Module, data: Data, kind: str) -> float:
    x, y, device = data.x, data.y, data.x.device
    model.to(device)
    optimizer, full = (
        torch.optim.SGD(model.parameters(), 0.05),
        FullGradients(model, functional.cross_entropy),
    )
    grab = GraB()
    sampler = ManifestSampler(data.curriculum, grab if kind == "grab" else "shuffle")
    width = sum(parameter.numel() for parameter in model.parameters())
    position, mean, total = (torch.zeros(width, device=device) for _ in range(3))
    start = time.perf_counter()
    for rows in torch.tensor(list(sampler), device=device).split(64):
        full.backward(x[rows], y[rows])
        block = full()
        if kind == "grab":
            grab.step(block)
        elif kind == "one by one":  # as grab-sampler's mean balance does it
            for gradient in block.rows:
                total.add_(gradient, alpha=1 / len(x))
                centred = gradient - mean
                position.add_(centred, alpha=1.0 if torch.dot(position, centred) < 0 else -1.0)
        optimizer.step()
        optimizer.zero_grad()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("herding", "time"))
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.part == "herding":
        discrepancies()
    else:
        with tempfile.TemporaryDirectory(prefix="syllabus-ordering-") as folder:
            epochs_beside(arguments.fashion, Path(folder), arguments.device)


if __name__ == "__main__":
    main()
