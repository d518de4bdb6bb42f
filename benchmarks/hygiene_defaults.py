"""What filters buy and cost where nobody looked at the data, beside the figures that a manifest could show.

    python benchmarks/hygiene_defaults.py         # a row a data set, fault, fraction, arm and seed
    python benchmarks/hygiene_defaults.py --sets letters --faults clean noise

Each data set of `hygiene_data.py` is taken as it is, and with each of the faults of `hygiene_faults.py`; test
data are as they are. A small network (one hidden layer of 64 up to 100 columns,
else none; standardised columns; Adam) has 20 epochs of a fraction of the rows, all arms the same steps.
Results go to --results, figures of the manifest to --figures; what is there is not computed again.
"""

import argparse
import csv
import os
from collections.abc import Iterator
from pathlib import Path

# Read by BLAS when numpy is imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np
import torch
from hygiene_data import SETS, Data, read
from hygiene_faults import FAULTS
from hygiene_training import coverage, importance, shuffled, stream, trained
from milo_data import unit

from syllabus.selectors.neighbours import (
    Separation,
    TopK,
    greedy_cover,
    neighbours,
    relative_threshold,
    separation_of,
)
from syllabus.selectors.neighbours.separation import QUANTILES
from syllabus.trainer.curriculum.evidence import suspects, why_copies_stay

FRACTIONS, EPOCHS, SEEDS = (0.01, 0.05, 0.1, 0.3), 20, 5
THRESHOLD, K = 0.95, 10
RESULT = ("set", "fault", "fraction", "arm", "seed", "left", "accuracy", "recall")


class Found:
    """What a search of the neighbours tells of a data set."""

    def __init__(self, data: Data) -> None:
        self.y, self.rows = data.y, unit(data.x)
        self.ids, self.cosines, self.groups = neighbours(self.rows, K, THRESHOLD)
        self.same = data.y[self.ids] == data.y[:, None]
        self.agreement = self.same.mean(axis=1)
        self.classes = int(data.y.max()) + 1
        votes = np.zeros((len(data.y), self.classes), np.int32)
        np.add.at(votes, (np.arange(len(data.y))[:, None], data.y[self.ids]), 1)
        self.plurality = votes.max(axis=1) / K

    def filters(self) -> dict[str, np.ndarray]:
        """Return (n,) bool, what each filter keeps."""
        zero = self.agreement == 0
        share = np.bincount(self.y[zero], minlength=self.classes) / np.maximum(np.bincount(self.y), 1)
        sure, guarded = zero & (self.plurality >= 0.6), zero & (share[self.y] <= 0.4)
        return {
            "fresh": np.ones(len(zero), bool),
            "group": self.first(np.zeros_like(zero)),
            "cover": self.cover(np.zeros_like(zero)),
            "cover .99": self.cover(np.zeros_like(zero), 0.99),
            "cover .999": self.cover(np.zeros_like(zero), 0.999),
            "suspects": ~zero,
            "sure": ~sure,
            "guarded": ~guarded,
            "suspects, cover": self.cover(zero),
            "suspects, group": self.first(zero),
        }

    def rule(self, epoch: int) -> dict[str, np.ndarray]:
        """Return what `auto` keeps by the rule, and by its half on suspects, and by its half on copies."""
        found = suspects(self.agreement, self.y, K)
        out = found.rows if found.noise else np.zeros_like(found.rows)
        kept = {"auto suspects": ~out}
        for name, excluded in (("auto copies", np.zeros_like(out)), ("auto", out)):
            near = self.separation(excluded)
            covered = ~excluded & ~self.cover(excluded, near.threshold)
            why = why_copies_stay(covered[~excluded], self.y[~excluded], epoch)
            chosen = near.separates and why is None
            kept[name] = ~(excluded | covered) if chosen else ~excluded
        return kept

    def separation(self, excluded: np.ndarray) -> Separation:
        """Return how the threshold that `auto` would use lies among the cosines."""
        n, rng = len(self.y), np.random.default_rng(0)
        a, b = rng.integers(0, n, (2, 200_000))
        a, b = a[a != b], b[a != b]
        random = np.einsum("ij,ij->i", self.rows[a], self.rows[b]).astype(np.float64)
        threshold = relative_threshold(self.cosines[:, -1], THRESHOLD)
        covers = greedy_cover(self.rows, self.y, threshold, excluded)
        found = [(np.arange(n), TopK(self.ids, self.cosines))]
        return separation_of(random, found, covers, threshold, self.y)

    def cover(self, excluded: np.ndarray, threshold: float = THRESHOLD) -> np.ndarray:
        """Return (n,) bool, what a cover within the classes keeps."""
        covers = greedy_cover(self.rows, self.y, threshold, excluded)
        return covers == np.arange(len(covers))

    def first(self, excluded: np.ndarray) -> np.ndarray:
        """Return (n,) bool, the first row of each group."""
        places = np.flatnonzero(~excluded)
        kept = np.zeros(len(excluded), bool)
        kept[places[np.unique(self.groups[places], return_index=True)[1]]] = True
        return kept

    def figures(self) -> dict[str, float]:
        """Return what a manifest could show."""
        n, rng = len(self.y), np.random.default_rng(0)
        near, found = self.separation(np.zeros(n, bool)), suspects(self.agreement, self.y, K)
        sizes, counts = np.bincount(self.groups, minlength=n), np.bincount(self.y)
        largest = np.flatnonzero(self.groups == sizes.argmax())
        some = self.rows[rng.permutation(largest)[:500]]
        kept, first = self.cover(np.zeros(n, bool)), self.first(np.zeros(n, bool))
        joined = sizes[self.groups] > 1
        zero = self.agreement == 0
        tenths = np.bincount(np.round(self.agreement * K).astype(int), minlength=K + 1) / n
        zeros = np.bincount(self.y[zero], minlength=self.classes) / counts
        dropped = np.bincount(self.y[~kept], minlength=self.classes) / counts
        big = counts >= 20
        alone = len(np.unique(self.groups[joined] * self.classes + self.y[joined]))
        out = {"n": n, "columns": self.rows.shape[1], "classes": self.classes, "smallest": counts.min()}
        out |= {f"random_{q:g}": v for q, v in zip(QUANTILES, near.random, strict=True)}
        out |= {f"nearest_{q:g}": v for q, v in zip(QUANTILES, near.nearest, strict=True)}
        out |= {"random_share": near.random_share, "crowded": near.crowded}
        out |= {"mixed": near.mixed, "chance": near.chance, "largest": sizes.max()}
        out |= {"largest_least": (some @ some.T).min(), "largest_labels": len(np.unique(self.y[largest]))}
        out |= {"in_groups": joined.mean(), "group_drops": 1 - first.mean(), "cover_drops": 1 - kept.mean()}
        out |= {"cover_class": dropped.max(), "beside": (kept & joined).sum() / max(alone, 1)}
        out |= {f"agreement_{tenth}": tenths[tenth] for tenth in range(4)}
        out |= {"median": np.median(self.agreement), "zero_class": zeros[big].max() if big.any() else 0}
        out |= {"threshold": near.threshold, "separates": near.separates}
        out |= {"suspect": found.zero, "one": found.one, "median_trusted": found.median, "noise": found.noise}
        auto = self.rule(1)
        out |= {f"{name} drops": 1 - kept.mean() for name, kept in auto.items()}
        return {name: round(float(value), 5) for name, value in out.items()}


def measured(data: Data, found: Found, only: list[str] | None) -> Iterator[dict[str, object]]:
    always, n = found.filters(), len(data.y)
    scores = (
        {}
        if only is not None
        else {
            "coverage": importance(data.y, found.rows, None),
            "coverage .5": importance(data.y, found.rows, 0.5),
        }
    )
    for fraction in FRACTIONS:
        size = max(1, int(fraction * n + 0.5))
        filters = always | found.rule(size)
        if only is not None:
            filters = {name: kept for name, kept in filters.items() if name in {"fresh", *only}}
        arms: list[tuple[str, int, np.ndarray]] = []
        twins: dict[str, str] = {}
        for seed in range(SEEDS):
            arms.append(("full", seed, shuffled(n, EPOCHS * size, seed)))
            if fraction <= 0.02:
                arms += [
                    (name, seed, coverage(data.y, size, EPOCHS, seed, score))
                    for name, score in scores.items()
                ]
            for name, kept in filters.items():
                twin = next(other for other, mask in filters.items() if (mask == kept).all())
                twins[name] = twin
                if twin == name:
                    arms.append((name, seed, stream(data.y, kept, size, EPOCHS, seed)))
        seeds = np.array([seed for _, seed, _ in arms])
        accuracy, recall = trained(data, np.stack([rows for _, _, rows in arms]), seeds)
        held = {(name, seed): place for place, (name, seed, _) in enumerate(arms)}
        for name in [*dict.fromkeys(name for name, _, _ in arms), *(n for n in twins if twins[n] != n)]:
            for seed in range(SEEDS):
                place = held[twins.get(name, name), seed]
                left = filters.get(name, filters["fresh"]).mean()
                yield dict(zip(RESULT[2:], (fraction, name, seed, round(left, 4), round(accuracy[place], 5),
                                            round(float(recall[place]), 5)), strict=True))  # fmt: skip


def append(path: Path, rows: list[dict[str, object]]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        if new:
            writer.writeheader()
        writer.writerows(rows)


def done(path: Path) -> set[tuple[str, str]]:
    if not path.exists():
        return set()
    with path.open() as file:
        return {(row["set"], row["fault"]) for row in csv.DictReader(file)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=Path, default=Path("hygiene_cache"))
    parser.add_argument("--results", type=Path, default=Path("hygiene_results.csv"))
    parser.add_argument("--figures", type=Path, default=Path("hygiene_figures.csv"))
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--faults", nargs="*", default=list(FAULTS))
    parser.add_argument("--figures-only", action="store_true")
    parser.add_argument("--arms", nargs="*", help="only these filters, beside full and fresh")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for fault in given.faults:
        for name in given.sets:
            data = FAULTS[fault](read(given.cache, name), np.random.default_rng(0))
            where, found = {"set": name, "fault": fault}, None
            if (name, fault) not in done(given.figures):
                found = Found(data)
                append(given.figures, [{**where, **found.figures()}])
            if (name, fault) not in done(given.results) and not given.figures_only:
                append(
                    given.results,
                    [{**where, **row} for row in measured(data, found or Found(data), given.arms)],
                )
            print(name, fault, flush=True)


if __name__ == "__main__":
    main()
