"""Kills at random moments of a job, of one that overwrites a manifest, and of the exchange of the two.

Whatever the moment, there is no manifest, the old one or the new one, whole; the rerun gives the bytes of a
run that was never disturbed, and leaves nothing beside them.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from damage import Attempt
from rich.console import Console

from syllabus.manifests import Manifest, ManifestError, repair_target, replacement, validate
from syllabus.pipeline import Options, prepare

ROWS, FRACTION = 200, 0.1
CALLS = {"open", "os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.scandir"}
"""Of the system, as Python tells them."""


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a directory."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Damage:
    """A small job, run in children of this process that are killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        random = np.random.default_rng(0)
        self._source = folder / "rows.parquet"
        vectors = random.standard_normal((ROWS, 8)).astype(np.float32)
        pq.write_table(
            pa.table({"vector": list(vectors), "label": random.integers(0, 3, ROWS)}), self._source
        )
        # Children are forked: no thread may be there yet, so that the jobs run in children from the first.
        self._seconds = {}
        for name, seed, more in (("m0", 0, {}), ("m1", 1, {}), ("m1", 1, {"overwrite": True})):
            if not more:
                shutil.rmtree(folder / name, ignore_errors=True)
                shutil.rmtree(folder / f"{name}.work", ignore_errors=True)
            started = time.perf_counter()
            status = self._wait(self._start(folder / name, seed, **more))
            if status:
                raise RuntimeError(f"the undisturbed job ended with {status}")
            self._seconds["overwrite" if more else "prepare"] = time.perf_counter() - started
        self._expected = [contents(folder / name) for name in ("m0", "m1")]

    def _start(self, output: Path, seed: int, calls: int = 0, way: str = "", **more: Any) -> int:
        """Run a job in a child; with `calls`, kill it at the call of that number once the commit begins."""
        child = os.fork()
        if child:
            return child
        try:
            sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
            os.setpgid(0, 0)
            if calls:
                killed_in_the_commit(calls, way)
            options = {"subsets": 2, "importance": ("radius",), "fraction": (FRACTION,), "seed": seed, **more}
            named = {"source": str(self._source), "embedding": "vector", "label": "label"}
            prepare(Options(**named, output=str(output), **options), Console(quiet=True))
        except BaseException:
            os._exit(1)
        os._exit(0)

    @staticmethod
    def _wait(child: int) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def attempt(self, random: np.random.Generator) -> Attempt:
        """Kill a job, look at what is there, and run it again."""
        way = str(random.choice(["prepare", "overwrite", "exchange", "renames"]))
        work = self._folder / "try"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        output, overwrites = work / "m", way != "prepare"
        if overwrites:
            shutil.copytree(self._folder / "m0", output)
            shutil.copytree(self._folder / "m1.work", work / "m.work")
        if way in ("exchange", "renames"):
            calls = int(random.integers(1, 130))
            child = self._start(output, 1, calls, way, overwrite=True)
            done = f"{way}: killed at call {calls} of the commit"
        else:
            child = self._start(output, 1, overwrite=overwrites)
            seconds = float(random.uniform(0, self._seconds[way]))
            time.sleep(seconds)
            os.kill(child, signal.SIGKILL)
            done = f"{way}: killed after {seconds:.3f} s"
        status = self._wait(child)
        if status not in (0, -signal.SIGKILL, 9):
            return Attempt(done, "traceback", f"exit status {status}")
        return Attempt(f"{done}, exit status {status}", *self._judge(way, output))

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
        which = "none" if not there else "old" if there == self._expected[0] else "new"
        if self._wait(self._start(output, 1, overwrite=True)):
            return "traceback", "the rerun failed"
        left = [path.name for path in output.parent.iterdir() if path.name not in ("m", "m.work")]
        if contents(output) != self._expected[1] or left:
            return "silent", f"the rerun differs; beside it {left}"
        return ("harmless" if which == "new" else "mended"), f"{which} was there; {said}"


def killed_in_the_commit(calls: int, way: str) -> None:
    """End this process, without a word, at a call of the system after the manifest's writer was entered."""
    from syllabus.manifests import ManifestWriter

    if way == "renames":
        replacement._exchange = lambda *_: False
    enter, left = ManifestWriter.__enter__, [calls]

    def entered(self: Any) -> Any:
        def hook(event: str, _: object) -> None:
            if event in CALLS:
                left[0] -= 1
                if left[0] <= 0:
                    os._exit(9)

        sys.addaudithook(hook)
        return enter(self)

    ManifestWriter.__enter__ = entered  # type: ignore[method-assign]
