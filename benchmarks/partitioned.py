"""Greedy in parts beside greedy over all rows: normalised gain, rows decided by bounding, CPU seconds.

    python benchmarks/partitioned.py                    # 100,000 glosses of WordNet, 10 parts
    python benchmarks/partitioned.py --data fashion     # 70,000 images of Fashion-MNIST
    python benchmarks/partitioned.py --quick            # 10,000 rows, about a minute

One class: all rows, in random order and sorted by label. Glosses are TF-IDF reduced to 384 components (LSA),
their label is the lexicographer file; images are pixels reduced to 64 components. `gain` is (f(S) - random) /
(f(greedy) - random), 0 random, 1 greedy over all rows. Facility location is taken of a sample of 10,000 rows;
greedy over all rows and the second greedy serve 20,000 other rows, each through its 64 nearest, at 1% greedy
through its 400. One thread.
"""

import argparse
import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

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
    random_parts,
)

PARTS, DRAWS, SAMPLE, SERVED = 10, 5, 10_000, 100_000
UNION = 0.6  # of the rows, that the parts may keep together for a second greedy
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


def images(folder: Path, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows, 64) unit vectors of images in random order, and their classes."""
    from sklearn.decomposition import TruncatedSVD

    names = ("train", 60_000), ("t10k", 10_000)
    pixels = np.concatenate(
        [milo_data.idx(folder / f"{name}-images-idx3-ubyte.gz", count) for name, count in names]
    )
    classes = np.concatenate(
        [milo_data.idx(folder / f"{name}-labels-idx1-ubyte.gz", count) for name, count in names]
    )
    drawn = np.random.default_rng(0).permutation(len(pixels))[:rows]
    flat = milo_data.unit(pixels[drawn].reshape(len(drawn), -1))
    return milo_data.unit(TruncatedSVD(64, random_state=0).fit_transform(flat)), classes[drawn]


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


def graph_cut(rows: np.ndarray, by_label: np.ndarray, fraction: float) -> None:
    """Compare random parts, once and in rounds, of all rows and of those that bounding leaves."""
    n, budget = len(rows), int(fraction * len(rows))
    f, part, here = GraphCut(rows), max(-(-n // PARTS), budget), np.arange(n)
    table = Comparison("graph cut", n, budget, f.value, lambda: maximize(f, budget))
    certain, left = bound(f, budget), bound(f, budget, keep="greedy").undecided
    decided = f"{certain.share:.1%}"

    def parted(
        order: np.ndarray, rounds: int = 1, among: np.ndarray = here, parts: np.ndarray | None = None
    ) -> Selection:
        """Select from the rows `among`, which lie as in `order`, in random parts unless some are given."""
        order = order[np.isin(order, among)]
        parts = random_parts(len(order), PARTS, 0) if parts is None else parts
        found = rand_greedi(
            lambda own: GraphCut(rows[order[own]]), len(order), budget, part, 0, 1.0, rounds, parts=parts
        )
        return replace(found, indices=order[found.indices])

    def resembling(among: np.ndarray) -> Selection:
        """Select from the rows `among` in random parts that resemble all rows instead of their own."""
        share, total = len(rows) / len(among), rows.sum(axis=0, dtype=np.float64)

        def of_part(own: np.ndarray) -> GraphCut:
            own = among[own]
            return GraphCut(rows[own], whole=(total * share * len(own) / n, share * len(own)))

        found = rand_greedi(
            of_part, len(among), budget, part, 0, 1.0, parts=random_parts(len(among), PARTS, 0)
        )
        return replace(found, indices=among[found.indices])

    for name, order in (("random", here), ("by label", by_label)):
        for rounds in (1, 3):
            table.add(f"random parts, rounds: {rounds}", name, lambda: parted(order, rounds))  # noqa: B023
            if len(left) > budget:
                how = f"bounding, then parts of {len(left):,} rows, rounds: {rounds}"
                table.add(how, name, lambda: parted(order, rounds, left), decided)  # noqa: B023
    table.add("runs of rows", "by label", lambda: parted(here, parts=runs_of(by_label)))
    for name, among in (("", here), (f"bounding, then parts of {len(left):,} rows, ", left)):
        if len(left) > budget or among is here:
            table.add(f"{name}each resembling all", "random", lambda: resembling(among), decided)  # noqa: B023
    excluded = np.setdiff1d(here, left)
    how = f"bounding, then greedy over {len(left):,} rows"
    table.add(how, "any", lambda: maximize(f, budget, exclude=excluded), decided)


def facility_location(rows: np.ndarray, by_label: np.ndarray, fraction: float) -> None:
    """Compare parts whose rows are selected from once, and again over what they keep."""
    n, budget = len(rows), int(fraction * len(rows))
    nearest = min(512, max(64, -(-4 * n // budget)))
    drawn = np.random.default_rng(2).permutation(n)
    sample, served = drawn[: min(SAMPLE, n)], rows[np.sort(drawn[-min(SERVED, n) :])]
    table = Comparison(
        "facility location", n, budget, served_by(rows, rows[sample]),
        lambda: maximize(SparseFacilityLocation(rows, nearest, MEMORY, served=served, floor=True), budget),
    )  # fmt: skip
    over = min(6.0, UNION / fraction)

    def parted(order: np.ndarray, over: float, rounds: int = 1, **given: Any) -> Selection:
        own = rows[order]
        given = given or {"parts": random_parts(n, PARTS, 0)}
        found = rand_greedi(
            lambda chosen: FacilityLocation(own[chosen]), n, budget, int(n * max(UNION, fraction)), 0, over,
            rounds, lambda chosen: SparseFacilityLocation(own[chosen], 64, MEMORY, served=served, floor=True),
            **given,
        )  # fmt: skip
        return replace(found, indices=order[found.indices])

    here = np.arange(n)
    table.add("random parts, no second greedy", "random", lambda: parted(here, 1.0))
    for name, order in (("random", here), ("by label", by_label)):
        for rounds in (1, 2):
            how = f"random parts keep {over:.3g} ×, rounds: {rounds}"
            table.add(how, name, lambda: parted(order, over, rounds))  # noqa: B023
    runs = runs_of(by_label)
    for share in ("size", "gain"):
        how = f"runs of rows keep {over:.3g} × by {share}"
        table.add(how, "by label", lambda: parted(here, over, parts=runs, share=share))  # noqa: B023
    centroids = kmeans.fit(rows[:: max(1, n // 20_000)], PARTS, seed=0)
    cells = kmeans.assign(rows, centroids).astype(np.int64)
    for share in ("size", "gain"):
        how = f"k-means parts keep half as much by {share}"
        table.add(how, "any", lambda: parted(here, max(1.0, over / 2), parts=cells, share=share))  # noqa: B023


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--wordnet", type=Path, default=Path("/usr/share/wordnet"), help="folder of data.noun, …"
    )
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--data", choices=["glosses", "fashion"], default="glosses")
    parser.add_argument("--rows", type=int, default=100_000, help="at most")
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.01, 0.1, 0.3])
    parser.add_argument("--only", choices=["graph_cut", "facility_location"])
    parser.add_argument("--quick", action="store_true", help="10,000 rows")
    options = parser.parse_args()
    count = 10_000 if options.quick else options.rows
    read = glosses(options.wordnet, count) if options.data == "glosses" else images(options.fashion, count)
    rows, labels = read
    by_label = np.argsort(labels, kind="stable")
    print(f"{len(rows):,} × {rows.shape[1]}, {PARTS} parts\n")
    line("function", "budget", "how", "order of rows", "gain", "decided", "CPU s")
    line(*["---"] * 7)
    for fraction in options.fractions:
        if options.only != "facility_location":
            graph_cut(rows, by_label, fraction)
        if options.only != "graph_cut":
            facility_location(rows, by_label, fraction)


if __name__ == "__main__":
    main()
