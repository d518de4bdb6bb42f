"""Orders: their discrepancy, and the time of a step. Their worth to training: label_noise, noisy_images.

    python benchmarks/ordering.py reference   # published discrepancies and orders, compared
    python benchmarks/ordering.py herding     # discrepancies and their time, about a minute, 2 GB
    python benchmarks/ordering.py time        # a step with GraB beside a plain one; two minutes

Fashion-MNIST is read from --fashion, a folder with its idx files (Debian: dataset-fashion-mnist).
"""

import argparse
import gzip
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
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


def reference() -> None:
    """Known values of these sets: greedy's first indices, and a checksum of the order of 50 passes."""
    from sklearn.datasets import load_digits

    digits = load_digits().data
    sets = {
        "unit, default_rng(0)": (np.random.default_rng(0).standard_normal((2000, 384)), 1377, 619461),
        "unit, seed(0)": (np.random.RandomState(0).randn(2000, 384), 1847, 287262),
        "digits, unit rows": (digits, 424, 174246),
        "digits / 16": (digits / 16, 945, 465440),
    }
    print(
        f"{'l2 discrepancy':24}{'random':>9}{'greedy':>9}{'balance 5':>11}{'pair 5':>9}"
        "   first of greedy, checksum"
    )
    for name, (rows, first, checksum) in sets.items():
        rows = (rows if name.endswith("16") else unit(rows)).astype(np.float32)
        rng = np.random.default_rng(1)
        random = np.mean([herding.discrepancy(rows, rng.permutation(len(rows))).l2 for _ in range(20)])
        greedy, settled = herding.greedy(rows), herding.balance(rows, passes=50)
        found = int((settled * np.arange(1, len(rows) + 1)).sum() % 1_000_003)
        l2 = [herding.discrepancy(rows, o).l2 for o in (greedy, herding.balance(rows), herding.pair(rows))]
        equal = "as known" if (greedy[0], found) == (first, checksum) else f"known: {first}, {checksum}"
        print(f"{name:24}{random:9.3f}{l2[0]:9.3f}{l2[1]:11.3f}{l2[2]:9.3f}   {greedy[0]}, {found}: {equal}")


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
        return cls(x.to(device), y.to(device), Curriculum(manifest, 1.0, 3, "fresh", seed=0))


def epochs_beside(fashion: Path, folder: Path, device: str) -> None:
    data = Data.first(12_800, fashion, folder / "data", device)
    print(
        f"Fashion-MNIST, batch 64, {device}, {torch.get_num_threads()} thread; milliseconds a step,"
        " and the median ratio to the plain step beside it"
    )
    for name, make in (("MLP 784-1024-1024-10", mlp), ("CNN 16-32", cnn)):
        kinds = ("plain", "pair", "mean")
        beside(f"{name}, last layer", {kind: steps(make(), data, kind) for kind in kinds}, 24, 8)
        kinds = ("plain", "pair", "one by one")
        beside(f"{name}, full gradients", {kind: full_steps(make(), data, kind) for kind in kinds}, 9, 1)


def beside(name: str, kinds: dict[str, Iterator[None]], rounds: int, count: int) -> None:
    """Time `count` steps of each kind in turn: what disturbs the machine then disturbs them alike."""
    times = np.empty((rounds + 1, len(kinds)))
    for row in times:
        for place, kind in enumerate(kinds.values()):
            row[place] = timed(lambda kind=kind: [next(kind) for _ in range(count)])
    times = 1000 * times[1:] / count
    ratios = np.median(times / times[:, :1], 0)
    for kind, milliseconds, ratio in zip(kinds, np.median(times, 0), ratios, strict=True):
        print(f"{name + ', ' + kind:54}{milliseconds:10.2f}{ratio:8.3f}", flush=True)


def steps(model: torch.nn.Sequential, data: Data, kind: str) -> Iterator[None]:
    """Train on batches of 64; GraB is given last-layer features."""
    x, y, device = data.x, data.y, data.x.device
    model.to(device)
    criterion, optimizer = torch.nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.05)
    grab = None if kind == "plain" else GraB(kind)
    sampler = ManifestSampler(data.curriculum, grab or "shuffle")
    features = LastLayer(model[-1], criterion)
    if grab is None:
        features.remove()
    for number in range(data.curriculum.epochs):
        sampler.set_epoch(number)
        for rows in torch.tensor(list(sampler), device=device).split(64):
            criterion(model(x[rows]), y[rows]).backward()
            if grab is not None:
                grab.step(features())
            optimizer.step()
            optimizer.zero_grad()
            if device.type == "cuda":
                torch.cuda.synchronize()
            yield


def full_steps(model: torch.nn.Module, data: Data, kind: str) -> Iterator[None]:
    """Train on batches of 64 by per-example gradients, which `plain` does not use any further.

    ``one by one`` is the way of grab-sampler's mean balance (0.1.3, which does not run on a current torch):
    rows of gradients, walked over in Python.
    """
    x, y, device = data.x, data.y, data.x.device
    model.to(device)
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    full = FullGradients(model, functional.cross_entropy)
    grab = GraB(kind) if kind == "pair" else None
    sampler = ManifestSampler(data.curriculum, grab or "shuffle")
    width = sum(parameter.numel() for parameter in model.parameters())
    position, mean, total = (torch.zeros(width, device=device) for _ in range(3))
    matrix: torch.Tensor | None = None
    for rows in torch.tensor(list(sampler), device=device).split(64):
        full.backward(x[rows], y[rows])
        if grab is not None:
            grab.step(full())
        elif kind == "one by one":
            # Into the same memory: asking for so much at every step would take longer than to fill it.
            pieces = full().pieces
            matrix = torch.empty(len(pieces[0]), width, device=device) if matrix is None else matrix
            for gradient in torch.cat(pieces, 1, out=matrix):
                total.add_(gradient, alpha=1 / len(x))
                centred = gradient - mean
                position.add_(centred, alpha=1.0 if torch.dot(position, centred) < 0 else -1.0)
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()
        yield


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("reference", "herding", "time"))
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.part == "reference":
        reference()
    elif arguments.part == "herding":
        discrepancies()
    else:
        with tempfile.TemporaryDirectory(prefix="syllabus-ordering-") as folder:
            epochs_beside(arguments.fashion, Path(folder), arguments.device)


if __name__ == "__main__":
    main()
