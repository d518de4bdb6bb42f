"""Source, work directory and manifest on an object store: the bytes of a local job, whatever ends it."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from job_sources import write_parts, write_texts
from jobs import run
from object_store import ObjectStore, local_files, parts

from syllabus.manifests import Manifest, validate
from syllabus.pipeline.command_line import app as cli
from syllabus.pipeline.errors import UserError
from syllabus.trainer import Curriculum, ManifestStream

FEW = {"id": "key", "fraction": 0.1, "subsets": 2, "neighbours": 0}
FILES, ROWS = 3, 300


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_parts(tmp_path_factory.mktemp("source"), FILES, ROWS)


def test_a_job_makes_the_bytes_of_a_local_one(
    object_store: ObjectStore, source: Path, tmp_path: Path
) -> None:
    object_store.copy(source, "whole/source")
    for seed in (0, 1):
        run(source, tmp_path / str(seed), **FEW, seed=seed, work_dir=str(tmp_path / "work"))
    manifest = "s3://bucket/whole/m"
    run("s3://bucket/whole/source", manifest, **FEW)
    assert parts(object_store.read("whole/m")) == parts(local_files(tmp_path / "0"))
    with pytest.raises(UserError, match="overwrite"):
        run("s3://bucket/whole/source", manifest, **FEW, seed=1)
    again = run("s3://bucket/whole/source", manifest, **FEW, seed=1, overwrite=True, workers=2)
    assert {stage.stage: stage.new for stage in again.stages}["embed"] == 0
    # `parts` says that nothing of the old one is left.
    assert parts(object_store.read("whole/m")) == parts(local_files(tmp_path / "1"))
    assert validate(manifest).problems == []


def test_a_killed_job_goes_on_and_a_damaged_shard_is_made_again(
    object_store: ObjectStore, source: Path, tmp_path: Path
) -> None:
    object_store.copy(source, "killed/source")
    run(source, tmp_path / "m", **FEW)
    options = [f"--{name}={value}" for name, value in FEW.items()]
    job = subprocess.Popen(
        [
            *(sys.executable, "-m", "syllabus.pipeline", "prepare", "--source", "s3://bucket/killed/source"),
            *("--output", "s3://bucket/killed/m", "--embedding", "vector", "--label", "label", *options),
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 60
        while not object_store.read("killed/m.work/regroup"):
            assert job.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
        os.kill(job.pid, signal.SIGKILL)
    finally:
        job.kill()
        job.wait()
    assert "manifest.json" not in object_store.read("killed/m")
    again = run("s3://bucket/killed/source", "s3://bucket/killed/m", **FEW)
    made = {stage.stage: stage.new for stage in again.stages}
    assert (made["embed"], made["select"] > 0) == (0, True)
    expected = parts(local_files(tmp_path / "m"))
    assert parts(object_store.read("killed/m")) == expected
    name, content = next(iter(object_store.read("killed/m.work/embed").items()))
    object_store.write(f"killed/m.work/embed/{name}", content[: len(content) // 2])
    again = run("s3://bucket/killed/source", "s3://bucket/killed/m", **FEW, overwrite=True)
    assert {stage.stage: stage.new for stage in again.stages}["embed"] == ROWS
    assert parts(object_store.read("killed/m")) == expected


def test_commands_and_trainers_read_what_a_url_names(
    object_store: ObjectStore, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    # The server is named by the URL alone: what is beside the output keeps its query.
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    object_store.copy(source, "read/source")
    run(source, tmp_path / "m", **FEW)
    place, local = f"s3://bucket/read/m?{object_store.query}", str(tmp_path / "m")
    given = f"s3://bucket/read/source?{object_store.query}"
    run(given, place, **FEW)
    assert object_store.read("read/m.work/embed")
    assert cli.run(["validate", place, "--source", given]) == 0
    assert "are sound; made from" in capsys.readouterr().out
    shown = []
    for each in (place, local):
        assert cli.run(["describe", each, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found.pop("location") == each
        shown.append({**found, "files": None, "document_sha256": None})
    assert shown[0] == shown[1]
    assert cli.run(["report", place]) == 0
    assert object_store.read("read")["m.html"].startswith(b"<!doctype html>")
    rows = f"s3://bucket/read/rows.csv?{object_store.query}"
    assert cli.run(["export", place, "--fraction", "0.1", "--format", "csv", "--output", rows]) == 0
    assert cli.run(["export", local, "--fraction", "0.1", "--output", str(tmp_path / "rows.csv")]) == 0
    assert object_store.read("read")["rows.csv"] == (tmp_path / "rows.csv").read_bytes()
    seen = []
    for each, rows_of in ((place, given), (local, source)):
        stream = ManifestStream(Curriculum(Manifest.open(each), 0.1, epochs=2, seed=0), rows_of, ["key"])
        seen.append([row["key"] for row in stream])
    assert seen[0] == seen[1]
    assert len(seen[0]) == FILES * ROWS // 10


def test_compressed_lines_are_read(object_store: ObjectStore, tmp_path: Path) -> None:
    lines = write_texts(tmp_path / "lines.jsonl", 200)
    packed = tmp_path / "source" / "lines.jsonl.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(lines.read_bytes()))
    object_store.copy(packed.parent, "lines/source")
    run(packed.parent, tmp_path / "m", text="text", **FEW)
    run("s3://bucket/lines/source", "s3://bucket/lines/m", text="text", **FEW)
    assert parts(object_store.read("lines/m")) == parts(local_files(tmp_path / "m"))


@pytest.mark.usefixtures("object_store")
def test_what_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="s3://bucket/nothing") as nothing:
        run("s3://bucket/nothing", tmp_path / "m", **FEW)
    with pytest.raises(UserError, match="output s3://no-such-bucket/m: cannot be written to") as no_bucket:
        run(write_texts(tmp_path / "a.jsonl", 9), "s3://no-such-bucket/m", text="text", **FEW)
    for error in (nothing, no_bucket):
        assert "\n" not in str(error.value)
