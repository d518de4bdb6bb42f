"""Kills at random moments of jobs, of jobs that overwrite a manifest, of commits, exports and trainings.

Whatever the moment, there is no manifest, the old one or the new one, whole; the rerun gives the bytes of a
run that was never disturbed, and leaves nothing beside them.

Commands run in forks of this process (`forked_commands`), one try in 25 as a new process, some of those with
two workers. A fork is killed at a random second of its CPU time, a new process at one of the clock.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import damage_checkpoint
import forked_commands as forks
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from damage import Attempt

from syllabus.manifests import (
    Manifest,
    ManifestError,
    ManifestWriter,
    repair_target,
    replacement,
    validate,
)

ROWS, FRACTION = 200, 0.1
JOB = "prepare --source ../rows.parquet --embedding vector --label label --output m --subsets 1".split()
JOB += ["--importance", "radius", "--fraction", str(FRACTION)]
EXPORT = ["export", "m", "--fraction", str(FRACTION), "--output", "ids.csv"]
CALLS = {"open", "os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.scandir"}
"""Of the system, as Python tells them."""
WAYS = {
    "job": 0.22, "overwrite": 0.2, "reuse": 0.12, "exchange": 0.12, "renames": 0.12, "training": 0.14,
    "export": 0.04, "process": 0.04,
}  # fmt: skip
REUSED = ("reuse", "exchange", "renames")
"""Jobs whose shards are all there, so that the commit is most of them."""


def contents(folder: Path) -> dict[str, str]:
    """The digests of every file of a directory."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class Damage:
    """A small job, an export and a training, that are killed and run again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._run = "grab"
        forks.call(self._write_source)
        self._place("rehearsal")
        forks.rehearse(forks.run, JOB, folder / "rehearsal")
        forks.rehearse(self._train, None)
        self._cpu: dict[str, float] = {}
        """Of undisturbed runs, in seconds."""
        for number in (0, 1):
            self._place(f"run{number}")
            self._cpu["job"] = self._timed([*JOB, "--seed", str(number)], f"run{number}")
        self._expected = [forks.call(contents, self._folder / f"run{number}" / "m") for number in (0, 1)]
        self._begin("overwrite", "try")
        self._cpu["overwrite"] = self._timed(self._arguments("overwrite"), "try")
        for way in REUSED:
            self._begin("reuse", "try")
            self._cpu[way] = self._timed(self._arguments(way), "try")
        self._begin("export", "try")
        self._cpu["export"] = self._timed(EXPORT, "try")
        self._rows = (folder / "try" / "ids.csv").read_bytes()
        self._calls = {way: self._counted(way) for way in ("exchange", "renames")}
        before = time.process_time() + sum(os.times()[2:4])
        self._trained = forks.call(self._train, None)
        self._cpu["training"] = time.process_time() + sum(os.times()[2:4]) - before

    def _write_source(self) -> None:
        random = np.random.default_rng(0)
        vectors = random.standard_normal((ROWS, 8)).astype(np.float32)
        table = pa.table({"vector": list(vectors), "label": random.integers(0, 3, ROWS)})
        pq.write_table(table, self._folder / "rows.parquet", row_group_size=50)
        damage_checkpoint.small_manifest(self._folder)

    def _place(self, name: str) -> Path:
        place = self._folder / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        place.with_suffix(".out").unlink(missing_ok=True)
        return place

    def _begin(self, way: str, name: str) -> Path:
        """Make the folder of a try."""
        place = self._place(name)
        if way in ("overwrite", "export", *REUSED):
            shutil.copytree(self._folder / "run0" / "m", place / "m")
        if way == "overwrite":
            shutil.copytree(self._folder / "run0" / "m.work", place / "m.work")
        if way in REUSED:
            shutil.copytree(self._folder / "run1" / "m.work", place / "m.work")
        return place

    def _arguments(self, way: str) -> list[str]:
        if way == "export":
            return EXPORT
        return [*JOB, "--seed", "1", *(["--overwrite"] if way != "job" else [])]

    def _timed(self, arguments: list[str], name: str) -> float:
        """Run a command to its end; return its CPU seconds."""
        before = sum(os.times()[2:4])
        status = forks.wait(forks.start(arguments, self._folder / name))
        if status:
            raise RuntimeError(f"the undisturbed command ended with {status}")
        return sum(os.times()[2:4]) - before

    def _counted(self, way: str) -> int:
        """Return how many calls the commit makes."""
        place, counted = self._begin("reuse", "try"), self._folder / "calls"
        before = lambda: kill_in_the_commit(10**9, way, counted)  # noqa: E731
        forks.wait(forks.start(self._arguments(way), place, before))
        return len(counted.read_bytes())

    def attempt(self, random: np.random.Generator) -> Attempt:
        """Kill a command, look at what is there, and run it again."""
        way = str(random.choice(list(WAYS), p=list(WAYS.values())))
        share = float(random.random())
        if way == "training":
            return self._interrupt_training(share)
        if way == "process":
            workers = int(random.choice([1, 1, 2]))
            way = str(random.choice(["job", "overwrite"]))
            place = self._begin(way, "try")
            status, done = self._kill_process(way, place, share, workers)
        else:
            place = self._begin(way, "try")
            status, done = self._kill_fork(way, place, share)
        said = place.with_suffix(".out").read_text(errors="replace")
        if status not in (0, -signal.SIGKILL) or "Traceback" in said:
            return Attempt(done, "traceback", f"exit status {status}\n{said}")
        before = forks.call(self._look, way, place)
        if before[0] == "silent":
            return Attempt(done, *before)
        # What killed writers left is taken for theirs, and swept, after an hour.
        for path in place.rglob(".*.tmp"):
            os.utime(path, (0, 0))
        again = self._arguments(way)
        again += ["--overwrite"] * ((way == "job" and (place / "m").exists()) or way == "export")
        place.with_suffix(".out").unlink()
        status = forks.wait(forks.start(again, place))
        said = place.with_suffix(".out").read_text(errors="replace")
        if status or "Traceback" in said:
            return Attempt(done, "traceback", f"the rerun ended with {status}\n{said}")
        after = forks.call(self._look_again, way, place)
        return Attempt(done, "silent" if after else before[0], f"{before[1]}; {after}")

    def _kill_fork(self, way: str, place: Path, share: float) -> tuple[int, str]:
        if way in self._calls:
            call = 1 + int(share * self._calls[way])
            child = forks.start(self._arguments(way), place, lambda: kill_in_the_commit(call, way))
            return forks.wait(child), f"{way}: killed at call {call} of {self._calls[way]} of the commit"
        seconds = share * self._cpu[way]
        child = forks.start(self._arguments(way), place)
        status = forks.kill_after(child, seconds, cpu=True)
        return status, f"{way}: killed after {seconds:.3f} of {self._cpu[way]:.3f} s of CPU"

    def _kill_process(self, way: str, place: Path, share: float, workers: int) -> tuple[int, str]:
        """Kill a command that is a process of its own; how long it takes is measured first."""
        command = [sys.executable, "-m", "syllabus.pipeline", *self._arguments(way)]
        command += ["--workers", str(workers)] if workers > 1 else []
        with place.with_suffix(".out").open("wb") as file:
            options: dict[str, Any] = {"cwd": place, "stdout": file, "stderr": file, "process_group": 0}
            began = time.perf_counter()
            if f"{way}{workers}" not in self._cpu:
                subprocess.run(command, **options, check=True)
                self._cpu[f"{way}{workers}"] = time.perf_counter() - began
                self._begin(way, "try")
                return self._kill_process(way, place, share, workers)
            process = subprocess.Popen(command, **options)
            seconds = share * self._cpu[f"{way}{workers}"]
            status = forks.kill_after(process.pid, seconds, cpu=False)
        process.returncode = status
        return status, f"process: {way}, {workers} workers: killed after {seconds:.3f} s"

    def _look(self, way: str, place: Path) -> tuple[str, str]:
        """Judge what a kill has left."""
        output, said = place / "m", ""
        there = contents(output) if output.exists() else {}
        if "manifest.json" in there:
            if there not in self._expected or validate(output).problems:
                return "silent", f"a manifest that is neither of the two: {sorted(there)}"
        else:
            try:
                Manifest.open(output)
            except ManifestError as error:
                said = str(error)
            if way != "job":
                if way != "renames" or "between two renames" not in said:
                    return "silent", f"the old manifest is gone: {said}"
                repair_target(output)
                if contents(output) != self._expected[1]:
                    return "silent", "what was repaired is not the new manifest"
        if way == "export":
            whole = not (place / "ids.csv").exists() or (place / "ids.csv").read_bytes() == self._rows
            return ("mended", "") if whole else ("silent", "a file that is not whole")
        which = "old" if there == self._expected[0] else "new" if there == self._expected[1] else "none"
        return ("harmless" if which == "new" else "mended"), f"{which} was there; {said}"

    def _look_again(self, way: str, place: Path) -> str:
        """Judge what the rerun has made; return nothing where it is right."""
        left = sorted(path.name for path in place.iterdir())
        temporary = [str(path) for path in place.rglob("*") if ".tmp" in path.name]
        if way == "export":
            right = (place / "ids.csv").read_bytes() == self._rows and left == ["ids.csv", "m"]
        else:
            right = contents(place / "m") == self._expected[1] and left == ["m", "m.work"]
        return "" if right and not temporary else f"the rerun: right {right}, beside {left}, {temporary}"

    def _train(self, checkpoint: str | None) -> Any:
        manifest = Manifest.open(self._folder / "manifest")
        path = None if checkpoint is None else Path(checkpoint)
        figures, model, _ = damage_checkpoint.train(manifest, self._run, path)
        values = b"".join(value.numpy().tobytes() for value in model.state_dict().values())
        return json.loads(json.dumps([figures, hashlib.sha256(values).hexdigest()]))

    def _interrupt_training(self, share: float) -> Attempt:
        """Kill a training two times, then let it end."""
        place = self._place("try")
        seconds = share * self._cpu["training"]
        for part in (seconds, seconds / 2):
            child = os.fork()
            if not child:
                status = 70
                try:
                    os.setpgid(0, 0)
                    self._train(str(place / "run.pt"))
                    status = 0
                finally:
                    os._exit(status)
            status = forks.kill_after(child, part, cpu=True)
            if status not in (0, -signal.SIGKILL):
                return Attempt("training", "traceback", f"exit status {status}")
        there = (place / "run.pt").exists()
        done = f"training: killed after {seconds:.3f} and half that of {self._cpu['training']:.3f} s of CPU"
        if forks.call(self._train, str(place / "run.pt")) != self._trained:
            return Attempt(done, "silent", "other losses or parameters")
        left = sorted(path.name for path in place.iterdir())
        if left not in (["run.pt"], []):
            return Attempt(done, "silent", f"left behind: {left}")
        return Attempt(done, "mended", f"checkpoint: {there}")


def kill_in_the_commit(calls: int, way: str, counted: Path | None = None) -> None:
    """Kill this process at a call of the system after the manifest's writer was entered; or count them."""
    if way == "renames":
        replacement._exchange = lambda *_: False
    enter, left = ManifestWriter.__enter__, [calls]
    file = os.open(counted, os.O_WRONLY | os.O_CREAT) if counted is not None else None

    def hook(event: str, _: object) -> None:
        if event in CALLS:
            left[0] -= 1
            if file is not None:
                os.write(file, b".")
            if left[0] <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def entered(self: ManifestWriter) -> ManifestWriter:
        sys.addaudithook(hook)
        return enter(self)

    ManifestWriter.__enter__ = entered  # type: ignore[method-assign]
