"""The selectors beside submodlib and apricot, each in a process of its own, one thread.

    python benchmarks/peers.py              # n=5,000 and 20,000; about half an hour, most of it the peers'
    python benchmarks/peers.py --quick      # n=5,000 only; about three minutes
    python benchmarks/peers.py --sizes 7000 --dimension 768 --functions 'facility location'

Isotropic unit rows of 384 float32. Ours includes the checks and the similarities; the peers are given the
float64 kernel (1 + cos)/2, whose time is not theirs. Median of three (one, above 5 s). `peak` is the memory
of the process above what it held before it made its data. `same` is how many of the k ids agree, in order:
peers break ties to the largest index, so ours is given the rows reversed. A peer that is not installed is
left out; one not done after --patience seconds, kernel and imports among them, is stopped.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np

CASES = {
    "facility location": ("ours lazy", "apricot two-stage", "apricot lazy", "submodlib LazyGreedy"),
    "graph cut": ("ours lazy", "apricot naive", "submodlib LazyGreedy"),
    "disparity-min": ("ours naive", "submodlib NaiveGreedy"),
}


def vectors(n: int, dimension: int) -> np.ndarray:
    rows = np.random.default_rng(0).standard_normal((n, dimension)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def ours(function: str, optimizer: str, rows: np.ndarray) -> Callable[[int], tuple[np.ndarray, float]]:
    from syllabus.selectors import DisparityMin, FacilityLocation, GraphCut, maximize

    kind = {"facility location": FacilityLocation, "graph cut": GraphCut, "disparity-min": DisparityMin}

    def select(k: int) -> tuple[np.ndarray, float]:
        selection = maximize(kind[function](rows), k, optimizer)
        return selection.indices, selection.objective

    return select


def submodlib(function: str, optimizer: str, kernel: np.ndarray) -> Callable[[int], tuple[np.ndarray, float]]:
    from submodlib import DisparityMinFunction, FacilityLocationFunction, GraphCutFunction

    n = len(kernel)

    def select(k: int) -> tuple[np.ndarray, float]:
        if function == "facility location":
            f = FacilityLocationFunction(n=n, mode="dense", sijs=kernel, separate_rep=False)
        elif function == "graph cut":
            f = GraphCutFunction(n=n, mode="dense", lambdaVal=0.4, ggsijs=kernel, separate_rep=False)
        else:
            f = DisparityMinFunction(n=n, mode="dense", sijs=kernel)
        picked = f.maximize(budget=k, optimizer=optimizer, show_progress=False)
        return np.array([index for index, _ in picked]), float(sum(gain for _, gain in picked))

    return select


def apricot(function: str, optimizer: str, kernel: np.ndarray) -> Callable[[int], tuple[np.ndarray, float]]:
    from apricot import FacilityLocationSelection, GraphCutSelection

    def select(k: int) -> tuple[np.ndarray, float]:
        if function == "facility location":
            model = FacilityLocationSelection(k, metric="precomputed", optimizer=optimizer)
        else:
            model = GraphCutSelection(k, metric="precomputed", alpha=2.5, optimizer=optimizer)
        model.fit(kernel)
        # apricot's graph cut is 1/λ times ours.
        return model.ranking, float(model.gains.sum()) * (0.4 if function == "graph cut" else 1.0)

    return select


def selector(function: str, method: str, n: int, dimension: int) -> Callable[[int], tuple[np.ndarray, float]]:
    library, optimizer = method.split(" ", 1)
    rows = vectors(n, dimension)
    if library == "ours":
        return ours(function, optimizer, rows[::-1].copy())
    kernel = rows.astype(np.float64) @ rows.astype(np.float64).T
    kernel += 1
    kernel /= 2
    return (submodlib if library == "submodlib" else apricot)(function, optimizer, kernel)


def measure(function: str, method: str, n: int, k: int, dimension: int) -> dict[str, Any]:
    """Return what one method takes; runs in a process of its own."""
    selector(function, method, 300, dimension)(30)  # imports, compilation
    before = resident()
    select = selector(function, method, n, dimension)
    times: list[float] = []
    with PeakMemory() as peak:
        while len(times) < 3 and not (times and times[0] > 5):
            start = time.perf_counter()
            indices, objective = select(k)
            times.append(time.perf_counter() - start)
    ids = n - 1 - indices if method.startswith("ours") else indices
    return {
        "seconds": statistics.median(times),
        "megabytes": (peak.largest - before) / 1e6,
        "objective": objective,
        "ids": ids.tolist(),
    }


def resident() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize()


class PeakMemory:
    """The largest resident size while it is entered, looked at every 5 ms."""

    def __enter__(self) -> "PeakMemory":
        self.largest, self.done = resident(), threading.Event()
        self.watcher = threading.Thread(target=self._watch)
        self.watcher.start()
        return self

    def _watch(self) -> None:
        while not self.done.wait(0.005):
            self.largest = max(self.largest, resident())

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.watcher.join()


def in_a_process(
    function: str, method: str, n: int, k: int, dimension: int, patience: float
) -> dict[str, Any] | None:
    """Return the measurement, None where the library is missing, or the patience as the least time."""
    command = [sys.executable, __file__, "--one", json.dumps([function, method, n, k, dimension])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience, check=False)
    except subprocess.TimeoutExpired:
        return {"seconds": patience, "unfinished": True}
    if done.returncode:
        print(f"  {method}: left out ({done.stderr.strip().splitlines()[-1][:80]})")
        return None
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="n=5,000 only")
    parser.add_argument("--patience", type=float, default=900, help="seconds after which a peer is given up")
    parser.add_argument("--sizes", type=int, nargs="*", default=[5000, 20_000])
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--functions", nargs="*", default=list(CASES))
    parser.add_argument("--methods", nargs="*", help="only these, such as 'ours lazy'")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*json.loads(options.one))))
        return
    print(
        f"{'':38} {'n':>7} {'k':>6} {'seconds':>9} {'ratio':>7} {'peak MB':>8} {'objective':>14} {'same':>6}"
    )
    for n in options.sizes[:1] if options.quick else options.sizes:
        for function in options.functions:
            base: dict[str, Any] = {}
            for method in CASES[function]:
                if options.methods and method not in options.methods:
                    continue
                found = in_a_process(function, method, n, n // 10, options.dimension, options.patience)
                if found is None:
                    continue
                base = base or found
                ratio = found["seconds"] / base["seconds"]
                line = (
                    f"{function + ', ' + method:38} {n:7,} {n // 10:6,} {found['seconds']:9.3f} {ratio:7.1f}"
                )
                if "unfinished" in found:
                    print(line, " not finished", flush=True)
                    continue
                same = sum(a == b for a, b in zip(found["ids"], base["ids"], strict=True))
                print(f"{line} {found['megabytes']:8.0f} {found['objective']:14.6g} {same:6,}", flush=True)


if __name__ == "__main__":
    main()
