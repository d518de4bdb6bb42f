"""The order server of CD-GraB by itself: parallel discrepancy, bytes and time; called by `cdgrab.py`."""

import statistics
import time

import numpy as np
import torch
from cdgrab_tasks import Orders

from syllabus.selectors.balancing.vectors import DenseVectors, OuterProducts
from syllabus.trainer.ordering.order_server import OrderServer


def parallel(rows: np.ndarray, order: np.ndarray, m: int) -> float:
    """Return max over rounds of the l2 norm of the sum over all workers' rows so far, centred."""
    prefix = np.cumsum((rows - rows.mean(0))[order].reshape(-1, m, rows.shape[1]).sum(1), 0)
    return float(np.linalg.norm(prefix, axis=1).max())


def discrepancies(cycles: int = 10) -> None:
    print(f"unit vectors, default_rng(0), 384 dimensions: parallel discrepancy, l2, after {cycles} cycles")
    names = ("reshuffling", "GraB alone, mean", "GraB alone, pair", "CD-GraB")
    print(f"{'m':>4}{'N':>6}" + "".join(f"{name:>20}" for name in names))
    for m in (1, 2, 4, 8, 16, 32, 64):
        n = 2000 // (2 * m) * 2 * m
        rows = np.random.default_rng(0).standard_normal((2000, 384))[:n]
        rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        found = []
        for name in names:
            runs = []
            for seed in range(3):
                orders = Orders(name, m, np.zeros(n, int), seed)
                for cycle in range(cycles):
                    visited = torch.from_numpy(rows[orders.order])
                    orders.after(cycle, DenseVectors(visited))
                runs.append(parallel(rows, orders.order, m))
            found.append(f"{np.mean(runs):.2f} ± {np.std(runs, ddof=1) / 3**0.5:.2f}")
        print(f"{m:4}{n:6}" + "".join(f"{cell:>20}" for cell in found), flush=True)


def bytes_and_time() -> None:
    """Two rows a worker and step, of the last layer of a CNN (1,568 inputs, 10 outputs) in three forms."""
    rng, inputs, outputs = torch.Generator().manual_seed(0), 1568, 10
    print(
        "bytes that a worker sends for an example, and the server's milliseconds a step, 2 examples a worker"
    )
    print(f"{'features':32}{'bytes':>10}" + "".join(f"{f'm={m}':>10}" for m in (1, 4, 16, 64)))
    for name, width in (
        ("factors, 1,568 x 10", 0),
        ("256 numbers", 256),
        ("512 numbers", 512),
        ("1,024 numbers", 1024),
    ):
        cells = []
        for m in (1, 4, 16, 64):
            rows = 2 * m
            block: DenseVectors | OuterProducts
            if width:
                block, size = DenseVectors(torch.randn(rows, width, generator=rng)), 4 * width
            else:
                factors = torch.randn(rows, outputs, generator=rng), torch.randn(rows, inputs, generator=rng)
                block, size = OuterProducts(*factors, bias=True), 8 * outputs + 4 * inputs
            steps, times = 40, []
            server = OrderServer("pair", steps * rows)
            for step in range(steps):
                groups = np.arange(2)[None] * m + np.arange(m)[:, None] + step * rows
                begun = time.perf_counter()
                server.step(block, groups.ravel(), [2] * m)
                times.append(time.perf_counter() - begun)
            cells.append(1000 * statistics.median(times[5:]))
        print(f"{name:32}{size:10,}" + "".join(f"{cell:10.3f}" for cell in cells))
