"""How well cheap runs rank configurations, what a search costs, and what it loses.

    python benchmarks/tuning.py --quick           # glosses, AdamW, clean: ten minutes on one core
    python benchmarks/tuning.py                   # both sets, both optimizers, clean and noisy: hours

27 configurations drawn by seed 0. The reference is the mean test accuracy of full runs on two seeds. A cheap
run sees a share of a full run's examples under a cosine of its own, chosen by a schedule or taken from a
shuffle of all data ("all data"). Kendall's tau and regrets are to the reference, with 90% bootstrap
intervals over the configurations. Regret: the reference of the best of all, less that of the configuration
which a search names, whose finalists' full runs are those of the first seed.

WordNet's glosses (Debian: wordnet-base) by a hashed bag-of-words network; Fashion-MNIST (Debian:
dataset-fashion-mnist) by a small CNN. Scores are kept in --cache as CSV.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import milo_data
import numpy as np
import torch
from tuning_data import Task, fashion, wordnet

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum
from syllabus.trainer.tuning import Observation, fit_exponent

EPOCHS, CONFIGURATIONS, FINALISTS = 6, 27, 3
SHARES = (1 / 30, 1 / 10)
CORRECTIONS = (0.0, 0.5)
RATES = {"adamw": (2e-4, 5e-2), "sgd": (5e-3, 1.0)}
COLUMNS = ("set", "noise", "optimizer", "schedule", "share", "correction", "configuration", "seed", "score")


def configurations(optimizer: str, count: int) -> list[dict[str, Any]]:
    """Draw configurations; rates are those of a full run."""
    rng = np.random.default_rng(0)
    low, high = np.log(RATES[optimizer])
    return [
        {
            "lr": float(np.exp(rng.uniform(low, high))),
            "width": int(rng.choice([32, 64, 128])),
            "dropout": float(rng.choice([0.0, 0.2, 0.4])),
            "decay": float(np.exp(rng.uniform(np.log(1e-5), np.log(1e-1)))),
            "batch": int(rng.choice([32, 64, 128])),
        }
        for _ in range(count)
    ]


def epochs_of(task: Task, manifest: Manifest, schedule: str, share: float, seed: int) -> Iterator[np.ndarray]:
    """Yield the rows of each epoch."""
    rng = np.random.default_rng(seed)
    if share == 1 or schedule == "all data":
        rows = np.concatenate([rng.permutation(task.rows) for _ in range(EPOCHS)])
        yield from np.array_split(rows[: round(share * EPOCHS * task.rows)], EPOCHS)
        return
    curriculum = Curriculum(manifest, share, EPOCHS, schedule, seed=seed)
    for epoch in range(EPOCHS):
        yield rng.permutation(curriculum.indices(epoch))


def train(
    task: Task, params: dict[str, Any], optimizer: str, epochs: Sequence[np.ndarray], seed: int
) -> float:
    """Train one run under a cosine and return its test accuracy."""
    torch.manual_seed(seed)
    model = task.network(params["width"], params["dropout"])
    kind = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[optimizer]
    extra = {} if optimizer == "adamw" else {"momentum": 0.9}
    decay = params["decay"] if optimizer == "adamw" else params["decay"] * 1e-2
    steps = sum(-(-len(rows) // params["batch"]) for rows in epochs)
    made = kind(model.parameters(), lr=params["lr"], weight_decay=decay, **extra)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(made, steps)
    model.train()
    for rows in epochs:
        for batch in np.array_split(rows, range(params["batch"], len(rows), params["batch"])):
            torch.nn.functional.cross_entropy(model(task.inputs(batch)), task.targets(batch)).backward()
            made.step()
            made.zero_grad()
            cosine.step()
    model.eval()
    with torch.no_grad():
        return float((model(task.test_inputs).argmax(1) == task.test_targets).float().mean())


class Scores:
    """The scores in a CSV file: what is there is not computed again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[tuple[str, ...], float] = {}
        if path.exists():
            with path.open() as file:
                for row in csv.reader(file):
                    self._found[tuple(row[:-1])] = float(row[-1])

    def get(self, key: Sequence[Any], make: Callable[[], float]) -> float:
        """Return a score, computing and keeping it if it is not there."""
        text = tuple(f"{part:.6g}" if isinstance(part, float) else str(part) for part in key)
        if text not in self._found:
            self._found[text] = make()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                csv.writer(file).writerow([*text, self._found[text]])
        return self._found[text]


@dataclass(frozen=True)
class Cell:
    """One set, noise and optimizer: reference scores and those of cheap runs."""

    task: Task
    optimizer: str
    scores: Scores
    manifest: Manifest
    count: int

    def score(self, schedule: str, share: float, correction: float, number: int, seed: int) -> float:
        """Return one run's score."""
        params = configurations(self.optimizer, self.count)[number]
        params = {**params, "lr": params["lr"] * share**-correction}

        def make() -> float:
            rows = list(epochs_of(self.task, self.manifest, schedule, share, seed))
            return train(self.task, params, self.optimizer, rows, seed)

        name = (self.task.name, self.task.noise, self.optimizer)
        return self.scores.get((*name, schedule, share, correction, number, seed), make)

    def all(self, schedule: str, share: float, correction: float, seed: int = 0) -> np.ndarray:
        """Return (count,) scores of one seed."""
        return np.array([self.score(schedule, share, correction, k, seed) for k in range(self.count)])

    def full(self, seed: int) -> np.ndarray:
        """Return (count,) scores of full runs."""
        return self.all("all data", 1.0, 0.0, seed)


def tau(one: np.ndarray, other: np.ndarray) -> float:
    """Kendall's tau-a."""
    pairs = list(itertools.combinations(range(len(one)), 2))
    return float(np.mean([np.sign(one[a] - one[b]) * np.sign(other[a] - other[b]) for a, b in pairs]))


def interval(rows: int, statistic: Callable[[np.ndarray], float]) -> tuple[float, float]:
    """90% bootstrap interval over configurations."""
    rng = np.random.default_rng(0)
    found = [statistic(rng.integers(0, rows, rows)) for _ in range(200)]
    low, high = np.quantile(found, (0.05, 0.95))
    return float(low), float(high)


def named(cheap: np.ndarray, full: np.ndarray, finalists: int) -> int:
    """The configuration that a search names: of the best by cheap runs, the best by one full run."""
    best = np.argsort(-cheap, kind="stable")[:finalists]
    return int(best[np.argmax(full[best])])


def report(cell: Cell, schedules: Sequence[str]) -> None:
    """Print one cell's table."""
    task, count = cell.task, cell.count
    reference = (cell.full(0) + cell.full(1)) / 2
    first, best = cell.full(0), float(reference.max())
    print(f"\n{task.name}, label noise {task.noise:g}, {cell.optimizer}: {count} configurations,")
    print(f"best reference {best:.4f}; tau of one full seed to the other {tau(first, cell.full(1)):.2f}")
    full_search = best - reference[int(first.argmax())]
    print(f"full-data search, one seed: {count} full runs, regret {100 * full_search:.2f} points")
    drawn = np.random.default_rng(0)
    for cost in (4, 5):
        picks = [drawn.choice(count, cost, replace=False) for _ in range(2000)]
        losses = [best - reference[rows[first[rows].argmax()]] for rows in picks]
        print(f"random search, {cost} full runs: mean regret {100 * np.mean(losses):.2f}")
    head = f"{'schedule':12}{'share':>7}{'alpha':>7}{'tau':>7}{'90%':>14}"
    print(f"{head}{'full runs':>11}{'regret':>8}{'90%':>14}")
    for schedule, share, correction in itertools.product(schedules, SHARES, CORRECTIONS):
        cheap = cell.all(schedule, share, correction)

        def regret(rows: np.ndarray, cheap: np.ndarray = cheap) -> float:
            chosen = rows[named(cheap[rows], first[rows], FINALISTS)]
            return 100 * float(reference[rows].max() - reference[chosen])

        low, high = interval(count, lambda rows, cheap=cheap: tau(cheap[rows], reference[rows]))
        worst = interval(count, regret)
        print(
            f"{schedule:12}{'1/' + str(round(1 / share)):>7}{correction:>7g}{tau(cheap, reference):>7.2f}"
            f"{f'{low:.2f} to {high:.2f}':>14}{count * share + FINALISTS:>11.1f}"
            f"{regret(np.arange(count)):>8.2f}{f'{worst[0]:.1f} to {worst[1]:.1f}':>14}",
            flush=True,
        )
    observed = [
        Observation(params["lr"] * share**-0.5, share, score, {k: v for k, v in params.items() if k != "lr"})
        for share in SHARES
        for params, score in zip(
            configurations(cell.optimizer, count), cell.all(schedules[0], share, 0.5), strict=True
        )
    ]
    print(
        f"alpha by the runs at {' and '.join(f'1/{round(1 / s)}' for s in SHARES)}: {fit_exponent(observed)}"
    )


def main() -> None:
    """Run what is missing, print what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--cache", type=Path, default=Path("runs/tuning"))
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet/data.noun"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = 12_000 if arguments.quick else milo_data.ROWS
    makers = [lambda noise: wordnet(arguments.wordnet, rows, noise)]
    if not arguments.quick:
        makers.append(lambda noise: fashion(arguments.fashion, rows, noise))
    optimizers = ("adamw",) if arguments.quick else ("adamw", "sgd")
    schedules = (
        ["fresh", "all data"] if arguments.quick else ["fresh", "all data", "milo", "coverage", "auto"]
    )
    scores = Scores(arguments.cache / f"scores-{rows}.csv")
    started = time.perf_counter()
    for make, noise in itertools.product(makers, (0.0,) if arguments.quick else (0.0, 0.2)):
        task = make(noise)
        manifest = task.manifest(arguments.cache, SHARES)
        for optimizer in optimizers:
            report(Cell(task, optimizer, scores, manifest, CONFIGURATIONS), schedules)
            print(f"({time.perf_counter() - started:.0f} s so far)", flush=True)


if __name__ == "__main__":
    main()
