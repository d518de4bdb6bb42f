"""The submitting half of Beam's portable runners, with a job server in place of the engine's."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import apache_beam as beam
import pytest
from job_sources import digests, write_embeddings
from jobs import run

from syllabus.pipeline import JobError, Options
from syllabus.pipeline.runners import run as runners

SERVER = Path(__file__).parents[2] / "helpers" / "job_server.py"
WORKER = '{"command": "/opt/venv/bin/syllabus-worker"}'
FEW = {"subsets": 2, "neighbours": 0}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Options that start the server as if it were Java; it writes what it is asked into the file `asked`."""
    java, jar = tmp_path / "java", tmp_path / "job-server.jar"
    java.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{SERVER}" "$@"\n')
    java.chmod(0o755)
    jar.touch()
    monkeypatch.setenv("JOB_SERVER_RECORD", str(tmp_path / "asked"))
    return (
        f"--job_server_java_launcher={java}",
        f"--spark_job_server_jar={jar}",
        f"--flink_job_server_jar={jar}",
        "--environment_type=PROCESS",
        f"--environment_config={WORKER}",
    )


def test_spark_is_given_the_options_and_the_accelerator_where_a_model_encodes(
    tmp_path: Path, server: tuple[str, ...]
) -> None:
    source, accelerator = tmp_path / "s" / "a.parquet", "type:nvidia-l4;count:1"
    write_embeddings(source, 300)
    flags = ("--spark_master_url=spark://m:7077", f"--resource_hints=accelerator={accelerator}", *server)
    run(source.parent, tmp_path / "spark", **FEW, runner="SparkRunner", runner_options=flags)
    asked = [json.loads(line) for line in (tmp_path / "asked").read_text().splitlines()]
    assert [each["options"]["job_name"] for each in asked] == ["syllabus-embed", "syllabus-select"]
    for each, hints in zip(asked, [{"beam:resources:accelerator:v1": accelerator}, {}], strict=True):
        command = each["command"]
        assert command[command.index("-jar") + 1] == str(tmp_path / "job-server.jar")
        assert command[command.index("--spark-master-url") + 1] == "spark://m:7077"
        [(urn, payload, asked_for)] = each["environments"]
        assert urn == "beam:env:process:v1"
        assert "/opt/venv/bin/syllabus-worker" in payload
        assert asked_for == hints
        assert each["options"]["spark_master_url"] == "spark://m:7077"
    run(source.parent, tmp_path / "embedded", **FEW)
    assert digests(tmp_path / "spark") == digests(tmp_path / "embedded")


def _leave(element: int) -> None:
    os._exit(element)


def test_a_job_whose_server_dies_ends_with_one_line(
    tmp_path: Path, server: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    own = _options(tmp_path, "FlinkRunner", "--flink_master=localhost:1", *server)
    with pytest.raises(
        JobError, match=r"^embed: FlinkRunner: the job server is lost \(UNAVAILABLE: .*\); fin"
    ):
        runners.run(own, "embed", lambda p: p | beam.Create([3]) | beam.Map(_leave))
    assert "Traceback" not in capfd.readouterr().err


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    own = _options(tmp_path, "PortableRunner", "--job_endpoint=localhost:1", "--job_server_timeout=1")
    with pytest.raises(
        JobError, match=r"^embed: PortableRunner: no answer of the job server; finished shards"
    ):
        runners.run(own, "embed", lambda p: p | beam.Create([3]))
    assert "FutureTimeoutError" in (Path(own.work) / "failure.txt").read_text()


def _options(tmp_path: Path, runner: str, *flags: str) -> Options:
    write_embeddings(tmp_path / "s" / "a.parquet", 60)
    given = {"source": str(tmp_path / "s"), "output": str(tmp_path / "m"), "embedding": "vector"}
    return Options(**given, runner=runner, runner_options=flags)
