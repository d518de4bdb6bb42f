"""The job gives the same bytes on every engine, and when an engine loses a worker half-way."""

import hashlib
import json
import os
import signal
import sysconfig
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from engines import PROCESS_WORKERS, SHORT_LIVED, WORKER, FlinkCluster, run_job, wait_until
from object_store import parts

pytestmark = pytest.mark.engine

FILES = 12
FILE_ROWS = 1_700
LABELS = 10
JOB_SECONDS = 900.0  # bounds a job that hangs
SYLLABUS = str(Path(sysconfig.get_path("scripts")) / "syllabus")


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """20,400 rows of text in 12 Parquet files, ten labels of unequal size, two rows in a thousand broken."""
    random = np.random.default_rng(7)
    directory = tmp_path_factory.mktemp("source")
    for number in range(FILES):
        labels = np.minimum(random.geometric(0.25, FILE_ROWS) - 1, LABELS - 1)
        texts: list[str | None] = [
            "".join(map(chr, 97 + (label + random.integers(0, 12, 40)) % 26)) for label in labels
        ]
        ids = [f"{number:02d}-{row:05d}" for row in range(FILE_ROWS)]
        texts[number] = None
        texts[number + 100] = None
        ids[number + 200] = ids[number + 300] = "00-00000"
        kinds, tokens = [f"kind {label}" for label in labels], random.integers(1, 500, FILE_ROWS)
        table = pa.table({"key": ids, "text": texts, "kind": kinds, "tokens": tokens})
        pq.write_table(table, directory / f"part-{number:02d}.parquet", row_group_size=500)
    return directory


@pytest.fixture(scope="module")
def prepare(source, tmp_path_factory) -> Callable[..., dict[str, str]]:
    """Run the job with the given options in a directory of its own; sha256 of each file of the manifest."""

    def run(name: str, *options: str, during: Callable[[Path], None] | None = None) -> dict[str, str]:
        directory = tmp_path_factory.mktemp(name)
        command = [SYLLABUS, "prepare", "--source", str(source), "--output", str(directory / "manifest")]
        command += ["--work-dir", str(directory / "work"), "--text", "text", "--label", "kind", "--id", "key"]
        command += ["--encoder", "toy_encoder:factory", "--batch-size", "512", "--bucket-size", "2048"]
        command += ["--fraction", "0.1", "--fraction", "0.01", "--subsets", "3", "--seed", "5"]
        # So little that there are three files of regrouped rows; other options may say otherwise.
        command += ["--memory-per-worker", "0.02", *options]
        run_job(command, directory / "job.log", JOB_SECONDS, during and (lambda: during(directory / "work")))
        files = sorted(path for path in (directory / "manifest").rglob("*") if path.is_file())
        return {
            str(path.relative_to(directory / "manifest")): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
        }

    return run


@pytest.fixture(scope="module")
def expected(prepare) -> dict[str, str]:
    """What the embedded runner makes."""
    return prepare("embedded")


def test_the_embedded_runner_makes_a_manifest_with_every_table(expected):
    tables = {path.partition("/")[0] for path in expected}
    assert tables >= {"manifest.json", "examples", "subsets", "importances", "orders", "rejects"}


def test_the_same_bytes_on_prism(prepare, expected, prism):
    options = ["--runner", "PrismRunner", "--", f"--prism_location={prism}", "--environment_type=LOOPBACK"]
    assert prepare("prism", *options) == expected


@pytest.fixture(scope="module")
def weighed(prepare) -> dict[str, str]:
    """The same with budgets in tokens."""
    return prepare("weighed", "--weight", "tokens")


def test_weights_travel_to_the_workers_of_prism(prepare, weighed, expected, prism):
    options = ["--runner", "PrismRunner", "--", f"--prism_location={prism}", "--environment_type=LOOPBACK"]
    assert prepare("weighed-prism", "--weight", "tokens", *options) == weighed != expected


def test_weights_travel_to_a_flink_cluster(prepare, weighed, flink):
    options = [*_on(flink, parallelism=1), *PROCESS_WORKERS]
    assert prepare("weighed-flink", "--weight", "tokens", *options) == weighed


# Of the buckets of 2,048 rows by default a worker holds 1,000: classes are selected from in parts.
PARTS = ["--memory-per-worker", f"{1000.5 * 32 * 4 / 1e9:.9f}"]


@pytest.fixture(scope="module")
def in_parts(prepare) -> dict[str, str]:
    """What the embedded runner makes of them."""
    return prepare("parts", *PARTS)


def test_classes_are_selected_from_in_the_same_parts_on_prism(prepare, in_parts, expected, prism):
    options = ["--runner", "PrismRunner", "--", f"--prism_location={prism}", "--environment_type=LOOPBACK"]
    assert prepare("parts-prism", *PARTS, *options) == in_parts != expected


def test_a_flink_cluster_works_on_an_object_store(prepare, expected, source, flink, object_store):
    object_store.copy(source, "engine/source")
    urls = [f"{place}?{object_store.query}" for place in ("source", "manifest", "work")]
    names = ("--source", "--output", "--work-dir")
    places = [f"{name}=s3://bucket/engine/{url}" for name, url in zip(names, urls, strict=True)]
    # Workers have the credentials from their environment; the server is named by the URLs.
    keys = {name: object_store.environment[name] for name in object_store.environment if "URL" not in name}
    worker = {"command": str(WORKER), "env": keys}
    options = ["--environment_type=PROCESS", f"--environment_config={json.dumps(worker)}"]
    assert prepare("s3-flink", *places, *_on(flink), *options) == {}
    document, found = parts(object_store.read("engine/manifest"))
    assert document["fingerprint"]
    local = {path: digest for path, digest in expected.items() if path != "manifest.json"}
    assert found == sorted((path.rpartition("/")[0], digest) for path, digest in local.items())


def test_the_same_bytes_on_a_flink_cluster(prepare, expected, flink):
    assert prepare("flink", *_on(flink), *PROCESS_WORKERS) == expected


# Embedding is slowed down to FILES × 4 batches × 0.75 s / 2 TaskManagers = 18 s. Regrouping needs no such
# help: ordering, which comes after it, waits for all of it.
@pytest.mark.parametrize(
    ("stage", "later", "below", "seconds"), [("embed", "embed", FILES, "0.75"), ("regroup", "order", 1, "0")]
)
def test_the_same_bytes_when_a_taskmanager_is_killed(prepare, expected, flink, stage, later, below, seconds):
    at_death = []

    def kill(work: Path) -> None:
        wait_until(lambda: _shards(work / stage) >= 2, f"two shards in {work / stage}", 200)
        victim = flink.working_taskmanager()
        if victim is not None:  # else its workers have just ended
            os.kill(victim, signal.SIGKILL)
            at_death.append(_shards(work / later))

    worker = {"command": str(WORKER), "env": {"TOY_SECONDS": seconds}}
    options = ["--environment_type=PROCESS", f"--environment_config={json.dumps(worker)}"]
    # On a slow machine the short stage may be over before it is seen: then once more.
    for attempt in range(3):
        flink.up()
        assert prepare(f"killed-{stage}-{attempt}", *_on(flink), *options, during=kill) == expected
        if at_death and at_death[-1] < below:
            return
    pytest.fail("the job was done with the stage before a TaskManager died, three times")


# The last one: the third TaskManager stays.
def test_classes_are_selected_from_in_the_same_parts_on_three_taskmanagers(prepare, in_parts, flink):
    flink.up(3)
    options = [*_on(flink, parallelism=4), *PROCESS_WORKERS]
    assert prepare("parts-flink", *PARTS, *options) == in_parts
    assert len(flink.taskmanagers()) == 3


def _on(flink: FlinkCluster, parallelism: int = 2) -> list[str]:
    return [
        "--runner",
        "FlinkRunner",
        "--",
        f"--flink_master={flink.master}",
        f"--flink_job_server_jar={flink.jar}",
        *(f"--job_server_jvm_properties={flag}" for flag in SHORT_LIVED),
        f"--parallelism={parallelism}",
    ]


def _shards(directory: Path) -> int:
    return sum(not path.name.startswith(".") for path in directory.rglob("*.parquet"))
