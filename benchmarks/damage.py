"""What random damage does: to work directories, manifests, checkpoints, states, and by kills and full disks.

    python benchmarks/damage.py                           every kind, 500 tries each
    python benchmarks/damage.py work state --tries 50     some kinds, fewer tries
    python benchmarks/damage.py manifest --seed 7 --only 31     one try again, with what was said
    python benchmarks/damage.py kill --results kill.csv         go on where an interrupted run ended

Each kind is a module beside this file, `damage_<kind>.py`, with a class `Damage(folder)`: it makes what is
to be damaged once, and `attempt(random)` damages a copy, uses it as a user would and judges what came of it.
Tries run in a process of their own, so that a crash or a hang is counted, not suffered. A try is
`found` (one line said what is wrong), `mended` (said and made again, with the bytes of an undamaged run),
`harmless` (the damage changes nothing: the same bytes or rows), `silent` (other results and no word),
`traceback`, `crash` (the process died) or `hang`. The last four are failures, and the exit status tells.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import multiprocessing
import os
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np

FAILURES = ("silent", "traceback", "crash", "hang")
OUTCOMES = ("found", "mended", "harmless", *FAILURES)
KINDS = sorted(path.stem.removeprefix("damage_") for path in Path(__file__).parent.glob("damage_*.py"))


@dataclass(frozen=True)
class Attempt:
    """One try: what was damaged, how it ended (one of `OUTCOMES`), and what was said."""

    damage: str
    outcome: str
    said: str = ""


class Row(NamedTuple):
    """A try that was run: of a kind, under a seed, what was done, how it ended, and what it took."""

    kind: str
    seed: int
    number: int
    damage: str
    outcome: str
    cpu: float


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended, in seconds."""
    return sum(os.times()[:4])


def serve(module: str, name: str, folder: str, seed: int, numbers: Connection) -> None:
    """Run the tries whose numbers come, in this process."""
    # Arrow's allocator would begin a thread when it is imported, and some kinds fork.
    os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    damage = getattr(importlib.import_module(module), name)(Path(folder))
    numbers.send(None)
    while True:
        number, before = numbers.recv(), cpu_seconds()
        try:
            attempt = damage.attempt(np.random.default_rng([seed, number]))
        except Exception:
            attempt = Attempt("", "traceback", traceback.format_exc())
        numbers.send((attempt, cpu_seconds() - before))


class Server:
    """A process that runs tries, begun again when one kills it or does not end."""

    def __init__(self, module: str, name: str, folder: str, seed: int, seconds: float) -> None:
        self._arguments = (module, name, folder, seed)
        self._seconds = seconds
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._numbers, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(*self._arguments, theirs), daemon=False)
        self._process.start()
        theirs.close()
        self._numbers.recv()

    def attempt(self, number: int) -> tuple[Attempt, float]:
        """Run one try; return how it ended and its CPU seconds, 0 if they are not known."""
        self._numbers.send(number)
        try:
            if self._numbers.poll(self._seconds):
                attempt, cpu = self._numbers.recv()
                return attempt, cpu
            outcome = Attempt("", "hang", f"no answer in {self._seconds:g} s")
        except EOFError:
            self._process.join()
            outcome = Attempt("", "crash", f"exit status {self._process.exitcode}")
        self.close()
        self._start()
        return outcome, 0.0

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()


class Results:
    """What came of tries, in a file if one is named: those in it are not run again."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.rows: list[Row] = []
        if path is not None and path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                self.rows = [
                    Row(
                        row["kind"],
                        int(row["seed"]),
                        int(row["number"]),
                        row["damage"],
                        row["outcome"],
                        float(row["cpu"]),
                    )
                    for row in csv.DictReader(file)
                ]

    def add(self, row: Row) -> None:
        """Note a try."""
        self.rows.append(row)
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([row] if file.tell() else [Row._fields, row])


def run(kind: str, numbers: Sequence[int], seed: int, seconds: float, loud: bool, results: Results) -> None:
    """Run the tries of one kind and print what failed."""
    if not numbers:
        return
    with tempfile.TemporaryDirectory(prefix=f"damage-{kind}-") as folder:
        server = Server(f"damage_{kind}", "Damage", folder, seed, seconds)
        try:
            for number in numbers:
                attempt, cpu = server.attempt(number)
                results.add(Row(kind, seed, number, attempt.damage, attempt.outcome, round(cpu, 2)))
                if loud or attempt.outcome in FAILURES:
                    print(f"{kind} {number}: {attempt.outcome}: {attempt.damage}\n{attempt.said}", flush=True)
        finally:
            server.close()


def main() -> None:
    """Run the kinds asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], help=", ".join(KINDS))
    parser.add_argument("--tries", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=120, help="after which a try hangs")
    parser.add_argument("--only", type=int, help="the number of one try, told in full")
    parser.add_argument(
        "--results", type=Path, help="a CSV file of tries, added to; those in it are not run again"
    )
    arguments = parser.parse_args()
    seed, one = arguments.seed, arguments.only is not None
    numbers = range(arguments.only, arguments.only + 1) if one else range(arguments.tries)
    results = Results(arguments.results)
    failed = False
    for kind in arguments.kinds or KINDS:
        done = {row.number for row in results.rows if (row.kind, row.seed) == (kind, seed)}
        run(
            kind, [each for each in numbers if one or each not in done], seed, arguments.seconds, one, results
        )
    print(f"seed {seed}\n" + " ".join(f"{name:>10}" for name in ("kind", *OUTCOMES, "CPU s")))
    for kind in arguments.kinds or KINDS:
        rows = [row for row in results.rows if (row.kind, row.seed) == (kind, seed) and row.number in numbers]
        counts = Counter(row.outcome for row in rows)
        cells = [kind, *(counts[outcome] for outcome in OUTCOMES), round(sum(row.cpu for row in rows))]
        print(" ".join(f"{cell:>10}" for cell in cells))
        failed |= any(counts[outcome] for outcome in FAILURES)
    sys.exit(failed)


if __name__ == "__main__":
    main()
