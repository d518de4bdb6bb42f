"""Greedy in parts beside greedy over all rows: normalised gain, rows decided by bounding, CPU seconds.

    python benchmarks/partitioned.py            # 100,000 glosses of WordNet, 10 parts
    python benchmarks/partitioned.py --quick    # 10,000 of them, about a minute

One class: all glosses, TF-IDF reduced to 384 components (LSA), in random order and sorted by lexicographer
file. `gain` is (f(S) - random)/(f(greedy) - random), 0 random, 1 greedy over all rows. Facility location is
taken of a sample of 10,000 rows; greedy over all rows serves each through its 512 nearest. One thread.
"""

import argparse
import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import milo_data
import numpy as np

from syllabus.selectors import (
    FacilityLocation,
    GraphCut,
    Selection,
    SparseFacilityLocation,
    bound,
    kmeans,
    maximize,
    rand_greedi,
)

PARTS, DRAWS, NEAREST, SAMPLE = 10, 5, 512, 10_000
MEMORY = 8 * 2**30
Value = Callable[[np.ndarray], float]


def glosses(folder: Path, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows, 384) unit vectors of glosses in random order, and their lexicographer files."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts: list[str] = []
    files: list[np.ndarray] = []
    for name in ("noun", "verb", "adj", "adv"):
        found, of = milo_data.glosses(folder / f"data.{name}")
        texts += found
        files.append(of)
    counts = TfidfVectorizer(sublinear_tf=True, min_df=3).fit_transform(texts)
    vectors = TruncatedSVD(384, random_state=0).fit_transform(counts).astype(np.float32)
    vectors[np.linalg.norm(vectors, axis=1) < 1e-6, 0] = 1.0  # glosses of rare words only
    drawn = np.random.default_rng(0).permutation(len(vectors))[:rows]
    return milo_data.unit(vectors[drawn]), np.concatenate(files)[drawn]


def served_by(rows: np.ndarray, sample: np.ndarray) -> Value:
    """Return facility location of the rows of a sample, exact to float32."""

    def value(chosen: np.ndarray) -> float:
        best = np.zeros(len(sample), np.float32)
        for first in range(0, len(chosen), 512):
            found = (1 + rows[chosen[first : first + 512]] @ sample.T) / 2
            np.maximum(best, found.max(axis=0), out=best)
        return float(best.sum(dtype=np.float64))

    return value


def line(*cells: object) -> None:
    shown = (f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells)
    print("| " + " | ".join(shown) + " |", flush=True)


class Comparison:
    """Selections of one budget beside greedy's and random ones; a line each."""

    def __init__(self, name: str, n: int, budget: int, value: Value, greedy: Callable[[], Selection]) -> None:
        self.head, self.value = (name, f"{budget / n:.0%}"), value
        rng = np.random.default_rng(1)
        self.random = float(np.mean([value(rng.choice(n, budget, replace=False)) for _ in range(DRAWS)]))
        self.greedy = math.inf
        self.add("greedy over all", "any", greedy)

    def add(self, how: str, order: str, run: Callable[[], Selection], decided: str = "") -> None:
        """Run a selection and print how near it comes to greedy's, the first one."""
        start = time.process_time()
        value = self.value(run().indices)
        if math.isinf(self.greedy):
            self.greedy = value
        gain = (value - self.random) / (self.greedy - self.random)
        line(*self.head, how, order, gain, decided, f"{time.process_time() - start:.1f}")


def runs_of(order: np.ndarray) -> np.ndarray:
    """Return the part of each row where parts are runs of rows in this order."""
    parts = np.empty(len(order), np.int64)
    parts[order] = np.arange(len(order)) * PARTS // len(order)
    return parts


def graph_cut(rows: np.ndarray, by_file: np.ndarray, fraction: float) -> None:
    """Compare random parts, which may differ in all but their size, with runs of like rows, and bounding."""
    n, budget = len(rows), int(fraction * len(rows))
    f, part = GraphCut(rows), max(-(-n // PARTS), budget)
    table = Comparison("graph cut", n, budget, f.value, lambda: maximize(f, budget))

    def parted(order: np.ndarray, rounds: int = 1, **given: np.ndarray) -> Selection:
        found = rand_greedi(lambda own: GraphCut(rows[order[own]]), n, budget, part, 0, 1.0, rounds, **given)
        return replace(found, indices=order[found.indices])

    here = np.arange(n)
    table.add("random parts", "random", lambda: parted(here))
    table.add("random parts, 3 rounds", "random", lambda: parted(here, 3))
    table.add("random parts", "by file", lambda: parted(by_file))
    table.add("runs of rows", "by file", lambda: parted(here, parts=runs_of(by_file)))
    certain, left = bound(f, budget), bound(f, budget, keep="greedy")
    decided = f"{certain.share:.1%}"
    excluded = np.setdiff1d(here, left.undecided)
    table.add(
        f"bounding, greedy over {len(left.undecided):,}",
        "any",
        lambda: maximize(f, budget, exclude=excluded),
        decided,
    )
    if len(left.undecided) > part:
        table.add("bounding, random parts", "random", lambda: parted(here, rows=left.undecided), decided)


def facility_location(rows: np.ndarray, by_file: np.ndarray, fraction: float) -> None:
    """Compare parts whose rows are selected from once, and again over what they keep."""
    n, budget = len(rows), int(fraction * len(rows))
    sample = np.sort(np.random.default_rng(2).choice(n, min(SAMPLE, n), replace=False))
    table = Comparison(
        "facility location", n, budget, served_by(rows, rows[sample]),
        lambda: maximize(SparseFacilityLocation(rows, NEAREST, MEMORY), budget),
    )  # fmt: skip

    def parted(order: np.ndarray, over: float, rounds: int = 1, **given: np.ndarray) -> Selection:
        own = rows[order]
        part = max(-(-n // PARTS), int(over * budget))
        found = rand_greedi(
            lambda chosen: FacilityLocation(own[chosen]), n, budget, part, 0, over, rounds,
            lambda chosen: SparseFacilityLocation(own[chosen], 128, MEMORY, served=own), **given,
        )  # fmt: skip
        return replace(found, indices=order[found.indices])

    here = np.arange(n)
    table.add("random parts, no second greedy", "random", lambda: parted(here, 1.0))
    table.add("random parts keep 6 ×", "random", lambda: parted(here, 6.0))
    table.add("random parts keep 6 ×, 2 rounds", "random", lambda: parted(here, 6.0, 2))
    table.add("random parts keep 6 ×", "by file", lambda: parted(by_file, 6.0))
    table.add("runs of rows keep 6 ×", "by file", lambda: parted(here, 6.0, parts=runs_of(by_file)))
    centroids = kmeans.fit(rows[:: max(1, n // 20_000)], PARTS, seed=0)
    cells = kmeans.assign(rows, centroids).astype(np.int64)
    table.add("k-means parts keep 3 ×", "any", lambda: parted(here, 3.0, parts=cells))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--wordnet", type=Path, default=Path("/usr/share/wordnet"), help="folder of data.noun, …"
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.01, 0.1])
    parser.add_argument("--only", choices=["graph_cut", "facility_location"])
    parser.add_argument("--quick", action="store_true", help="10,000 rows")
    options = parser.parse_args()
    rows, files = glosses(options.wordnet, 10_000 if options.quick else options.rows)
    by_file = np.argsort(files, kind="stable")
    print(f"{len(rows):,} × {rows.shape[1]}, {PARTS} parts\n")
    line("function", "budget", "how", "order of rows", "gain", "decided", "CPU s")
    line(*["---"] * 7)
    if options.only != "facility_location":
        for fraction in (*options.fractions, 0.3):
            graph_cut(rows, by_file, fraction)
    if options.only != "graph_cut":
        for fraction in options.fractions:
            facility_location(rows, by_file, fraction)


if __name__ == "__main__":
    main()
