"""What random damage does: to work directories, manifests, checkpoints, states, and by kills and full disks.

    python benchmarks/damage.py                           every kind, 500 tries each
    python benchmarks/damage.py work state --tries 50     some kinds, fewer tries
    python benchmarks/damage.py manifest --seed 7 --only 31     one try again, with what was said

Each kind is a module beside this file, `damage_<kind>.py`, with a class `Damage(folder)`: it makes what is
to be damaged once, and `attempt(random)` damages a copy, uses it as a user would and judges what came of it.
Tries run in a process of their own, so that a crash or a hang is counted, not suffered. A try is
`found` (one line said what is wrong), `mended` (said and made again, with the bytes of an undamaged run),
`harmless` (the damage changes nothing: the same bytes or rows), `silent` (other results and no word),
`traceback`, `crash` (the process died) or `hang`. The last four are failures, and the exit status tells.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

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


def serve(module: str, name: str, folder: str, seed: int, numbers: Connection) -> None:
    """Run the tries whose numbers come, in this process."""
    damage = getattr(importlib.import_module(module), name)(Path(folder))
    numbers.send(None)
    while True:
        number = numbers.recv()
        try:
            attempt = damage.attempt(np.random.default_rng([seed, number]))
        except Exception:
            attempt = Attempt("", "traceback", traceback.format_exc())
        numbers.send(attempt)


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

    def attempt(self, number: int) -> Attempt:
        """Run one try."""
        self._numbers.send(number)
        try:
            if self._numbers.poll(self._seconds):
                return self._numbers.recv()
            outcome = Attempt("", "hang", f"no answer in {self._seconds:g} s")
        except EOFError:
            self._process.join()
            outcome = Attempt("", "crash", f"exit status {self._process.exitcode}")
        self.close()
        self._start()
        return outcome

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()


def run(kind: str, numbers: range, seed: int, seconds: float, loud: bool) -> Counter[str]:
    """Run the tries of one kind and print what failed."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix=f"damage-{kind}-") as folder:
        server = Server(f"damage_{kind}", "Damage", folder, seed, seconds)
        try:
            for number in numbers:
                attempt = server.attempt(number)
                counts[attempt.outcome] += 1
                if loud or attempt.outcome in FAILURES:
                    print(f"{kind} {number}: {attempt.outcome}: {attempt.damage}\n{attempt.said}", flush=True)
        finally:
            server.close()
    return counts


def main() -> None:
    """Run the kinds asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], help=", ".join(KINDS))
    parser.add_argument("--tries", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=120, help="after which a try hangs")
    parser.add_argument("--only", type=int, help="the number of one try, told in full")
    arguments = parser.parse_args()
    one = arguments.only is not None
    numbers = range(arguments.only, arguments.only + 1) if one else range(arguments.tries)
    rows = {}
    for kind in arguments.kinds or KINDS:
        started = time.perf_counter()
        counts = run(kind, numbers, arguments.seed, arguments.seconds, loud=one)
        rows[kind] = [
            *(str(counts[outcome]) for outcome in OUTCOMES),
            f"{time.perf_counter() - started:.0f} s",
        ]
    print(" ".join(f"{name:>10}" for name in ("kind", *OUTCOMES, "time")))
    for kind, cells in rows.items():
        print(" ".join(f"{cell:>10}" for cell in (kind, *cells)))
    failed = sum(int(cells[OUTCOMES.index(name)]) for cells in rows.values() for name in FAILURES)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
