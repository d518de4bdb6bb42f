"""Time of the selectors beside the float32 matrix product that does the same number of multiplications.

(Not called selectors.py: beside other scripts that name would shadow Python's own module.)

    python benchmarks/selection.py             # all rows, about four minutes on one thread
    python benchmarks/selection.py --quick     # the small ones

One thread; everything compiled before; the median of three (one, above 5 s). `ratio` is ours over the product
(k x d)(d x n), measured just before. Selection includes the checks of the vectors and the similarities.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

# Read by BLAS when numpy is imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np
from peers import PeakMemory, resident

from syllabus.selectors import (
    DisparityMin,
    DisparitySum,
    FacilityLocation,
    FeatureBased,
    GraphCut,
    explore,
    herding,
    kmeans,
    maximize,
)

WIDTH = 384


def vectors(n: int, clusters: int = 0) -> np.ndarray:
    """Return (n, 384) unit rows: normal, or around `clusters` centres with noise of norm 0.5."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((n, WIDTH)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    if clusters:
        centres = rng.standard_normal((clusters, WIDTH)).astype(np.float32)
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
        rows = centres[rng.integers(0, clusters, n)] + 0.5 * rows
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32)


def seconds(call: Callable[[], object]) -> float:
    times = []
    while len(times) < 3:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
        if times[0] > 5:
            break
    return statistics.median(times)


def product(rows: np.ndarray, k: int) -> float:
    """Return the time of the (k x d)(d x n) product, in pieces of 1,024 rows."""
    piece = min(k, 1024)
    return seconds(lambda: rows[:piece] @ rows.T) * k / piece


def line(name: str, n: int, k: int, ours: float, base: float, base_name: str = "product") -> None:
    print(f"{name:44} {n:7,} {k:7,} {ours:9.3f} {base_name:>10} {base:8.3f} {ours / base:7.2f}", flush=True)


def selection(name: str, rows: np.ndarray, k: int, call: Callable[[], object]) -> None:
    base = product(rows, k)
    line(name, len(rows), k, seconds(call), base)


def twenty_thousand(kind: str, clusters: int) -> None:
    rows = vectors(16_384, clusters)
    ranked = DisparityMin(rows)
    selection(f"disparity-min, all ranked, {kind}", rows, 16_384, lambda: maximize(ranked, 16_384, "naive"))
    rows = vectors(20_000, clusters)
    selection(f"graph cut, lazy, {kind}", rows, 2000, lambda: maximize(GraphCut(rows), 2000))
    selection(f"disparity-min, {kind}", rows, 2000, lambda: maximize(DisparityMin(rows), 2000, "naive"))
    base = product(rows, len(rows))
    ours = seconds(lambda: maximize(FacilityLocation(rows), 2000))
    line(f"facility location, lazy, {kind}", 20_000, 2000, ours, base, "n x n")


def fifty_thousand() -> None:
    clustered = vectors(50_000, 50)
    selection("graph cut, lazy, clustered", clustered, 5000, lambda: maximize(GraphCut(clustered), 5000))
    selection(
        "disparity-min, clustered", clustered, 5000, lambda: maximize(DisparityMin(clustered), 5000, "naive")
    )
    rows = vectors(50_000)
    out = np.empty(50_000, np.float32)
    a_pass = seconds(lambda: np.matmul(rows, rows[0], out=out))
    ours = seconds(lambda: maximize(GraphCut(rows), 5000))
    line("graph cut, lazy, isotropic (worst case)", 50_000, 5000, ours, 5000 * a_pass, "gemv/pick")
    selection("disparity-min, isotropic", rows, 5000, lambda: maximize(DisparityMin(rows), 5000, "naive"))


GROWING = {
    "graph cut, lazy": lambda rows: maximize(GraphCut(rows), 500),
    "disparity-min": lambda rows: maximize(DisparityMin(rows), 500, "naive"),
    "disparity-sum, lazy": lambda rows: maximize(DisparitySum(rows), 500),
    "feature-based, lazy": lambda rows: maximize(FeatureBased(np.abs(rows, out=rows)), 500),
    "facility location, lazy": lambda rows: maximize(FacilityLocation(rows), 500),
}


def growth(name: str) -> None:
    """Print time and memory above the vectors as n doubles at k = 500; isotropic vectors."""
    last: tuple[float, float] | None = None
    for n in (5000, 10_000, 20_000) if "facility" in name else (25_000, 50_000, 100_000):
        rows = vectors(n)
        before = resident()
        with PeakMemory() as peak:
            ours = seconds(lambda rows=rows: GROWING[name](rows))
        used = (peak.largest - before) / 1e6
        times = f"{ours / last[0]:6.2f} {used / last[1]:7.2f}" if last else ""
        above = 100 * used * 1e6 / rows.nbytes
        print(f"{name:26} {n:8,} {ours:9.3f} {used:9.0f} {above:8.0f}% {times}", flush=True)
        last = ours, used


def growths() -> None:
    heads = f"{'seconds':>9} {'MB above':>9} {'of them':>9} {'x time':>6} {'x memory':>7}"
    print(f"\n{'k = 500':26} {'n':>8} {heads}")
    for name in GROWING:
        # A process each: memory that was used before would not show again.
        subprocess.run([sys.executable, __file__, "--growth", name], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="only what takes less than a few seconds")
    parser.add_argument("--growth", choices=GROWING, help="only this line of the growth table")
    options = parser.parse_args()
    quick = options.quick
    warm = vectors(700)
    if options.growth:
        GROWING[options.growth](warm)
        growth(options.growth)
        return
    for call in (
        lambda: maximize(GraphCut(warm), 70),
        lambda: explore(GraphCut(warm), 70, 2, seed=0),
        lambda: maximize(FacilityLocation(warm), 70),
        lambda: maximize(FacilityLocation(warm, memory_budget=4 * 700 * 200), 70),
        lambda: maximize(DisparityMin(warm), 700, "naive"),
        lambda: herding.discrepancy(warm, herding.balance(warm)),
        lambda: kmeans.fit(warm, 5, seed=0),
    ):
        call()
    print(f"{'case':44} {'n':>7} {'k':>7} {'seconds':>9} {'against':>10} {'seconds':>8} {'ratio':>7}")

    rows = vectors(5000)
    selection("graph cut, lazy", rows, 500, lambda: maximize(GraphCut(rows), 500))
    selection("facility location, lazy", rows, 500, lambda: maximize(FacilityLocation(rows), 500))
    selection("disparity-min", rows, 500, lambda: maximize(DisparityMin(rows), 500, "naive"))
    selection("disparity-min, all ranked", rows, 5000, lambda: maximize(DisparityMin(rows), 5000, "naive"))
    few = vectors(3000)
    selection("graph cut, 16 stochastic subsets", few, 300, lambda: explore(GraphCut(few), 300, 16, seed=0))

    rows = vectors(200_000 if not quick else 50_000)
    passes = 2 * seconds(lambda: rows @ rows[0])
    mean = herding.balance(rows, passes=1)
    once = seconds(lambda: herding.balance(rows, passes=1))
    five = seconds(lambda: herding.balance(rows, passes=5))
    line("balancing, one more pass", len(rows), len(rows), (five - once) / 4, passes, "2 gemv")
    line("balancing, checks + mean + 5 passes", len(rows), len(rows), five, passes, "2 gemv")
    line(
        "discrepancy",
        len(rows),
        len(rows),
        seconds(lambda: herding.discrepancy(rows, mean)),
        passes,
        "2 gemv",
    )

    if not quick:
        twenty_thousand("clustered", 50)
        twenty_thousand("isotropic", 0)
        fifty_thousand()
        growths()
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
