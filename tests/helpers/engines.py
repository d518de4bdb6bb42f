"""Real engines for the tests marked `engine`: Prism, and a Flink session cluster on the loopback address.

`SYLLABUS_PRISM` names Beam's prism binary, `SYLLABUS_FLINK_JAR` the jar of Beam's Flink job server, which
holds a whole Flink. Where one is not set, or cannot run here, its tests are skipped and say why.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

TASKMANAGERS = 2
SLOTS = 2
START_SECONDS = 300.0

WORKER = Path(sysconfig.get_path("scripts")) / "syllabus-worker"
PROCESS_WORKERS = [
    "--environment_type=PROCESS",
    f"--environment_config={json.dumps({'command': str(WORKER)})}",
]
"""Options that have an engine start its workers by itself, with nothing in common with the job."""

# Java 17 closes what Flink 1.19's serialisers open.
_OPENS = [
    f"--add-{kind}=java.base/{package}=ALL-UNNAMED"
    for kind, packages in [
        ("exports", "sun.net.util"),
        ("opens", "java.lang java.net java.io java.nio java.util java.util.concurrent sun.nio.ch"),
    ]
    for package in packages.split()
]

# Most of what a young JVM computes is its second compiler and threads that collect garbage.
SHORT_LIVED = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]

# Small, and with nothing derived from the machine: a TaskManager asks for about 1.2 GB and uses half of it.
_TASKMANAGER_MEMORY = {
    "taskmanager.cpu.cores": "1.0",
    "taskmanager.memory.task.heap.size": "300m",
    "taskmanager.memory.task.off-heap.size": "64m",
    "taskmanager.memory.managed.size": "256m",
    "taskmanager.memory.framework.heap.size": "128m",
    "taskmanager.memory.framework.off-heap.size": "128m",
    "taskmanager.memory.network.min": "256m",
    "taskmanager.memory.network.max": "256m",
    "taskmanager.memory.jvm-metaspace.size": "256m",
    "taskmanager.memory.jvm-overhead.min": "128m",
    "taskmanager.memory.jvm-overhead.max": "128m",
}


def run_job(command: list[str], log: Path, seconds: float, during: Callable[[], None] | None = None) -> None:
    """Run `command` in a process group of its own; fail with the end of its log unless it succeeds.

    `during` is called once the process is started; what is left of the group is killed in any case.
    """
    with log.open("wb") as output:
        # Another directory than the cluster's: nothing may depend on it.
        process = _start(command, output, log.parent)
    try:
        if during is not None:
            during()
        status: int | str = process.wait(seconds)
    except subprocess.TimeoutExpired:
        status = f"still running after {seconds:g} s"
    except pytest.fail.Exception as failure:
        status = str(failure)
    finally:
        _end(process)
    if status != 0:
        pytest.fail(f"{' '.join(command)}: {status}\n{_tail(log)}", pytrace=False)


def wait_until(holds: Callable[[], bool], what: str, seconds: float) -> None:
    """Poll until `holds()`; fail naming `what` when it takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {seconds:g} s", pytrace=False)
        time.sleep(0.05)


class FlinkCluster:
    """One JobManager and TaskManagers of two slots, each a process and a process group of its own."""

    def __init__(self, jar: str, directory: Path):
        """Write the configuration into `directory`, where logs and scratch files go too."""
        self.jar = jar
        self.directory = directory
        self.port, rpc, self._job_port = _free_ports(3)
        self.master = f"localhost:{self.port}"
        self._jobmanager: subprocess.Popen[bytes] | None = None
        self._taskmanagers: dict[str, subprocess.Popen[bytes]] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._started = 0
        conf = directory / "conf"
        conf.mkdir()
        (directory / "tmp").mkdir()
        settings = {
            "jobmanager.rpc.address": "localhost",
            "jobmanager.rpc.port": rpc,
            "jobmanager.bind-host": "localhost",
            "rest.address": "localhost",
            "rest.bind-address": "localhost",
            "rest.port": self.port,
            "taskmanager.host": "localhost",
            "taskmanager.bind-host": "localhost",
            "taskmanager.numberOfTaskSlots": SLOTS,
            # Else both tasks of a job may land on one TaskManager.
            "cluster.evenly-spread-out-slots": "true",
            "taskmanager.network.sort-shuffle.min-buffers": 64,
            # Without a strategy a killed worker fails the job; a lost TaskManager counts as several failures.
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": 20,
            "restart-strategy.fixed-delay.delay": "1 s",
            "heartbeat.interval": 2000,
            "heartbeat.timeout": 10000,
            # 10 s where unset, which a machine that is busy elsewhere exceeds: the job would start again.
            "pekko.ask.timeout": "60 s",
            "parallelism.default": TASKMANAGERS,
            # Seconds: each pipeline leaves the job server's jar, 300 MB, on all TaskManagers; else an hour.
            "blob.service.cleanup.interval": 30,
            "io.tmp.dirs": directory / "tmp",
        }
        (conf / "config.yaml").write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))

    def up(self, taskmanagers: int = TASKMANAGERS) -> None:
        """Start what is missing of a JobManager and so many TaskManagers; wait until all are registered."""
        if self._jobmanager is None:
            entry = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
            self._jobmanager = self._java("jobmanager", ["-Xmx512m"], entry, ["--executionMode", "cluster"])
        self._taskmanagers = {name: each for name, each in self._taskmanagers.items() if each.poll() is None}
        while len(self._taskmanagers) < taskmanagers:
            self._started += 1
            name = f"taskmanager-{self._started}"
            settings = {**_TASKMANAGER_MEMORY, "taskmanager.resource-id": name}
            self._taskmanagers[name] = self._java(
                name,
                ["-Xmx450m", "-XX:MaxDirectMemorySize=600m"],
                "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
                [f"-D{key}={value}" for key, value in settings.items()],
            )
        wait_until(self._ready, f"Flink with its logs in {self.directory}", START_SECONDS)

    def job_server(self) -> list[str]:
        """Start Beam's job server for this cluster; return the options that submit to it.

        It takes any number of pipelines, where FlinkRunner starts a Java for each.
        """
        endpoint = f"localhost:{self._job_port}"
        self._java(
            "job-server",
            ["-Xmx512m"],
            "org.apache.beam.runners.flink.FlinkJobServerDriver",
            [f"--flink-master=http://{self.master}", f"--artifacts-dir={self.directory / 'artifacts'}",
             f"--job-port={self._job_port}", "--artifact-port=0", "--expansion-port=0"],
            configured=False,
        )  # fmt: skip
        wait_until(lambda: _listens(self._job_port), f"a job server at {endpoint}", START_SECONDS)
        return ["--runner", "PortableRunner", "--", f"--job_endpoint={endpoint}"]

    def down(self) -> None:
        """Kill everything that was started, workers left behind by a killed TaskManager included."""
        for process in self._processes:
            _end(process)

    def taskmanagers(self) -> dict[int, list[int]]:
        """Return the process ids of the TaskManagers that live, and those of the workers that each has."""
        living = [process.pid for process in self._taskmanagers.values() if process.poll() is None]
        return {pid: _children(pid) for pid in living}

    def working_taskmanager(self) -> int | None:
        """Return the process id of a TaskManager that has started a worker, or None."""
        return next((pid for pid, workers in self.taskmanagers().items() if workers), None)

    def _ready(self) -> bool:
        for process in [self._jobmanager, *self._taskmanagers.values()]:
            if process is not None and process.poll() is not None:
                pytest.fail(
                    f"Flink ended with status {process.returncode}; see {self.directory}", pytrace=False
                )
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://{self.master}/taskmanagers", timeout=5) as response,
        ):
            # A killed one stays in the list until its heartbeat is missed, and its slots are offered.
            return {each["id"] for each in json.load(response)["taskmanagers"]} == set(self._taskmanagers)
        return False

    def _java(
        self, name: str, java: list[str], entry: str, arguments: list[str], configured: bool = True
    ) -> subprocess.Popen[bytes]:
        conf = ["--configDir", str(self.directory / "conf")] if configured else []
        command = ["java", *_OPENS, *SHORT_LIVED, *java, "-cp", self.jar, entry, *conf, *arguments]
        with (self.directory / f"{name}.log").open("wb") as log:
            process = _start(command, log, self.directory)
        self._processes.append(process)
        return process


@pytest.fixture(scope="session")
def prism() -> str:
    """The path of the prism binary."""
    return _from_environment("SYLLABUS_PRISM", "Beam's prism binary")


@pytest.fixture(scope="session")
def flink_jar() -> str:
    """The path of the Flink job server's jar, on a machine with a Java that runs it."""
    jar = _from_environment("SYLLABUS_FLINK_JAR", "the jar of Beam's Flink 1.19 job server")
    if shutil.which("java") is None:
        pytest.skip("Flink needs Java 11 or 17: no `java` on the PATH")
    return jar


@pytest.fixture(scope="session")
def _flink_session(flink_jar: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlinkCluster]:
    cluster = FlinkCluster(flink_jar, tmp_path_factory.mktemp("flink"))
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()


@pytest.fixture
def flink(_flink_session: FlinkCluster) -> FlinkCluster:
    """A Flink cluster with all its TaskManagers, started once a session and mended before each test."""
    _flink_session.up()
    return _flink_session


def _from_environment(variable: str, what: str) -> str:
    path = os.environ.get(variable)
    if not path:
        pytest.skip(f"{variable} is not set: it names {what}")
    if not Path(path).is_file():
        pytest.fail(f"{variable}={path}: no such file", pytrace=False)
    return path


def _children(pid: int) -> list[int]:
    texts = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for text in texts for child in text.split()]


def _start(command: list[str], output: IO[bytes], directory: Path) -> subprocess.Popen[bytes]:
    # Workers started by the engine import the tests' own DoFns from here.
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process group of `process`, whose members may outlive their leader."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("localhost", port)) == 0


def _tail(log: Path, lines: int = 40) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
