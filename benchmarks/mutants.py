"""Mutants: lines changed so that the program is wrong, and whether a test notices.

    python benchmarks/mutants.py                   # all; a table of killed and survived
    python benchmarks/mutants.py --list            # what there is
    python benchmarks/mutants.py --only budgets    # those whose name holds one of some texts

Lines are those of `mutant_lines.txt`, over the four rooms; `mutant_keys.py` leaves each field out of the keys
of shards, new ones too. A copy of the tree is changed, and the tests named for it run until one fails, in a
process forked from one that has the libraries loaded. Results go to --results; what is there is not
run again. A test that hangs is killed after --timeout seconds of CPU and counts as having noticed.

Fields that others of the same key determine are listed with the reason and not run (`mutant_keys.SAME`).
"""

import argparse
import ast
import csv
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# Read when the libraries are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import mutant_keys

ROOT = Path(__file__).parents[1]
PLAN, KEYS, RERUNS = (
    "tests/pipeline/stages/test_plan.py",
    "tests/pipeline/stages/test_keys_of_work.py",
    "tests/jobs/test_reruns.py",
)
OF_FIELDS = {
    "census.py": {"plan": "source"},
    "guide.py": {"vectors": "query"},
    "transform.py": {"plan": "clusters", "threads": "clusters"},
    "regroup": {
        "'labels'": "class", "'vocabulary'": "tags", "'buckets'": "bucket_size", "'fitted'": "preprocess",
        "units": "source", "duplicates": "duplicate", "layout": "bucket_size",
        "planned.embed_key": "embedding", "planned.rows_key": "weight", "planned.first_index": "shifts",
    },
    "select": {
        "groups": "source", "bucket": KEYS, "**inputs": "objective", "inputs['guide']": "query",
        "'guide'": "query", "partition": KEYS, "inputs['united']": KEYS, "*sorted(self.united)": KEYS,
        "inputs['memory_per_worker']": KEYS, "inputs['weight_power']": "weight_power",
        "read['trade_off']": "trade_off", "**read": KEYS, "'function'": KEYS,
    },
    "order": {
        "groups": "source", "part": KEYS, "fraction": KEYS, "subset": KEYS, "subsets": "objective",
        "'capacity'": "memory", "**self._read(self.rows)": "passes_or_seed", "**self._read(size)": "passes",
    },
    "inverted_lists.py": {
        "coarse": "lists", "first": KEYS, "probes": KEYS, "lists": KEYS, "**self._of_block(block)": KEYS,
    },
    "coarse_quantizer.py": {"threads": "lists"},
    "holdout.py": {"tested": "beside", "first": "holdout"},
    "all_pairs.py": {"pairs": "parts"},
    "cover.py": {"thresholds": "threshold", "members": "label"},
    "vectors.py": {
        "embedding.mean": "preprocess", "embedding.components": "preprocess", "*keys": "source",
        "census.places": "label", "*fitted": "preprocess", "vectors": "source", "threshold": "threshold",
        "**part": "parts",
    },
}  # fmt: skip
"""By a part of the path of the file that a key is made in, and by the field: tests of `KEYS` and `RERUNS`.

A field that has the name of an option is tried by the pairs of that option.
"""
RESULT = ("mutant", "outcome", "seconds")
KILLED, SURVIVED, HUNG, STALE, SAME = "killed", "survived", "hung", "stale", "the same"


NO_TESTS = 5
"""What pytest returns where it finds none."""


class Mutant(NamedTuple):
    """A file with one thing changed."""

    name: str
    file: str
    text: str | None
    """What the file holds then; None where the line is not there."""
    tests: str
    same: str | None = None
    """Why nothing could notice."""


def lines() -> Iterator[tuple[str, str, str, str]]:
    """Yield (file, code before, code after, tests) of the lines chosen by hand."""
    tests = file = before = ""
    for line in Path(__file__).with_name("mutant_lines.txt").read_text(encoding="utf-8").splitlines():
        sign, rest = line[:2], line[2:]
        if sign == "? ":
            tests = rest
        elif sign == "@ ":
            file = rest
        elif sign == "- ":
            before = rest
        elif sign == "+ " or line == "+":
            yield file, before, rest, tests


def mutants() -> Iterator[Mutant]:
    """Yield the lines chosen by hand, then the fields of all keys."""
    for file, before, after, tests in lines():
        held = (ROOT / file).read_text(encoding="utf-8")
        name = f"{file}: {' '.join(before.split())} → {' '.join(after.split()) or 'nothing'}"
        once = held.count(before) == 1
        yield Mutant(name, file, held.replace(before, after) if once else None, tests)
    seen: Counter[str] = Counter()
    for file, _, field, before, after, same in mutant_keys.fields(ROOT):
        name = f"{file}: key without {field}"
        seen[name] += 1
        numbered = name if seen[name] == 1 else f"{name} ({seen[name]})"
        ast.parse(after)
        assert after != before
        yield Mutant(numbered, file, after, _tests_of(file, field), same)


def _tests_of(file: str, field: str) -> str:
    """The tests that notice when a field is left out of the keys that are made in a file."""
    parts = file.split("/")
    if parts[-1] == "plan.py":
        return PLAN
    named = next(fields for part, fields in OF_FIELDS.items() if part in parts)
    tests = named.get(field, field.strip("'"))
    # The keys alone first: that takes no job.
    return tests if tests == KEYS else f"{KEYS} {RERUNS} -k {tests}"


def run(mutant: Mutant, tree: Path, timeout: float) -> str:
    """Run the tests of a mutant in a copy of the tree; return what came of it."""
    target = tree / mutant.file
    kept = target.read_bytes()
    assert mutant.text is not None
    target.write_text(mutant.text, encoding="utf-8")
    if "@compiled" in mutant.text:
        # Compiled callers elsewhere hold what they call.
        for cached in tree.rglob("*.nb[ic]"):
            cached.unlink()
    try:
        return waited(started(mutant.tests, tree), timeout)
    finally:
        target.write_bytes(kept)


def started(tests: str, tree: Path) -> int:
    """Fork a process that runs tests in the tree; return its id."""
    if child := os.fork():
        return child
    # Whatever comes, the child goes no further than this.
    code = 70
    try:
        code = _tested(tests, tree)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _tested(tests: str, tree: Path) -> int:
    """Run tests in the tree, in a session of their own, and return the exit code of pytest."""
    os.setsid()
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    if "MUTANTS_SHOWN" not in os.environ:
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    import pytest

    if not any((tree / part).exists() for part in tests.split()):
        return NO_TESTS
    given: list[str] = []
    for part in tests.split():
        expression = part.replace("_or_", " or ") if given[-1:] == ["-k"] else part
        if not part.startswith("tests/") or (tree / part).exists():
            given.append(expression)
    # Hypothesis needs no plugin, whose import takes a second.
    without = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    return int(pytest.main(["-x", "-q", "-n", "0", *without, f"--basetemp={tree.parent}/tests", *given]))


def waited(child: int, timeout: float) -> str:
    """Return the outcome by the exit code of a run of pytest, killed after so many seconds of its CPU.

    A busy machine makes tests longer by the clock; one that waits in vain is given ten times as long.
    """
    until, cpu = time.monotonic() + 10 * timeout, ~child << 3 | 2  # the clock of another process
    while time.monotonic() < until and time.clock_gettime(cpu) < timeout:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            # 1: a test failed, 2: the tests could not be imported. All else is a fault of the run itself.
            return {0: SURVIVED, 1: KILLED, 2: KILLED}.get(code, f"ended with {code}")
        time.sleep(0.1)
    os.killpg(child, 9)
    os.waitpid(child, 0)
    return HUNG


def load_libraries() -> None:
    """Import what every run of the tests would import anew; nothing of the tree, no plugins of pytest."""
    import apache_beam
    import faiss
    import numba
    import pandas
    import pyarrow.parquet
    import pytest
    import torch

    assert all((apache_beam, faiss, numba, pandas, pyarrow, pytest, torch))
    assert not any(name.partition(".")[0] == "syllabus" for name in sys.modules)


def table(results: dict[str, str]) -> None:
    """Print how many of each room were noticed, and every one that was not."""
    rooms: dict[str, Counter[str]] = {}
    for name, outcome in results.items():
        room = "keys of shards" if ": key without " in name else name.split("/")[1]
        rooms.setdefault(room, Counter())[outcome] += 1
    print(f"{'':16}{'mutants':>8}{'killed':>8}{'hung':>6}{'survived':>10}{'stale':>7}{'the same':>10}")
    for room, counts in rooms.items():
        run_of = sum(counts.values()) - counts[SAME] - counts[STALE]
        print(
            f"{room:16}{run_of:8}{counts[KILLED]:8}{counts[HUNG]:6}{counts[SURVIVED]:10}{counts[STALE]:7}{counts[SAME]:10}"
        )
    ran = [outcome for outcome in results.values() if outcome not in (SAME, STALE)]
    noticed = sum(outcome in (KILLED, HUNG) for outcome in ran)
    print(f"{noticed} of {len(ran)} noticed: {noticed / max(1, len(ran)):.1%}")
    for name, outcome in results.items():
        if outcome not in (KILLED, HUNG, SAME):
            print(f"  {outcome}: {name}")


def main() -> int:
    """Run what is asked for; return 1 where less than 95% are noticed, or a line is not there."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--only", nargs="+", default=[""], help="parts of names")
    parser.add_argument("--results", type=Path, default=Path("runs/mutants.csv"))
    parser.add_argument("--timeout", type=float, default=120.0)
    parser.add_argument("--share", default="0/1", help="i/m: every m-th, from the i-th")
    given = parser.parse_args()
    first, step = map(int, given.share.split("/"))
    chosen = [mutant for mutant in mutants() if any(each in mutant.name for each in given.only)][first::step]
    if given.list:
        for mutant in chosen:
            note = STALE if mutant.text is None else mutant.same or mutant.tests
            print(f"{mutant.name}\n    {note}")
        return int(any(mutant.text is None for mutant in chosen))
    done: dict[str, str] = {}
    if given.results.exists():
        with given.results.open(newline="", encoding="utf-8") as file:
            done = {row["mutant"]: row["outcome"] for row in csv.DictReader(file)}
    given.results.parent.mkdir(parents=True, exist_ok=True)
    load_libraries()
    results: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place) / "tree"
        skipped = shutil.ignore_patterns(".git", "*.pyc", ".venv", "*_cache", ".hypothesis", "dist", "runs")
        shutil.copytree(ROOT, tree, ignore=skipped)
        for mutant in chosen:
            if mutant.same or mutant.text is None:
                results[mutant.name] = SAME if mutant.same else STALE
                continue
            if mutant.name not in done:
                began = time.monotonic()
                outcome = run(mutant, tree, given.timeout)
                took = round(time.monotonic() - began, 1)
                print(f"{outcome:10}{took:7.1f} s  {mutant.name}", flush=True)
                results[mutant.name] = outcome
                if outcome not in (KILLED, SURVIVED, HUNG):
                    continue  # the run itself failed: once more the next time
                done[mutant.name] = outcome
                with given.results.open("a", newline="", encoding="utf-8") as file:
                    writer = csv.writer(file)
                    row = (mutant.name, outcome, took)
                    writer.writerows([RESULT, row] if not file.tell() else [row])
            results[mutant.name] = done[mutant.name]
    table(results)
    ran = [outcome for outcome in results.values() if outcome not in (SAME, STALE)]
    return int(STALE in results.values() or sum(o in (KILLED, HUNG) for o in ran) < 0.95 * len(ran))


if __name__ == "__main__":
    sys.exit(main())
