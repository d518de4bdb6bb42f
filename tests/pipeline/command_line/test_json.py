"""Answers for programs: one JSON object on standard output, everything else on standard error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_jobs import COUNT, prepare, write_rows

from syllabus.manifests import Manifest
from syllabus.pipeline.command_line import app as cli


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("data") / "texts.parquet")


@pytest.fixture(scope="module")
def quiet(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("made") / "m"
    # Subsets that hardly differ: a warning.
    assert prepare(data, output, "--subsets", "2", "--epsilon", "0.0001", "--neighbours", "0", "--quiet") == 0
    return output


def test_a_quiet_job_tells_warnings_alone(quiet: Path, data: Path, tmp_path: Path, capsys) -> None:
    again = ["--subsets", "2", "--epsilon", "0.0001", "--neighbours", "0", "--work-dir", f"{quiet}.work"]
    assert prepare(data, tmp_path / "m", *again, "--quiet") == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines
    assert all(line.startswith("warning: ") for line in lines)
    assert "hardly differ" in captured.err


def test_the_summary_of_a_job_is_one_object(quiet: Path, data: Path, tmp_path: Path, capsys) -> None:
    again = ["--subsets", "2", "--epsilon", "0.0001", "--neighbours", "0", "--work-dir", f"{quiet}.work"]
    assert prepare(data, tmp_path / "m", *again, "--json") == 0
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    found, manifest = json.loads(captured.out), Manifest.open(tmp_path / "m")
    assert found["manifest"] == manifest.location
    assert found["fingerprint"] == manifest.fingerprint
    assert found["counts"] == manifest.description["counts"]
    assert found["counts"]["accepted"] == COUNT
    stages = {each["stage"]: each for each in found["stages"]}
    assert list(stages) == ["plan", "embed", "census", "select", "commit"]
    assert stages["embed"]["reused"] == COUNT
    assert stages["commit"]["new"] == len(manifest.description["files"])
    assert any("hardly differ" in line for line in found["warnings"])
    assert "next: syllabus describe" in captured.err
    assert prepare(data, tmp_path / "m", *again, "--json") == 2
    assert capsys.readouterr().out == ""


def test_describe_and_validate_answer_in_json(quiet: Path, data: Path, tmp_path: Path, capsys) -> None:
    assert cli.run(["describe", str(quiet), "--json"]) == 0
    found, document = json.loads(capsys.readouterr().out), Manifest.open(quiet).description
    assert {name: found[name] for name in document} == document
    assert any("hardly differ" in line for line in found["warnings"])
    assert cli.run(["validate", str(quiet), "--source", str(data), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["sound"] is True
    assert cli.run(["validate", str(tmp_path), "--json"]) == 2
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["sound"] is False
    assert found["problems"]
    assert found["problems"][0] in captured.err
