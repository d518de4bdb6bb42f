"""What GraB is worth to a small CNN: Fashion-MNIST, 10,000 images, a fifth of the labels random.

    python benchmarks/noisy_images.py                      # 25 runs of about a minute each on one thread
    python benchmarks/noisy_images.py --minutes 5          # stop after the run in hand; call again to go on
    python benchmarks/noisy_images.py --plot FILE.svg      # draw what the results file has

Every finished run is added to --results, one row an epoch; a run that is there is not run again.
Fashion-MNIST is read from --fashion, a folder with its idx files (Debian: dataset-fashion-mnist).
"""

import argparse
import csv
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Read by BLAS when numpy is imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np
import torch
from label_noise import manifest_of
from ordering import idx
from torch.nn import functional

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, GraB, LastLayer, ManifestSampler

COUNT, EPOCHS, BATCH, SEEDS = 10_000, 15, 16, 5
NOISE = 0.2
FIELDS = ("order", "lr", "seed", "epoch", "train_loss", "test_loss", "test_accuracy")
ORDERS: dict[str, Callable[[], GraB | str]] = {
    "shuffle": lambda: "shuffle",
    "GraB pair": lambda: GraB("pair"),
    "GraB mean": lambda: GraB("mean"),
    "GraB pair from herding": lambda: GraB("pair", start="herding"),
    "GraB mean from herding": lambda: GraB("mean", start="herding"),
}


@dataclass(frozen=True)
class Task:
    """The images with their noisy labels, the test set with its true ones, and the manifest of the first."""

    x: torch.Tensor
    y: torch.Tensor
    test_x: torch.Tensor
    test_y: torch.Tensor
    manifest: Manifest

    @classmethod
    def read(cls, fashion: Path, folder: Path) -> "Task":
        """Read images and labels, and prepare a manifest of their pixels in `folder`."""

        def images(split: str) -> np.ndarray:
            return idx(fashion / f"{split}-images-idx3-ubyte.gz")[:COUNT, None].astype(np.float32) / 255

        def labels(split: str) -> np.ndarray:
            return idx(fashion / f"{split}-labels-idx1-ubyte.gz")[:COUNT].astype(np.int64)

        x, y, rng = images("train"), labels("train"), np.random.default_rng(0)
        noisy = rng.permutation(COUNT)[: round(NOISE * COUNT)]
        y[noisy] = rng.integers(0, 10, len(noisy))
        manifest = manifest_of(folder, x.reshape(COUNT, -1), y)
        parts = (x, y, images("t10k"), labels("t10k"))
        return cls(*(torch.from_numpy(part) for part in parts), manifest=manifest)


def network() -> torch.nn.Sequential:
    """28,938 parameters; strides in place of pooling keep it cheap."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 5, stride=2, padding=2),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 5, stride=2, padding=2),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(32 * 49, 10),
    )


def measured(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    """Return the mean loss and the accuracy."""
    with torch.no_grad():
        outputs = torch.cat([model(part) for part in x.split(1000)])
    return float(functional.cross_entropy(outputs, y)), float((outputs.argmax(1) == y).float().mean())


def train(task: Task, order: GraB | str, seed: int, lr: float, epochs: int) -> list[tuple[float, ...]]:
    """Train once; return training loss, test loss and test accuracy after every epoch."""
    torch.manual_seed(seed)
    model, criterion = network(), torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr)
    sampler = ManifestSampler(Curriculum(task.manifest, 1.0, epochs, "fresh", seed=seed), order)
    features = LastLayer(model[-1], criterion, sketch=0) if isinstance(order, GraB) else None
    curve = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for rows in torch.tensor(list(sampler)).split(BATCH):
            criterion(model(task.x[rows]), task.y[rows]).backward()
            if isinstance(order, GraB) and features is not None:
                order.step(features())
            optimizer.step()
            optimizer.zero_grad()
        test_loss, accuracy = measured(model, task.test_x, task.test_y)
        curve.append((measured(model, task.x, task.y)[0], test_loss, accuracy))
    return curve


def run(fashion: Path, results: Path, lr: float, minutes: float) -> None:
    """Make the runs that `results` does not have, until the time is over."""
    done = {(row["order"], row["lr"], row["seed"]) for row in read(results)}
    # By seed first: a stop leaves complete comparisons.
    missing = [
        (name, seed) for seed in range(SEEDS) for name in ORDERS if (name, f"{lr:g}", str(seed)) not in done
    ]
    if not missing:
        return
    stop = time.monotonic() + 60 * minutes
    results.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="syllabus-images-") as folder:
        task = Task.read(fashion, Path(folder))
        for name, seed in missing:
            if time.monotonic() > stop:
                print("time is over; call again to go on")
                return
            start = time.monotonic()
            curve = train(task, ORDERS[name](), seed, lr, EPOCHS)
            text = "".join(
                ",".join([name, f"{lr:g}", str(seed), str(epoch), *(f"{value:.6f}" for value in values)])
                + "\n"
                for epoch, values in enumerate(curve)
            )
            # In one write: a run is there whole or not at all.
            with results.open("a") as file:
                file.write(text if file.tell() else ",".join(FIELDS) + "\n" + text)
            print(f"{name}, seed {seed}: {curve[-1][0]:.4f}, {time.monotonic() - start:.0f} s", flush=True)


def read(results: Path) -> list[dict[str, str]]:
    if not results.exists():
        return []
    with results.open(newline="") as file:
        return list(csv.DictReader(file))


def curves(results: Path, lr: float, what: str) -> dict[str, np.ndarray]:
    """Return (seeds, epochs) values of each order, for the seeds that every order has."""
    found: dict[tuple[str, int], list[float]] = {}
    for row in read(results):
        if row["lr"] == f"{lr:g}":
            found.setdefault((row["order"], int(row["seed"])), []).append(float(row[what]))
    seeds = [seed for seed in range(SEEDS) if all((name, seed) in found for name in ORDERS)]
    return {name: np.array([found[name, seed] for seed in seeds]) for name in ORDERS} if seeds else {}


def table(results: Path, lr: float) -> None:
    losses, accuracies = (curves(results, lr, what) for what in ("train_loss", "test_accuracy"))
    if not losses:
        return
    seeds = len(losses["shuffle"])
    print(
        f"Fashion-MNIST, {COUNT:,} images, {NOISE:.0%} random labels, CNN, B={BATCH}, lr {lr:g},"
        f" {EPOCHS} epochs, {seeds} seeds; after the last epoch, mean ± deviation"
    )
    print(f"{'order':26}{'training loss':>18}{'less than shuffle':>20}{'in seeds':>9}{'test accuracy':>18}")
    for name in ORDERS:
        last, accuracy = losses[name][:, -1], accuracies[name][:, -1]
        gain = losses["shuffle"][:, -1] - last
        print(
            f"{name:26}{spread(last, 4):>18}{spread(gain, 4):>20}{(gain > 0).sum():>6}/{seeds}"
            f"{spread(100 * accuracy, 2):>18}"
        )


def spread(values: np.ndarray, digits: int) -> str:
    deviation = statistics.stdev(values.tolist()) if len(values) > 1 else 0.0
    return f"{values.mean():.{digits}f} ± {deviation:.{digits}f}"


def plot(results: Path, lr: float, output: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    matplotlib.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "images",
            "font.size": 8,
            "axes.grid": True,
            "grid.alpha": 0.3,
        }
    )
    colours = ("#808080", "#1f5fa8", "#b5532c", "#7fa8d8", "#e0a080")
    figure, panels = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for panel, what, title in (
        (panels[0], "train_loss", "loss on all training data"),
        (panels[1], "test_accuracy", "test accuracy"),
    ):
        for (name, values), colour in zip(curves(results, lr, what).items(), colours, strict=True):
            epochs, middle = np.arange(1, values.shape[1] + 1), values.mean(0)
            panel.plot(epochs, middle, color=colour, linewidth=1.4, label=name)
            panel.fill_between(epochs, values.min(0), values.max(0), color=colour, alpha=0.12, linewidth=0)
        panel.set(title=title, xlabel="epoch")
    panels[0].legend(frameon=False)
    figure.savefig(output, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--results", type=Path, default=Path("runs/noisy_images.csv"))
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--plot", type=Path, metavar="SVG")
    options = parser.parse_args()
    if options.plot:
        plot(options.results, options.lr, options.plot)
        return
    warnings.simplefilter("ignore", UserWarning)
    torch.set_num_threads(1)
    run(options.fashion, options.results, options.lr, options.minutes)
    table(options.results, options.lr)


if __name__ == "__main__":
    main()
