"""How well cheap runs rank configurations, what a search costs, and what it loses.

    python benchmarks/tuning.py --quick      # glosses, AdamW, no noise: some minutes on one core
    python benchmarks/tuning.py              # both sets and optimizers, with noise and without: half an hour
    python benchmarks/tuning.py --plot FILE  # draw what is there

A pool of 54 configurations (--pool) is drawn by seed 0 and each is trained in full on four seeds. The mean
of seeds 2 and 3 is the reference; searches see seeds 0 and 1. A cheap run sees a share of a full run's
examples under a cosine of its own, chosen by a schedule or taken from a shuffle of all data ("all data"),
with its learning rate times share^-alpha. Kendall's tau is to the reference, over configurations that train
at all. Searches are played 2,000 times on 27 configurations drawn from the pool. Regret: the reference of
the best of the 27, less that of the configuration which the search names. Intervals: 90%, bootstrapped over
the pool.

WordNet's glosses (Debian: wordnet-base) as LSA vectors and Fashion-MNIST (Debian: dataset-fashion-mnist) at
half its size, 12,000 rows each, by networks of two hidden layers. Scores are kept in --cache as CSV.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np
import torch
from tuning_data import Task, fashion, wordnet
from tuning_runs import EPOCHS, RATES, Scores, Trial, configurations, continued, seconds_alone
from tuning_searches import Pool, draw_fronts, played

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, ManifestSampler
from syllabus.trainer.tuning import Exponent, Observation, fit_exponent

ROWS, POOL, SEARCHED = 12_000, 54, 27
SHARES = (1 / 60, 1 / 30, 1 / 20, 1 / 10)
PREPARED = (1 / 30, 1 / 10)  # shares at which all schedules are compared
SCHEDULES = ("fresh", "all data", "milo", "coverage", "auto", "fixed")
SEARCH_SEEDS, REFERENCE_SEEDS = (0, 1), (2, 3)
PRIOR, ALPHAS = 0.5, (0.0, 0.3, 0.5)  # what `Search` begins with; what is compared


@dataclass(frozen=True)
class Cell:
    """A task and an optimizer, their scores and the manifest."""

    task: Task
    optimizer: str
    manifest: Manifest
    scores: Scores
    pool: int
    schedules: Sequence[str]

    def run(self) -> None:
        """Train what is missing."""
        full = [self.trials("all data", 1.0, 0.0, seed) for seed in (*SEARCH_SEEDS, *REFERENCE_SEEDS)]
        fresh = [self.trials("fresh", share, alpha) for share in SHARES for alpha in ALPHAS]
        others = [
            self.trials(schedule, share, alpha)
            for schedule in self.schedules
            for share in PREPARED
            for alpha in ALPHAS
        ]
        trials = itertools.chain(*full, *fresh, *others)
        self.scores.run(self.task, self.manifest, trials, self.pool)

    def trials(self, schedule: str, share: float, alpha: float, seed: int = 0) -> list[Trial]:
        """Return the trials of all configurations."""
        return [Trial(self.optimizer, k, schedule, share, alpha, seed) for k in range(self.pool)]

    def cheap(self, schedule: str, share: float, alpha: float, seed: int = 0) -> np.ndarray:
        """Return (pool,) scores of cheap runs, training those that are missing."""
        trials = self.trials(schedule, share, alpha, seed)
        self.scores.run(self.task, self.manifest, trials, self.pool)
        return self.scores.of(trials)

    def searches(self) -> Pool:
        """Return the scores that searches are played on."""
        full = [self.scores.of(self.trials("all data", 1.0, 0.0, seed)) for seed in range(4)]
        runs = {(share, alpha): self.cheap("fresh", share, alpha) for share in SHARES for alpha in ALPHAS}
        return Pool(np.array([full[s] for s in SEARCH_SEEDS]), np.mean(full[2:], 0), runs)

    def observations(self, shares: Sequence[float] = SHARES) -> list[Observation]:
        """Return what fits the exponent: runs of several lengths."""
        drawn = configurations(self.optimizer, self.pool)
        return [
            Observation(p["lr"] * share**-PRIOR, share, score, {k: v for k, v in p.items() if k != "lr"})
            for share in shares
            for p, score in zip(drawn, self.cheap("fresh", share, PRIOR).tolist(), strict=True)
        ]


def tau(one: np.ndarray, other: np.ndarray) -> float:
    """Kendall's tau-a."""
    rows, columns = np.triu_indices(len(one), 1)
    return float(np.mean(np.sign(one[rows] - one[columns]) * np.sign(other[rows] - other[columns])))


def interval(rows: int, statistic: Callable[[np.ndarray], float]) -> tuple[float, float]:
    """90% bootstrap interval over configurations."""
    rng = np.random.default_rng(0)
    low, high = np.quantile([statistic(rng.integers(0, rows, rows)) for _ in range(400)], (0.05, 0.95))
    return float(low), float(high)


def ranking(cell: Cell) -> None:
    """Print Kendall's tau of cheap runs, with the correction and without, and what the other gains by it."""
    pool = cell.searches()
    stable = np.flatnonzero(pool.reference > pool.reference.max() / 2)
    reference, first = pool.reference[stable], pool.full[0][stable]
    heads = "".join(f"{f'alpha {alpha:g}':>10}{'90%':>14}" for alpha in ALPHAS)
    print(
        f"best reference {100 * pool.reference.max():.2f}%; {len(stable)} of {cell.pool} configurations reach"
        f" half of it; tau of one full seed {tau(first, reference):.2f}\n"
        f"{'schedule':10}{'share':>6}{heads}{'above all data':>18}{'90%':>16}"
    )
    shares = {name: SHARES if name == "fresh" else PREPARED for name in cell.schedules}
    for schedule, share in ((name, share) for name in cell.schedules for share in shares[name]):
        line = f"{schedule:10}{f'1/{round(1 / share)}':>6}"
        for alpha in ALPHAS:
            scores = cell.cheap(schedule, share, alpha)[stable]
            low, high = interval(len(stable), lambda r, s=scores: tau(s[r], reference[r]))
            line += f"{tau(scores, reference):>10.2f}{f'{low:.2f} to {high:.2f}':>14}"
        if schedule != "all data" and share in PREPARED:
            ours, theirs = (cell.cheap(name, share, ALPHAS[1])[stable] for name in (schedule, "all data"))

            def gain(rows: np.ndarray, ours: np.ndarray = ours, theirs: np.ndarray = theirs) -> float:
                return tau(ours[rows], reference[rows]) - tau(theirs[rows], reference[rows])

            low, high = interval(len(stable), gain)
            line += f"{gain(np.arange(len(stable))):>+18.2f}{f'{low:+.2f} to {high:+.2f}':>16}"
        print(line, flush=True)


def carried_over(cells: dict[tuple[str, float, str], Cell]) -> None:
    """Print tau at 1/30 with the exponent that was fitted on the other set."""
    print("\nalpha fitted on one set, on runs at 1/60 to 1/10 that cost .2 full runs each; tau at 1/30:")
    print(
        f"{'judged on':32}{'alpha':>7}{'90%':>14}{'tau, alpha 0':>14}{'tau':>7}{'difference':>12}{'90%':>14}"
    )
    for (name, noise, optimizer), cell in cells.items():
        other = next(
            (c for (n, s, o), c in cells.items() if n != name and (s, o) == (noise, optimizer)), None
        )
        if other is None:
            continue
        alpha: Exponent = fit_exponent(other.observations())
        pool = cell.searches()
        stable = np.flatnonzero(pool.reference > pool.reference.max() / 2)
        reference = pool.reference[stable]
        plain, fitted = (cell.cheap("fresh", 1 / 30, a)[stable] for a in (0.0, round(alpha.value, 2)))

        def gain(
            rows: np.ndarray, a: np.ndarray = fitted, b: np.ndarray = plain, r: np.ndarray = reference
        ) -> float:
            return tau(a[rows], r[rows]) - tau(b[rows], r[rows])

        low, high = interval(len(stable), gain)
        label = f"{name}, noise {noise:g}, {optimizer}"
        print(
            f"{label:32}{alpha.value:>7.2f}{f'{alpha.low:.2f} to {alpha.high:.2f}':>14}"
            f"{tau(plain, reference):>14.2f}{tau(fitted, reference):>7.2f}"
            f"{gain(np.arange(len(stable))):>+12.2f}"
            f"{f'{low:+.2f} to {high:+.2f}':>14}",
            flush=True,
        )


def searches(cell: Cell) -> None:
    """Print what searches cost and lose, with one seed of the finalists and with two."""
    pool = cell.searches()
    for count in sorted({min(SEARCHED, cell.pool), cell.pool}):
        print(
            f"{f'search of {count}':34}{'seeds':>6}{'full runs':>10}{'regret':>8}{'90%':>14}{'worst 5%':>10}"
        )
        for search in played(pool, count):
            low, high = search.interval
            print(
                f"{search.name:34}{search.seeds:>6}{search.cost:>10.2f}{search.regret:>8.2f}"
                f"{f'{low:.2f} to {high:.2f}':>14}{search.bad:>10.2f}",
                flush=True,
            )


def opening(manifest: Manifest) -> tuple[float, float]:
    """Return the CPU ms of opening the manifest, and of a trial's curriculum, sampler and first rows."""
    times = []
    for _ in range(5):
        started = time.process_time()
        again = Manifest.open(manifest.location)
        opened = time.process_time()
        sampler = ManifestSampler(Curriculum(again, 1 / 60, EPOCHS, "auto", seed=0))
        sampler.set_epoch(0)
        rows = list(sampler)
        times.append((opened - started, time.process_time() - opened, len(rows)))
    return 1000 * min(times)[0], 1000 * min(each[1] for each in times)


def main() -> None:
    """Run what is missing, print what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--plot", type=Path, help="draw cost against regret into this file")
    parser.add_argument("--cache", type=Path, default=Path("runs/tuning"))
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet/data.noun"))
    parser.add_argument("--continued", action="store_true", help="and finalists that go on from short runs")
    parser.add_argument("--pool", type=int, default=POOL, help="configurations")
    parser.add_argument("--sets", nargs="+", default=["glosses", "fashion"], choices=["glosses", "fashion"])
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.2])
    parser.add_argument("--optimizers", nargs="+", default=list(RATES), choices=list(RATES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows, count, schedules = (
        (ROWS, 27, SCHEDULES[:2]) if arguments.quick else (ROWS, arguments.pool, SCHEDULES)
    )
    makers = {
        "glosses": lambda noise: wordnet(arguments.wordnet, rows, noise),
        "fashion": lambda noise: fashion(arguments.fashion, rows, noise),
    }
    names, noises, optimizers = arguments.sets, arguments.noise, arguments.optimizers
    if arguments.quick:
        names, noises, optimizers = names[:1], [0.0], ["adamw"]
    cells: dict[tuple[str, float, str], Cell] = {}
    started = time.perf_counter()
    for optimizer, noise, name in itertools.product(optimizers, noises, names):
        task = makers[name](noise)
        manifest = task.manifest(arguments.cache, PREPARED)
        scores = Scores(arguments.cache / f"scores-{name}-{noise:g}-{rows}.csv")
        cell = cells[name, noise, optimizer] = Cell(task, optimizer, manifest, scores, count, schedules)
        if arguments.plot is None:
            cell.run()
            print(
                f"\n{name}, label noise {noise:g}, {optimizer} ({time.perf_counter() - started:.0f} s so far)"
            )
            alone = seconds_alone(task, manifest)
            made = task.preparing(arguments.cache)
            again, begun = opening(manifest)
            print(
                f"the manifest took {made:.1f} CPU s to prepare, a full run by itself {alone:.1f};"
                f" opening it again {again:.1f} ms, a trial's curriculum and sampler {begun:.1f} ms"
            )
            ranking(cell)
            searches(cell)
            for share in PREPARED if arguments.continued else ():
                best = np.argsort(-cell.searches().reference)[:8].tolist()
                continued(task, manifest, optimizer, share, best)
    if arguments.plot is not None:
        draw_fronts({key: cell.searches() for key, cell in cells.items()}, SEARCHED, arguments.plot)
    elif not arguments.quick:
        carried_over(cells)


if __name__ == "__main__":
    main()
