"""Time of the selectors beside the float32 matrix product that does the same number of multiplications.

(Not called selectors.py: beside other scripts that name would shadow Python's own module.)

    python benchmarks/selection.py                   # all, about six minutes on one thread
    python benchmarks/selection.py --only fifty      # one part: small, orders, twenty, fifty, growth

One thread; everything compiled before; the median of three. `ratio` is ours over the product (k x d)(d x n),
measured just before. Selection includes the checks of the vectors and the similarities.
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


def small() -> None:
    rows = vectors(5000)
    selection("graph cut, lazy", rows, 500, lambda: maximize(GraphCut(rows), 500))
    selection("facility location, lazy", rows, 500, lambda: maximize(FacilityLocation(rows), 500))
    selection("disparity-min", rows, 500, lambda: maximize(DisparityMin(rows), 500, "naive"))
    selection("disparity-min, all ranked", rows, 5000, lambda: maximize(DisparityMin(rows), 5000, "naive"))
    few = vectors(3000)
    selection("graph cut, 16 stochastic subsets", few, 300, lambda: explore(GraphCut(few), 300, 16, seed=0))


def orders() -> None:
    rows = vectors(200_000)
    n = len(rows)
    passes = 2 * seconds(lambda: rows @ rows[0])
    mean = herding.balance(rows, passes=1)
    once = seconds(lambda: herding.balance(rows, passes=1))
    five = seconds(lambda: herding.balance(rows, passes=5))
    line("balancing, one more pass", n, n, (five - once) / 4, passes, "2 gemv")
    line("balancing, checks + mean + 5 passes", n, n, five, passes, "2 gemv")
    line("discrepancy", n, n, seconds(lambda: herding.discrepancy(rows, mean)), passes, "2 gemv")


def twenty_thousand() -> None:
    for kind, clusters in (("clustered", 50), ("isotropic", 0)):
        _twenty_thousand(kind, clusters)


def _twenty_thousand(kind: str, clusters: int) -> None:
    rows = vectors(20_000, clusters)
    base = product(rows, len(rows))
    ranked = DisparityMin(rows)
    ours = seconds(lambda: maximize(ranked, 20_000, "naive"))
    line(f"disparity-min, all ranked, {kind}", 20_000, 20_000, ours, base, "n x n")
    selection(f"graph cut, lazy, {kind}", rows, 2000, lambda: maximize(GraphCut(rows), 2000))
    selection(f"disparity-min, {kind}", rows, 2000, lambda: maximize(DisparityMin(rows), 2000, "naive"))
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
    """Print time, memory above the vectors and growth of both, the vectors included; isotropic vectors."""
    last: tuple[float, float] | None = None
    for n in (5000, 10_000, 20_000) if "facility" in name else (25_000, 50_000, 100_000, 200_000):
        rows = vectors(n)
        before = resident()
        with PeakMemory() as peak:
            ours = seconds(lambda rows=rows: GROWING[name](rows))
        used = peak.largest - before
        times = f"{ours / last[0]:6.2f} {(used + rows.nbytes) / last[1]:7.2f}" if last else ""
        share = 100 * used / rows.nbytes
        print(f"{name:26} {n:8,} {ours:9.3f} {used / 1e6:9.0f} {share:8.0f}% {times}", flush=True)
        last = ours, used + rows.nbytes


def growths() -> None:
    heads = f"{'seconds':>9} {'MB above':>9} {'of them':>9} {'x time':>6} {'x memory':>7}"
    print(f"\n{'k = 500':26} {'n':>8} {heads}")
    for name in GROWING:
        # A process each: memory that was used before would not show again.
        subprocess.run([sys.executable, __file__, "--growth", name], check=True)


PARTS = {
    "small": small,
    "orders": orders,
    "twenty": twenty_thousand,
    "fifty": fifty_thousand,
    "growth": growths,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=PARTS, help="only this part")
    parser.add_argument("--growth", choices=GROWING, help="only this line of the growth table")
    options = parser.parse_args()
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
    for name, part in PARTS.items():
        if options.only in (None, name):
            part()
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
