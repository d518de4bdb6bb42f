"""Kills on a Flink cluster, at random moments: of workers, of TaskManagers, of the process that submits.

Parts of `faults.py`. The cluster is that of the tests: a JobManager and two TaskManagers with PROCESS workers
on the loopback address. A job that loses a worker or a TaskManager has to end well by itself; one whose
submitting process is killed is submitted again, while Flink may still be at work on the first.
"""

from __future__ import annotations

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
JOB_SECONDS, TRIES = 1_200.0, 3
ENCODER_SECONDS = "0.2"
"""That the encoder sleeps before each batch: embedding takes some time, too."""


@dataclass(frozen=True)
class Kill:
    """A try: who was killed when, and what came of it."""

    number: int
    victim: str
    at: float
    shards: int
    exits: list[int]
    seconds: float
    same: bool


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


def digests(place: Path) -> dict[str, str]:
    """The sha256 of every file of the manifest and of every shard that can be seen."""
    files = [*(place / "m").rglob("*"), *(place / "work").rglob("*")]
    return {
        str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.is_file() and not path.name.startswith(".") and path.name not in ("run.json", "failure.txt")
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


def kills(folder: Path, jar: str, numbers: range, seed: int) -> Iterator[Kill]:
    """Run the job undisturbed on the embedded runner and on Flink, and then with a kill each time."""
    (folder / "flink").mkdir()
    cluster = FlinkCluster(jar, folder / "flink")
    try:
        cluster.up()
        jobs = Jobs(folder, cluster)
        place = jobs.place("embedded")
        if status := jobs.start(place).wait(JOB_SECONDS):
            raise RuntimeError(f"the embedded job ended with {status}: {place}.log")
        expected, begin = digests(place), time.monotonic()
        place = jobs.place("undisturbed")
        if status := jobs.on_flink(place).wait(JOB_SECONDS):
            raise RuntimeError(f"the undisturbed job ended with {status}: {place}.log")
        usual = time.monotonic() - begin
        yield Kill(-1, "nobody", 0.0, len(digests(place)), [0], usual, digests(place) == expected)
        for number in numbers:
            random = np.random.default_rng((seed, number))
            victim, moment = VICTIMS[number % len(VICTIMS)], usual * float(random.uniform(0.02, 0.98))
            yield _kill(jobs, number, victim, moment, expected)
    finally:
        cluster.down()


def _kill(jobs: Jobs, number: int, victim: str, moment: float, expected: dict[str, str]) -> Kill:
    jobs.cluster.up()
    place, begin = jobs.place(f"kill-{number}"), time.monotonic()
    job = jobs.on_flink(place)
    groups, exits, at, shards = [job.pid], [], 0.0, 0
    try:
        while not at and job.poll() is None:
            time.sleep(max(0.05, begin + moment - time.monotonic()))
            # Where no worker is there yet, or any more, the next one.
            if (found := _pid_of(jobs.cluster, job, victim)) is not None:
                at, shards = time.monotonic() - begin, len(digests(place))
                os.kill(found, signal.SIGKILL)
        exits.append(job.wait(JOB_SECONDS))
        while exits[-1] and victim == VICTIMS[2] and len(exits) < TRIES:
            again = jobs.on_flink(place)
            groups.append(again.pid)
            exits.append(again.wait(JOB_SECONDS))
    except subprocess.TimeoutExpired:
        exits.append(-1)
    finally:
        for group in groups:
            _end(group)
    return Kill(number, victim, at, shards, exits, time.monotonic() - begin, digests(place) == expected)


def _pid_of(cluster: FlinkCluster, job: subprocess.Popen[bytes], victim: str) -> int | None:
    if victim == VICTIMS[2]:
        return job.pid
    working = {pid: workers for pid, workers in cluster.taskmanagers().items() if workers}
    if not working:
        return None
    pid, workers = next(iter(working.items()))
    return workers[0] if victim == VICTIMS[0] else pid


def _end(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def report(folder: Path, jar: str, numbers: range, seed: int, results: Path | None) -> int:
    """Print a line for each kill; return how many jobs were lost, or made other bytes."""
    print("| # | killed | after | files by then | exit status | whole job | bytes |")
    print("|---|---|---|---|---|---|---|", flush=True)
    failures = 0
    for kill in kills(folder, jar, numbers, seed):
        well = kill.same and kill.exits[-1] == 0
        failures += not well
        exits, found = ", ".join(map(str, kill.exits)), "same" if kill.same else "OTHER"
        cells = (
            kill.number + 1,
            kill.victim,
            f"{kill.at:.0f} s",
            kill.shards,
            exits,
            f"{kill.seconds:.0f} s",
            found,
        )
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)
        if results is not None:
            with results.open("a") as file:
                file.write(json.dumps(asdict(kill)) + "\n")
    print(f"\n{len(numbers)} kills, {failures} failures")
    return failures
