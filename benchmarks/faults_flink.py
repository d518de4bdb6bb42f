"""Kills on a Flink cluster, at random moments: of workers, of TaskManagers, of the process that submits.

Parts of `faults.py`. The cluster is that of the tests: a JobManager and two TaskManagers with PROCESS workers
on the loopback address. A job that loses a worker or a TaskManager has to end well by itself; one whose
submitting process is killed is submitted again, while Flink may still be at work on the first. Each job has
up to three kills, one of each kind, in any order.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

from engines import WORKER, FlinkCluster

FILES, ROWS = 6, 600
VICTIMS = ("worker", "TaskManager", "submitting process")
JOB_SECONDS = 1_800.0
ENCODER_SECONDS = "0.2"
"""That the encoder sleeps before each batch: embedding takes some time, too."""
HANGS = -99
"""The exit status of a job that does not end."""


@dataclass(frozen=True)
class Disturbed:
    """A job, who was killed in it when how many of its files could be seen, and what came of it."""

    number: int
    kills: list[tuple[str, int]]
    exits: list[int]
    seconds: float
    same: bool
    said: str

    @property
    def well(self) -> bool:
        """Whether the job ended well, with the bytes of an undisturbed one."""
        return self.same and self.exits[-1] == 0


def write_source(folder: Path) -> Path:
    """Write texts of five labels in several Parquet files."""
    random = np.random.default_rng(3)
    folder.mkdir()
    for number in range(FILES):
        labels = random.integers(0, 5, ROWS)
        texts = ["".join(map(chr, 97 + (each + random.integers(0, 12, 40)) % 26)) for each in labels]
        ids = [f"{number}-{row}" for row in range(ROWS)]
        table = pa.table({"key": ids, "text": texts, "kind": [f"kind {each}" for each in labels]})
        pq.write_table(table, folder / f"part-{number}.parquet", row_group_size=200)
    return folder


def visible(place: Path) -> list[Path]:
    """Every file of the manifest and every shard that can be seen."""
    files = [*(place / "m").rglob("*"), *(place / "work").rglob("*")]
    hidden = (".", "run.json", "failure.txt")
    return [path for path in files if path.is_file() and not path.name.startswith(hidden)]


def digests(place: Path) -> dict[str, str]:
    """The sha256 of each of them."""
    return {
        str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest() for path in visible(place)
    }


class Jobs:
    """The same job again and again, each in a directory of its own."""

    def __init__(self, folder: Path, cluster: FlinkCluster) -> None:
        self.folder, self.cluster = folder, cluster
        self.source = write_source(folder / "source")
        self._submit = cluster.job_server()

    def start(self, place: Path, *runner: str) -> subprocess.Popen[bytes]:
        """Start the job, in a process group of its own."""
        command = [str(Path(sysconfig.get_path("scripts")) / "syllabus"), "prepare"]
        command += ["--source", str(self.source), "--output", str(place / "m")]
        command += ["--work-dir", str(place / "work"), "--text", "text", "--label", "kind", "--id", "key"]
        command += ["--encoder", "toy_encoder:factory", "--batch-size", "128", "--bucket-size", "256"]
        # Two pipelines: each costs Flink the start of its workers.
        command += ["--fraction", "0.1", "--subsets", "2", "--neighbours", "0", *runner]
        helpers = str(Path(__file__).parents[1] / "tests" / "helpers")
        path = os.pathsep.join([helpers, *filter(None, [os.environ.get("PYTHONPATH")])])
        with place.with_suffix(".log").open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=place,
                env={**os.environ, "PYTHONPATH": path}, start_new_session=True,
            )  # fmt: skip

    def on_flink(self, place: Path) -> subprocess.Popen[bytes]:
        """Start it on the cluster."""
        environment = {"command": str(WORKER), "env": {"TOY_SECONDS": ENCODER_SECONDS}}
        workers = ["--environment_type=PROCESS", f"--environment_config={json.dumps(environment)}"]
        return self.start(place, *self._submit, "--parallelism=2", *workers)

    def place(self, name: str) -> Path:
        """An empty directory."""
        place = self.folder / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        return place


class Disturbance:
    """A job on the cluster, submitted again as often as its submitting process is killed."""

    def __init__(self, jobs: Jobs, number: int) -> None:
        self.jobs, self.number = jobs, number
        self.place, self.begin = jobs.place(f"job-{number}"), time.monotonic()
        self.kills: list[tuple[str, int]] = []
        self.exits: list[int] = []
        self.started = [jobs.on_flink(self.place)]

    def kill(self, victim: str, files: int, wait: float) -> None:
        """Kill `victim` `wait` seconds after so many files can be seen, if the job lives as long.

        Where no worker is there yet, or any more, the next one.
        """
        job = self.started[-1]
        while job.poll() is None and len(visible(self.place)) < files:
            time.sleep(0.05)
        time.sleep(wait)
        while job.poll() is None:
            found, files = self._pid_of(victim), len(visible(self.place))
            if found is not None:
                with contextlib.suppress(ProcessLookupError):  # it has just ended: the next one
                    os.kill(found, signal.SIGKILL)
                    self.kills.append((victim, files))
                    break
            time.sleep(0.05)
        else:
            return
        if victim == VICTIMS[2]:
            self.exits.append(job.wait())
            self.started.append(self.jobs.on_flink(self.place))

    def end(self, expected: dict[str, str]) -> Disturbed:
        """Wait for the job, and compare what it made."""
        try:
            self.exits.append(self.started[-1].wait(JOB_SECONDS))
        except subprocess.TimeoutExpired:
            self.exits.append(HANGS)
        seconds, same = time.monotonic() - self.begin, digests(self.place) == expected
        return Disturbed(self.number, self.kills, self.exits, seconds, same, said(self.place))

    def stop(self) -> None:
        """Kill what is left of the submitting processes."""
        for process in self.started:
            end(process.pid)

    def _pid_of(self, victim: str) -> int | None:
        if victim == VICTIMS[2]:
            return self.started[-1].pid
        working = [(pid, workers) for pid, workers in self.jobs.cluster.taskmanagers().items() if workers]
        if not working:
            return None
        pid, workers = working[self.number % len(working)]
        return workers[0] if victim == VICTIMS[0] else pid


def disturb(folder: Path, jar: str, done: list[Disturbed], kills: int, seed: int) -> Iterator[Disturbed]:
    """Run the job embedded, and then on Flink until there were so many kills, those of `done` included."""
    (folder / "flink").mkdir()
    cluster = FlinkCluster(jar, folder / "flink")
    try:
        cluster.up()
        jobs = Jobs(folder, cluster)
        place = jobs.place("embedded")
        if status := jobs.start(place).wait(JOB_SECONDS):
            raise RuntimeError(f"the embedded job ended with {status}: {said(place)}")
        expected, count = digests(place), sum(len(job.kills) for job in done)
        number = len(done)
        while count < kills:
            cluster.up()
            random = np.random.default_rng((seed, number))
            job = Disturbance(jobs, number)
            try:
                # The first job is left alone.
                moments = np.sort(random.integers(0, len(expected), len(VICTIMS))) if number else []
                for victim, files in zip(random.permutation(VICTIMS), moments, strict=False):
                    job.kill(str(victim), int(files), float(random.uniform(0, 1)))
                yield (ended := job.end(expected))
            finally:
                job.stop()
            number, count = number + 1, count + len(ended.kills)
    finally:
        cluster.down()


def said(place: Path) -> str:
    """The end of what a job printed."""
    return " / ".join(place.with_suffix(".log").read_text(errors="replace").strip().splitlines()[-3:])


def end(group: int) -> None:
    """Kill a process group, if there is one."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def report(folder: Path, jar: str, kills: int, seed: int, results: Path | None) -> int:
    """Print a line for each job; return how many were lost, or made other bytes.

    Those that the file `results` has are not run again; it gets a line for each other one.
    """
    print("| job | killed, at so many files | exit status | seconds | bytes |")
    print("|---|---|---|---|---|", flush=True)
    done = []
    if results is not None and results.exists():
        done = [Disturbed(**json.loads(line)) for line in results.read_text().splitlines()]
    for job in done:
        show(job)
    for job in disturb(folder, jar, list(done), kills, seed):
        show(job)
        done.append(job)
        if results is not None:
            with results.open("a") as file:
                file.write(json.dumps(asdict(job)) + "\n")
    failures = sum(not job.well for job in done)
    print(f"\n{sum(len(job.kills) for job in done)} kills in {len(done)} jobs, {failures} failures")
    return failures


def show(job: Disturbed) -> None:
    """Print a job's line, and what a job that failed has said."""
    killed = ", ".join(f"{victim} at {files}" for victim, files in job.kills) or "nobody"
    exits = ", ".join("HANGS" if status == HANGS else str(status) for status in job.exits)
    bytes_ = "same" if job.same else "OTHER"
    print(f"| {job.number} | {killed} | {exits} | {job.seconds:.0f} | {bytes_} |", flush=True)
    if not job.well:
        print(job.said, flush=True)
