"""CD-GraB beside what else m workers could do: discrepancy, training, bytes and time; in one process.

    python benchmarks/cdgrab.py herding               # parallel discrepancy against m; under a minute
    python benchmarks/cdgrab.py server                # bytes and the order server's time of a step
    python benchmarks/cdgrab.py softmax [--quick]     # training; ten minutes, 1 with --quick
    python benchmarks/cdgrab.py lenet [--quick]       # m = 16, four seeds; 15 minutes, 4 with --quick
    python benchmarks/cdgrab.py plot FILE.svg         # draw what the results of softmax say

Workers are simulated; the order server is the one that ranks of torch.distributed run. Every method has a
learning rate of its own, the best of six (LeNet: four) on three other seeds. Finished runs are added to
--results, and a run that is there is not run again. Fashion-MNIST is read from --fashion, a folder with its
idx files (Debian: dataset-fashion-mnist).
"""

import argparse
import csv
import os
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # read by BLAS when numpy is imported

import numpy as np
import torch
from cdgrab_server import bytes_and_time, discrepancies
from cdgrab_tasks import METHODS, TASKS, Orders

FIELDS = ("task", "noise", "n", "m", "method", "lr", "seed", "epoch", "loss", "norm")
TUNING = (1000, 1001, 1002)  # seeds on which learning rates are chosen, by their mean loss
ONE = ("reshuffling", "reversal", "blocks", "GraB alone, mean", "CD-GraB")  # methods that differ at m = 1


@dataclass(frozen=True)
class Plan:
    """What is run: all examples, epochs, numbers of workers, learning rates at m = 1, seeds.

    `lrs` are multiplied by m: a round of m examples takes the place of m rounds of one.
    """

    task: str
    n: int
    epochs: int
    workers: tuple[int, ...]
    lrs: tuple[float, ...]
    seeds: int

    def marks(self) -> list[int]:
        """Return the epochs whose end is measured; even ones, where pairs of epochs are complete."""
        return sorted(
            {self.epochs * k // d for d in (1, 2, 4, 8, 16, 32, 64) for k in (1, 3) if k <= d} - {0, 1, 3}
        )

    def at_equal_rounds(self, m: int) -> int:
        """Return the epoch by whose end there were as many rounds as the most workers have in all."""
        return max(2, self.epochs * m // max(self.workers))

    def methods(self, m: int) -> tuple[str, ...]:
        """Return the methods that differ for m workers."""
        return METHODS if m > 1 else ONE


RATES = tuple(2.0**k for k in range(-5, 1))
PLANS = {
    ("softmax", False): Plan("softmax", 2048, 64, (16, 64, 4, 1), RATES, 5),
    ("softmax", True): Plan("softmax", 1024, 32, (16, 64), RATES[2:], 5),
    ("lenet", False): Plan("lenet", 1024, 20, (16,), tuple(r / 8 for r in RATES[:4]), 4),
    ("lenet", True): Plan("lenet", 512, 16, (16,), (1 / 128, 1 / 64, 1 / 32), 4),
}
Key = tuple[str, float, int, int, str, float, int]


# Runs


class Results:
    """The file of results: of each run, its (epoch -> (loss, norm))."""

    def __init__(self, path: Path) -> None:
        self.path, self.runs = path, dict[Key, dict[int, tuple[float, float]]]()
        if path.exists():
            with path.open(newline="") as file:
                for row in csv.DictReader(file):
                    key = (
                        row["task"], float(row["noise"]), int(row["n"]), int(row["m"]), row["method"],
                        float(row["lr"]), int(row["seed"]),
                    )  # fmt: skip
                    self.runs.setdefault(key, {})[int(row["epoch"])] = float(row["loss"]), float(row["norm"])

    def add(self, key: Key, curve: dict[int, tuple[float, float]]) -> None:
        """Add a finished run, to the file as well."""
        self.runs[key] = curve
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", newline="") as file:  # in one write: a run is there whole or not at all
            rows = [[*key, epoch, *(f"{value:.8g}" for value in both)] for epoch, both in curve.items()]
            text = "".join(
                ",".join(f'"{v}"' if isinstance(v, str) else str(v) for v in row) + "\n" for row in rows
            )
            file.write(text if file.tell() else ",".join(FIELDS) + "\n" + text)


def train(plan: Plan, noise: float, fashion: Path, results: Results) -> None:
    """Make the runs that are missing: all learning rates on one seed, then the best ones on the others."""
    task = TASKS[plan.task](fashion, plan.n, noise)
    start = time.monotonic()

    def run(m: int, method: str, lr: float, seed: int) -> None:
        key = (plan.task, noise, plan.n, m, method, lr, seed)
        if plan.epochs in results.runs.get(key, {}):
            return
        task.begin(seed)
        orders, curve, marks = Orders(method, m, task.y, seed), {}, plan.marks()
        for epoch in range(plan.epochs):
            features = task.epoch(orders.order, m, lr)
            if not bool(torch.isfinite(features.left).all()):
                curve.update((mark, (float("inf"), float("inf"))) for mark in marks if mark > epoch)
                break
            orders.after(epoch, features)
            if epoch + 1 in marks:
                curve[epoch + 1] = task.measured()
        results.add(key, curve)

    for m in plan.workers:
        for method in plan.methods(m):
            for lr in plan.lrs:
                for seed in TUNING:
                    run(m, method, lr * m, seed)
            lr = best(plan, noise, m, method, results, plan.epochs)
            for seed in range(plan.seeds):
                run(m, method, lr, seed)
            print(
                f"{plan.task}, noise {noise:g}, m {m}, {method}: {time.monotonic() - start:.0f} s", flush=True
            )


def tuned(plan: Plan, noise: float, m: int, method: str, results: Results, epoch: int) -> np.ndarray:
    """Return the least mean loss after `epoch` on the seeds for tuning, and the mean gradient norm there."""
    lr = best(plan, noise, m, method, results, epoch)
    return of_tuning(plan, noise, m, method, results, epoch, lr)


def best(plan: Plan, noise: float, m: int, method: str, results: Results, epoch: int) -> float:
    """Return the learning rate of the least mean loss after `epoch` on the seeds for tuning."""
    tried = [lr * m for lr in plan.lrs]
    return min(tried, key=lambda lr: of_tuning(plan, noise, m, method, results, epoch, lr)[0])


def of_tuning(
    plan: Plan, noise: float, m: int, method: str, results: Results, epoch: int, lr: float
) -> np.ndarray:
    runs = [results.runs[plan.task, noise, plan.n, m, method, lr, seed] for seed in TUNING]
    return np.mean([run[epoch] for run in runs], 0)


def values(plan: Plan, noise: float, m: int, method: str, results: Results, epoch: int) -> np.ndarray:
    """Return (seeds, 2) losses and gradient norms after `epoch`, at the rate that is best for it."""
    lr = best(plan, noise, m, method, results, epoch)
    runs = [results.runs[plan.task, noise, plan.n, m, method, lr, seed] for seed in range(plan.seeds)]
    return np.array([curve[epoch] for curve in runs])


# Tables


def tables(plan: Plan, noise: float, results: Results) -> None:
    what = "objective less its optimum" if plan.task == "softmax" else "training loss"
    for m in plan.workers:
        print(
            f"\n{plan.task}, N={plan.n:,}, {noise:.0%} random labels, m={m}, after {plan.epochs} epochs"
            f" ({plan.epochs * plan.n // m:,} rounds), {plan.seeds} seeds\n{'method':20}{'lr':>8}{what:>28}"
            f"{'less CD-GraB':>24}{'gradient norm':>24}{'less CD-GraB':>24}"
        )
        ours = values(plan, noise, m, "CD-GraB", results, plan.epochs)
        for method in plan.methods(m):
            found = values(plan, noise, m, method, results, plan.epochs)
            lr = best(plan, noise, m, method, results, plan.epochs)
            edge = "*" if lr in (plan.lrs[0] * m, plan.lrs[-1] * m) else ""
            cells = [
                f"{spread(column):>24}{difference(column - our):>24}"
                for column, our in zip(found.T, ours.T, strict=True)
            ]
            print(f"{method:20}{lr:>7.3g}{edge or ' '}    {''.join(cells)}")
    if len(plan.workers) > 2:
        exponents(plan, noise, results)


def exponents(plan: Plan, noise: float, results: Results) -> None:
    rounds = plan.epochs * plan.n // max(plan.workers)
    print(
        f"\n{noise:.0%} random labels, after {rounds:,} rounds whatever m: loss and squared norm ~ m^exponent"
    )
    for method in METHODS:
        workers = [m for m in sorted(plan.workers) if method in plan.methods(m)]
        means = [tuned(plan, noise, m, method, results, plan.at_equal_rounds(m)) for m in workers]
        logs = np.log(np.array(means) ** (1, 2))
        slopes = [np.polyfit(np.log(workers), column, 1)[0] for column in logs.T]
        curve = "  ".join(
            f"m={m}: {loss:.5f}, {norm:.5f}" for m, (loss, norm) in zip(workers, means, strict=True)
        )
        print(f"{method:20}{slopes[0]:8.2f}{slopes[1]:8.2f}   {curve}")


def spread(found: Iterable[float]) -> str:
    column = list(found)
    return f"{statistics.mean(column):.5f} ± {error(column):.5f}"


def difference(column: np.ndarray) -> str:
    if not column.any():
        return ""
    return f"{column.mean():+.5f} ({column.mean() / max(error(column.tolist()), 1e-12):+.1f} s.e.)"


def error(column: list[float]) -> float:
    return statistics.stdev(column) / len(column) ** 0.5 if len(column) > 1 else 0.0


# The figure


def plot(plan: Plan, noise: float, results: Results, output: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter

    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": "cdgrab",
        "font.size": 8,
        "axes.grid": True,
        "grid.alpha": 0.3,
    }
    matplotlib.rcParams.update(style)
    colours = dict(
        zip(
            METHODS,
            ("#808080", "#c0a000", "#d8c890", "#b5532c", "#e0a080", "#7fa8d8", "#1f5fa8"),
            strict=True,
        )
    )
    figure, panels = plt.subplots(1, 3, figsize=(9.6, 3), layout="constrained")
    for panel, m in zip(panels[:2], sorted(plan.workers)[-2:], strict=True):
        for method in METHODS:
            lr = best(plan, noise, m, method, results, plan.epochs)
            runs = [results.runs[plan.task, noise, plan.n, m, method, lr, seed] for seed in range(plan.seeds)]
            curves = np.array([[run[mark][0] for mark in plan.marks()] for run in runs])
            rounds = np.array(plan.marks()) * plan.n // m
            panel.plot(rounds, curves.mean(0), color=colours[method], linewidth=1.4)
            panel.fill_between(
                rounds, curves.min(0), curves.max(0), color=colours[method], alpha=0.12, linewidth=0
            )
        panel.set(title=f"m = {m}", xlabel="rounds", xscale="log", yscale="log")
    panels[0].set_ylabel("objective less its optimum")
    for method in METHODS:
        workers = [m for m in sorted(plan.workers) if method in plan.methods(m)]
        found = [values(plan, noise, m, method, results, plan.epochs)[:, 0] for m in workers]
        errors = [error(column.tolist()) for column in found]
        panels[2].errorbar(
            workers, [column.mean() for column in found], errors, color=colours[method], linewidth=1.4,
            marker="o", markersize=3, label=method,
        )  # fmt: skip
    panels[2].set(title=f"after {plan.epochs} epochs", xlabel="workers m", xscale="log", yscale="log")
    panels[2].set_xticks(plan.workers, [str(m) for m in plan.workers])
    for panel in panels:
        panel.xaxis.set_minor_formatter(NullFormatter())
    figure.legend(*panels[2].get_legend_handles_labels(), loc="outside right center", frameon=False)
    figure.savefig(output, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("herding", "server", "softmax", "lenet", "plot"))
    parser.add_argument("output", nargs="?", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer examples, epochs, workers and seeds")
    parser.add_argument("--workers", type=int, nargs="+", help="run these only")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.2, 0.0], help="shares of random labels")
    parser.add_argument("--results", type=Path, default=Path("runs/cdgrab.csv"))
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    options = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    if options.part == "herding":
        discrepancies()
    elif options.part == "server":
        bytes_and_time()
    elif options.part == "plot":
        if options.output is None:
            parser.error("plot: name the file to draw into")
        plot(PLANS["softmax", options.quick], options.noise[0], Results(options.results), options.output)
    else:
        plan, results = PLANS[options.part, options.quick], Results(options.results)
        for noise in options.noise:
            train(
                replace(plan, workers=tuple(options.workers or plan.workers)), noise, options.fashion, results
            )
        if options.workers:
            return
        for noise in options.noise:
            tables(plan, noise, results)


if __name__ == "__main__":
    main()
