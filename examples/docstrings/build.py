"""Build a real text data set from what is installed: first paragraphs of docstrings, class = library.

    python examples/docstrings/build.py

Writes data/train.parquet and data/test.parquet beside this file (columns id, text, library, module). Source
files are parsed, never imported. The same installed versions give the same rows. Training and test data
come from different modules, and no text occurs twice: inherited and copied docstrings are left out.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.util
import sys
import sysconfig
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from syllabus.manifests import allocate

LIBRARIES = tuple("apache_beam networkx numpy pandas pyarrow scipy sklearn sympy torch transformers".split())
STANDARD = "python"  # the class of the standard library
TRAIN_ROWS, TEST_ROWS = 6_500, 2_000
TEST_SHARE = 0.25  # of the modules
WORDS = range(5, 65)  # longer paragraphs are cut, shorter ones say too little
DATA = Path(__file__).parent / "data"
LEFT_OUT = {
    "tests",
    "test",
    "site-packages",
    "dist-packages",
    "externals",
    "_vendor",
    "vendored",
    "idlelib",
    "lib2to3",
}


class Row(NamedTuple):
    """One docstring."""

    id: str
    text: str
    library: str
    module: str


def main() -> None:
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    started, rows = time.perf_counter(), []
    libraries = [*LIBRARIES, STANDARD]
    for done, library in enumerate(libraries, start=1):
        # Half as many again as the share of a class: some are copies of what another library says.
        rows += collect(library, wanted=int(1.5 * (TRAIN_ROWS + TEST_ROWS) / len(libraries)))
        report(f"read {done} of {len(libraries)} libraries, {len(rows):,} docstrings")
    rows = without_copies(rows)
    DATA.mkdir(exist_ok=True)
    counts = []
    for name, size in (("train", TRAIN_ROWS), ("test", TEST_ROWS)):
        chosen = balanced([row for row in rows if is_test(row.module) == (name == "test")], size)
        pq.write_table(pa.Table.from_pylist([row._asdict() for row in chosen]), DATA / f"{name}.parquet")
        counts.append(f"{len(chosen):,} {name}")
    classes = len({row.library for row in rows})
    seconds = time.perf_counter() - started
    report(f"{DATA}: {' and '.join(counts)} rows of {classes} libraries in {seconds:.1f} s", end="\n")


def collect(library: str, wanted: int) -> list[Row]:
    """Return at least `wanted` docstrings, if there are so many, from modules in a pseudo-random order."""
    root = root_of(library)
    if root is None:
        return []
    rows: list[Row] = []
    paths = [path for path in sorted(root.rglob("*.py")) if not LEFT_OUT & set(path.relative_to(root).parts)]
    for path in sorted(paths, key=lambda path: key(path.relative_to(root).as_posix())):
        if len(rows) >= wanted:
            break
        parts = path.relative_to(root).with_suffix("").parts
        module = ".".join((library, *(part for part in parts if part != "__init__")))
        rows += [Row(f"{module}:{name}", text, library, module) for name, text in docstrings(path)]
    return rows


def root_of(library: str) -> Path | None:
    """Return the folder of a library's source files without importing it; None where it is not installed."""
    if library == STANDARD:
        return Path(sysconfig.get_paths()["stdlib"])
    spec = importlib.util.find_spec(library)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (qualified name, first paragraph) of the documented definitions in a source file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's escapes
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            return  # a template, or of another version of Python
    waiting: list[tuple[str, ast.AST]] = [("", tree)]
    while waiting:
        name, node = waiting.pop()
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            paragraph = (ast.get_docstring(node) or "").split("\n\n")[0].split()
            if len(paragraph) >= WORDS.start:
                yield name, " ".join(paragraph[: WORDS.stop - 1])
            for child in node.body:
                waiting.append((f"{name}.{getattr(child, 'name', '')}".strip("."), child))


def without_copies(rows: list[Row]) -> list[Row]:
    """Keep one of each text and of each id; of texts that several libraries share, none."""
    owners: dict[str, set[str]] = {}
    for row in rows:
        owners.setdefault(row.text.casefold(), set()).add(row.library)
    kept, seen = [], set()
    for row in sorted(rows, key=lambda row: key(row.id)):
        text = row.text.casefold()
        if len(owners[text]) == 1 and text not in seen and row.id not in seen:
            seen |= {text, row.id}
            kept.append(row)
    return kept


def balanced(rows: list[Row], size: int) -> list[Row]:
    """Return `size` rows (or all), from each library equally many as far as it has them, ordered by id."""
    libraries = sorted({row.library for row in rows})
    of = {library: [row for row in rows if row.library == library] for library in libraries}
    shares = allocate(min(size, len(rows)), [len(of[library]) for library in libraries], "equal")
    return sorted(
        row for library, share in zip(libraries, shares, strict=True) for row in of[library][:share]
    )


def is_test(module: str) -> bool:
    return key("split", module) < TEST_SHARE * 2**64


def key(*parts: str) -> int:
    """Return a pseudo-random 64-bit number that depends on nothing but `parts`."""
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:8], "big")


def report(line: str, end: str = "") -> None:
    """Show `line` in place of the one before; in a log only the last line is shown."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end=end, file=sys.stderr, flush=True)
    elif end:
        print(line, end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
