"""What CD-GraB adds to a step of DistributedDataParallel, in time and in bytes.

    python benchmarks/cdgrab_ddp.py                      # 2 processes
    python benchmarks/cdgrab_ddp.py --processes 4
    python benchmarks/cdgrab_ddp.py --trace trace.json   # and what rank 0 did in ten steps, for chrome://tracing
    python benchmarks/cdgrab_ddp.py --server             # the order server alone, for 64 workers

A CNN 16-32-64 (105,884 parameters) on random images of 28 × 28, one thread a process, gloo. Every rank makes
some steps of each kind in turn, so that what disturbs the machine disturbs them alike; the ratio is the
median over the turns. "no overlap" waits for the message at once, as if nothing went on meanwhile.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel

from syllabus.manifests import Manifest
from syllabus.selectors.balancing.vectors import DenseVectors, OuterProducts
from syllabus.trainer import Curriculum, GraB, LastLayer, ManifestSampler
from syllabus.trainer.ordering.order_server import OrderServer

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
from small_manifest import write_small_manifest

KINDS = ("plain", "pair", "pair, no overlap", "mean")
N = 20_000


def cnn() -> torch.nn.Sequential:
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for inputs, outputs in ((1, 16), (16, 32)):
        layers += [torch.nn.Conv2d(inputs, outputs, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
    head = [torch.nn.Linear(32 * 49, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)]
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), *head)


class Clock:
    """Seconds that functions took, by name, and those of this thread's processor among them."""

    def __init__(self) -> None:
        self.seconds: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(2))

    def watch(self, owner: Any, name: str, label: str) -> None:
        """Take the time of a method from now on."""
        inner = getattr(owner, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            started = np.array([time.perf_counter(), time.thread_time()])
            with torch.profiler.record_function(label):
                found = inner(*arguments, **named)
            self.seconds[label] += np.array([time.perf_counter(), time.thread_time()]) - started
            return found

        setattr(owner, name, timed)


def steps(kind: str, manifest: str, batch: int, clock: Clock) -> Iterator[int]:
    """Train, a step at a time; yields the bytes that were sent for the order so far."""
    inner, criterion = cnn(), torch.nn.CrossEntropyLoss()
    model = DistributedDataParallel(inner)
    optimizer = torch.optim.SGD(inner.parameters(), 0.01)
    grab = None if kind == "plain" else GraB(kind.split(",")[0])
    sampler = ManifestSampler(Curriculum(Manifest.open(manifest), 1.0, 9, "fresh", seed=0), grab or "shuffle")
    features = LastLayer(inner[-1], criterion)
    if grab is None:
        features.remove()
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(512, 1, 28, 28, generator=generator), torch.arange(512) % 10
    for epoch in range(9):
        sampler.set_epoch(epoch)
        for number, rows in enumerate(torch.tensor(list(sampler)).split(batch)):
            criterion(model(x[rows % 512]), y[rows % 512]).backward()
            if grab is not None:
                grab.step(features())
                if epoch == number == 0:
                    clock.watch(grab._ranks._messages, "start", "send")
                    clock.watch(grab._ranks._messages, "finish", "wait")
                    clock.watch(grab._server, "step", "walk")
                if kind.endswith("no overlap"):
                    grab._ranks.finish(grab._server)
            optimizer.step()
            optimizer.zero_grad()
            yield 0 if grab is None else grab._ranks.sent


def measure(rank: int, world: int, port: int, manifest: str, batch: int, rounds: int, trace: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world
    )
    clocks = {kind: Clock() for kind in KINDS}
    runs = {kind: steps(kind, manifest, batch, clocks[kind]) for kind in KINDS}
    count, wall, cpu = 6, np.zeros((rounds, len(KINDS))), np.zeros((rounds, len(KINDS)))
    sent = dict.fromkeys(KINDS, 0)
    for kind, run in runs.items():  # compiles; the first message makes room for the others
        for _ in range(3):
            sent[kind] = next(run)
        clocks[kind].seconds.clear()
    for turn in range(rounds):
        for place, (kind, run) in enumerate(runs.items()):
            torch.distributed.barrier()
            started, busy = time.perf_counter(), time.process_time()
            for _ in range(count):
                after = next(run)
            wall[turn, place] = (time.perf_counter() - started) / count
            cpu[turn, place] = (time.process_time() - busy) / count
            if turn == 0:
                sent[kind] = (after - sent[kind]) // count
    if trace and rank == 0:
        profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])
        profiler.start()
    if trace:
        for _ in range(10):
            next(runs["pair"])
    if trace and rank == 0:
        profiler.stop()
        profiler.export_chrome_trace(trace)
    if rank == 0:
        gradient = 4 * sum(parameter.numel() for parameter in cnn().parameters())
        print(f"{world} processes, batch {batch} each; gradient {gradient:,} bytes; per step of rank 0")
        heads = f"{'ms':>8}{'ratio':>7}{'CPU ms':>8}{'ratio':>7}{'bytes':>8}"
        print(f"{'':18}{heads}   send, wait, walk: ms (CPU ms)")
        for place, kind in enumerate(KINDS):
            ratios = [np.median(times[:, place] / times[:, 0]) for times in (wall, cpu)]
            parts = [
                1000 * clocks[kind].seconds[name] / (rounds * count) for name in ("send", "wait", "walk")
            ]
            print(
                f"{kind:18}{1000 * np.median(wall[:, place]):8.2f}{ratios[0]:7.3f}"
                f"{1000 * np.median(cpu[:, place]):8.2f}{ratios[1]:7.3f}{sent[kind]:8,}"
                + "".join(f"{part:7.2f} ({busy:.2f})" for part, busy in parts)
            )
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def server(batch: int) -> None:
    """Print what one step of the order server takes for ever more workers."""
    print(f"order server, batch {batch} a worker, CPU milliseconds a step (pairs, median of 20)")
    print(f"{'workers':>8}{'head 64 x 10':>14}{'256 numbers':>13}")
    for workers in (1, 4, 16, 64):
        rows, found = workers * batch, []
        for block in (
            OuterProducts(torch.randn(rows, 10), torch.randn(rows, 64), bias=True),
            DenseVectors(torch.randn(rows, 256)),
        ):
            whole, times = OrderServer("pair", rows * 21), []
            for step in range(21):
                started = time.thread_time()
                whole.step(block, np.arange(step * rows, (step + 1) * rows), [batch] * workers)
                times.append(time.thread_time() - started)
            found.append(1000 * np.median(times[1:]))
        print(f"{workers:8}{found[0]:14.3f}{found[1]:13.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64, help="examples a step on each process")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--trace", default="")
    parser.add_argument("--server", action="store_true")
    arguments = parser.parse_args()
    if arguments.server:
        torch.set_num_threads(1)
        server(arguments.batch)
        return
    with tempfile.TemporaryDirectory(prefix="syllabus-cdgrab-") as folder:
        write_small_manifest(folder, n=N, gap=0, classes=10)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        torch.multiprocessing.spawn(
            measure,
            (arguments.processes, port, folder, arguments.batch, arguments.rounds, arguments.trace),
            nprocs=arguments.processes,
        )


if __name__ == "__main__":
    main()
