"""Random input of every kind: sources, options, manifests and states, seeded and bounded in time.

    python benchmarks/fuzz.py                              every target, a minute together
    python benchmarks/fuzz.py sources options --seconds 600 --seed 7
    python benchmarks/fuzz.py sources --seed 7 --only 31   one try again, with what was said
    python benchmarks/fuzz.py sources --seed 7 --only 31 --keep found     and its files, for tests/corpus

Each target is a module beside this file, `fuzz_<target>.py`, with a class `Fuzz(folder)` whose
`attempt(random)` makes something valid, changes its structure or its bytes, and uses it as a user would.
A try is `accepted` (done, with the values that an independent reading finds) or `refused` (one line). What
is not: `silent` (other values, or a row that is missing without a reject), `traceback` (any exception, or
exit status, that is not meant for the user), `memory` (more than 1 GB beside what was there), `crash` or
`hang`. The exit status tells whether there were any.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from damage import Attempt, Server

FAILURES = ("silent", "traceback", "memory", "crash", "hang")
OUTCOMES = ("accepted", "refused", *FAILURES)
TARGETS = sorted(path.stem.removeprefix("fuzz_") for path in Path(__file__).parent.glob("fuzz_*.py"))
SECONDS = 180.0
"""After which a try hangs."""
MOST_BYTES = 1 << 30


@contextlib.contextmanager
def bounded_memory():
    """Raise MemoryError after a block that had far more memory than there was before."""
    status, before = Path("/proc/self/status"), 0
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = _peak(status)
    yield
    with contextlib.suppress(OSError):
        if before and _peak(status) - before > MOST_BYTES:
            raise MemoryError(f"{(_peak(status) - before) / 1e6:,.0f} MB")


def _peak(status: Path) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def mutated(content: bytes, random: np.random.Generator, most: int = 8) -> bytes:
    """Return bytes with a few of them changed, left out, repeated, or replaced by what is special."""
    special = [
        b"\0",
        b"\xff",
        b'"',
        b"'",
        b",",
        b"\n",
        b"\r",
        b"{",
        b"[",
        b"\\ud800",
        b"1e999",
        b"\xef\xbb\xbf",
    ]
    special += [
        b"9" * 25,
        b"-1",
        b"null",
        b"NaN",
        b"\\u0000",
        b"\xed\xa0\x80",
        b"[" * 3000,
        b"\x1a",
        b" " * 300,
    ]
    made = bytearray(content)
    for _ in range(int(random.integers(1, most + 1))):
        if not made:
            break
        at = int(random.integers(len(made)))
        length = int(random.integers(1, 1 + min(len(made), 64)))
        kind = random.integers(5)
        if kind == 0:
            made[at] = int(random.integers(256))
        elif kind == 1:
            del made[at : at + length]
        elif kind == 2:
            made[at:at] = made[at : at + length] * int(random.integers(1, 4))
        elif kind == 3:
            made[at : at + int(random.integers(0, 3))] = special[random.integers(len(special))]
        elif random.random() < 0.3:
            del made[at:]
    return bytes(made)


def run(target: str, arguments: argparse.Namespace, seconds: float) -> Counter[str]:
    """Run tries of one target until the time is over, and print what failed."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{target}-") as folder:
        server = Server(f"fuzz_{target}", "Fuzz", folder, arguments.seed, SECONDS)
        end, number = time.monotonic() + seconds, 0 if arguments.only is None else arguments.only
        try:
            while time.monotonic() < end and (arguments.tries is None or number < arguments.tries):
                attempt, _ = server.attempt(number)
                if attempt.outcome == "traceback" and attempt.said.rstrip().split("\n")[-1].startswith(
                    "MemoryError"
                ):
                    attempt = Attempt(attempt.damage, "memory", attempt.said)
                counts[attempt.outcome] += 1
                if arguments.only is not None or attempt.outcome in FAILURES:
                    again = f"python benchmarks/fuzz.py {target} --seed {arguments.seed} --only {number}"
                    print(f"{again}: {attempt.outcome}: {attempt.damage}\n{attempt.said}", flush=True)
                if arguments.only is not None:
                    break
                number += 1
        finally:
            server.close()
        if arguments.keep is not None:
            Path(folder).rename(arguments.keep)
            Path(folder).mkdir()
    return counts


def main() -> None:
    """Run the targets asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=60, help="of all targets together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tries", type=int, help="of each target at most")
    parser.add_argument("--only", type=int, help="the number of one try, told in full")
    parser.add_argument("--keep", type=Path, help="where the files of the last try are left")
    arguments = parser.parse_args()
    targets = arguments.targets or TARGETS
    print(f"seed {arguments.seed}, {arguments.seconds:g} s")
    rows = {target: run(target, arguments, arguments.seconds / len(targets)) for target in targets}
    print(" ".join(f"{name:>10}" for name in ("target", "tries", *OUTCOMES)))
    for target, counts in rows.items():
        cells = (target, counts.total(), *(counts[outcome] for outcome in OUTCOMES))
        print(" ".join(f"{cell:>10}" for cell in cells))
    sys.exit(any(counts[name] for counts in rows.values() for name in FAILURES))


if __name__ == "__main__":
    main()
