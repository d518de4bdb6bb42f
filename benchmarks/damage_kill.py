"""Kills at random moments of a job, of one that overwrites a manifest, and of the exchange of the two.

Whatever the moment, there is no manifest, the old one or the new one, whole; the rerun gives the bytes of a
run that was never disturbed, and leaves nothing beside them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from damage import Attempt
from rich.console import Console

from syllabus.manifests import (
    Manifest,
    ManifestError,
    ManifestWriter,
    repair_target,
    replacement,
    schema,
    validate,
)
from syllabus.pipeline import Options, job, prepare

ROWS, FRACTION = 200, 0.1
CALLS = {"open", "os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.scandir"}
"""Of the system, as Python tells them."""
IMPORTED = job
"""Here, once for all children."""


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a directory."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Damage:
    """A small job, run in children of this process that are killed.

    Children are forked, which is quick, and safe as long as this process has one thread: whatever reads or
    writes Parquet does so in a child.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._source = folder / "rows.parquet"
        in_child(self._write_source)
        self._seconds = {}
        for name, seed, overwrite in (("m0", 0, False), ("m1", 1, False), ("m1", 1, True)):
            if not overwrite:
                shutil.rmtree(folder / name, ignore_errors=True)
                shutil.rmtree(folder / f"{name}.work", ignore_errors=True)
            started = time.perf_counter()
            status = wait(self._start(folder / name, seed, overwrite))
            if status:
                raise RuntimeError(f"the undisturbed job ended with {status}")
            self._seconds["overwrite" if overwrite else "prepare"] = time.perf_counter() - started
        self._expected = [contents(folder / name) for name in ("m0", "m1")]

    def _write_source(self) -> tuple[str, str]:
        random = np.random.default_rng(0)
        vectors = random.standard_normal((ROWS, 8)).astype(np.float32)
        table = pa.table({"vector": list(vectors), "label": random.integers(0, 3, ROWS)})
        pq.write_table(table, self._source)
        return "", ""

    def _run(self, output: Path, seed: int, overwrite: bool) -> None:
        named = {"source": str(self._source), "embedding": "vector", "label": "label", "output": str(output)}
        options = {"subsets": 1, "importance": ("radius",), "fraction": (FRACTION,), "seed": seed}
        prepare(Options(**named, **options, neighbours=0, overwrite=overwrite), Console(quiet=True))

    def _commit(self, output: Path) -> None:
        """Write the second manifest as the job's last stage does, without the others."""
        manifest = Manifest.open(self._folder / "m1")
        about = manifest.description
        tables = [schema.examples_of(about), schema.SUBSETS, schema.REJECTS]
        tables += [schema.importance(name) for name in manifest.importances]
        tables += [schema.order(name) for name in manifest.orders]
        tables += [schema.sketches(about["sketches"]["dimension"])]
        own = ("format", "format_version", "document_sha256", "files")
        with ManifestWriter(output, overwrite=True) as writer:
            for table in tables:
                writer.table(table).write(manifest.table(table))
            writer.commit({key: value for key, value in about.items() if key not in own})

    def _start(self, output: Path, seed: int, overwrite: bool, calls: int = 0, way: str = "") -> int:
        """Run a job in a child; with `calls`, kill it at the call of that number once the commit begins."""
        child = os.fork()
        if child:
            return child
        try:
            sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
            if calls:
                kill_in_the_commit(calls, way)
                self._commit(output)
            else:
                self._run(output, seed, overwrite)
        except BaseException:
            os._exit(1)
        os._exit(0)

    def attempt(self, random: np.random.Generator) -> Attempt:
        """Kill a job, look at what is there, and run it again."""
        way = str(random.choice(["prepare", "overwrite", "exchange", "renames"], p=[0.1, 0.1, 0.4, 0.4]))
        work = self._folder / "try"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        output, overwrite = work / "m", way != "prepare"
        if overwrite:
            shutil.copytree(self._folder / "m0", output)
            shutil.copytree(self._folder / "m1.work", work / "m.work")
        if way in ("exchange", "renames"):
            calls = int(random.integers(1, 150))
            child = self._start(output, 1, overwrite, calls, way)
            done = f"{way}: killed at call {calls} of the commit"
        else:
            child = self._start(output, 1, overwrite)
            seconds = float(random.uniform(0, self._seconds[way]))
            time.sleep(seconds)
            os.kill(child, signal.SIGKILL)
            done = f"{way}: killed after {seconds:.3f} s"
        status = wait(child)
        if status not in (0, -signal.SIGKILL, 9):
            return Attempt(done, "traceback", f"exit status {status}")
        return Attempt(f"{done}, exit status {status}", *in_child(self._judge, way, output))

    def _judge(self, way: str, output: Path) -> tuple[str, str]:
        there = contents(output) if output.exists() else {}
        said = ""
        if "manifest.json" in there:
            if there not in self._expected or validate(output).problems:
                return "silent", f"a manifest that is neither of the two: {sorted(there)}"
        else:
            try:
                Manifest.open(output)
            except ManifestError as error:
                said = str(error)
            if way != "prepare":
                if way != "renames" or "between two renames" not in said:
                    return "silent", f"the old manifest is gone: {said}"
                repair_target(output)
                if contents(output) != self._expected[1]:
                    return "silent", "what was repaired is not the new manifest"
        which = "old" if there == self._expected[0] else "new" if there == self._expected[1] else "none"
        if way in ("prepare", "overwrite"):
            self._run(output, 1, overwrite=True)
        else:
            self._commit(output)
        left = [path.name for path in output.parent.iterdir() if path.name not in ("m", "m.work")]
        if contents(output) != self._expected[1] or left:
            return "silent", f"the rerun differs; beside it {left}"
        return ("harmless" if which == "new" else "mended"), f"{which} was there; {said}"


def wait(child: int) -> int:
    """Return the exit status of a child process."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_child(function: Callable[..., tuple[str, str]], *arguments: Any) -> tuple[str, str]:
    """Call a function in a child process; return its result, or ("traceback", what it raised)."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child:
        os.close(sender)
        with os.fdopen(receiver) as file:
            answer = file.read()
        os.waitpid(child, 0)
        outcome, said = json.loads(answer) if answer else ("crash", "no answer")
        return outcome, said
    try:
        result = function(*arguments)
    except BaseException:
        result = ("traceback", traceback.format_exc())
    os.write(sender, json.dumps(result).encode())
    os._exit(0)


def kill_in_the_commit(calls: int, way: str) -> None:
    """End this process, without a word, at a call of the system after the manifest's writer was entered."""
    if way == "renames":
        replacement._exchange = lambda *_: False  # type: ignore[assignment]
    enter, left = ManifestWriter.__enter__, [calls]

    def hook(event: str, _: object) -> None:
        if event in CALLS:
            left[0] -= 1
            if left[0] <= 0:
                os._exit(9)

    def entered(self: ManifestWriter) -> ManifestWriter:
        sys.addaudithook(hook)
        return enter(self)

    ManifestWriter.__enter__ = entered  # type: ignore[method-assign]
