"""The dry run: what it says of the source and of the job, and that it writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_jobs import prepare
from job_sources import sentences, write_embeddings
from jobs import run

from syllabus.pipeline import Options
from syllabus.pipeline.command_line import app as cli
from syllabus.pipeline.dry_run import dry_run


def tree(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


def texts(path: Path, count: int, bad: int = 0) -> Path:
    rows = [{"text": text, "class": f"c{row % 3}"} for row, text in enumerate(sentences(count, 0))]
    for row in range(bad):
        rows[7 * row]["text"] = None
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_it_tells_what_the_rows_hold_and_writes_nothing(tmp_path: Path, capsys) -> None:
    source = texts(tmp_path / "s.jsonl", 2500, bad=5)
    before = tree(tmp_path)
    flags = ["--subsets", "2", "--dry-run"]
    assert prepare(source, tmp_path / "m", *flags, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["source"]["rows"] == 2500
    assert found["source"]["rows_are_counted"]
    sample = found["sample"]
    assert (sample["rows"], sample["accepted"]) == (1000, 995)
    assert list(sample["rejected"].values()) == [5]
    assert sum(sample["labels"].values()) == 995
    assert set(sample["labels"]) == {"c0", "c1", "c2"}
    assert found["encoder"]["rows_per_second"] > 0
    assert found["estimate"]["examples"] == round(2500 * 0.995)
    assert prepare(source, tmp_path / "m", *flags) == 0
    captured = capsys.readouterr()
    assert "first 1,000 rows: 995 accepted, 5 rejected: " in " ".join(captured.out.split())
    assert captured.out.endswith("nothing was written\n")
    assert f"rows/s on one worker, tried on {found['encoder']['rows']:,}" in captured.out
    assert tree(tmp_path) == before
    # No place is needed for what is not written.
    look = ["prepare", "--source", str(source), "--text", "text", "--encoder", "hashing"]
    assert cli.run(look) == 2
    assert "option 'output' is missing" in capsys.readouterr().err
    assert cli.run([*look, "--dry-run"]) == 0
    assert capsys.readouterr().out.endswith("nothing was written\n")
    assert tree(tmp_path) == before


def test_it_looks_at_files_all_over_the_source(tmp_path: Path, capsys) -> None:
    (tmp_path / "s").mkdir()
    for number in range(40):
        texts(tmp_path / "s" / f"{number:02}.jsonl", 120)
        lines = (tmp_path / "s" / f"{number:02}.jsonl").read_text()
        (tmp_path / "s" / f"{number:02}.jsonl").write_text(lines.replace(': "c', f': "{number // 10} c'))
    assert prepare(tmp_path / "s", tmp_path / "m", "--dry-run", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert not found["source"]["rows_are_counted"]
    assert abs(found["source"]["rows"] - 40 * 120) < 100
    assert (found["sample"]["files"], found["sample"]["rows"]) == (20, 1000)
    assert set(found["sample"]["labels"]) == {f"{part} c{each}" for part in range(4) for each in range(3)}
    assert prepare(tmp_path / "s", tmp_path / "m", "--dry-run") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "40 files, about " in told
    assert "first 1,000 rows of 20 files: 1,000 accepted" in told
    assert "columns text, class" in told


def test_several_columns_are_one_vector(tmp_path: Path) -> None:
    rows = "".join(f"{row},{row * row % 7},c{row % 2}\n" for row in range(50))
    (tmp_path / "s.csv").write_text("a,b,kind\n" + rows)
    given = Options(source=tmp_path / "s.csv", output=tmp_path / "m", embedding="*", label="kind")
    found = dry_run(given)
    assert (found["encoder"]["dimension"], found["sample"]["accepted"]) == (2, 50)


def test_the_estimate_of_disk_is_near_what_a_job_takes(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "s.parquet", 3000, dimension=128)
    options = {"embedding": "vector", "label": "label", "id": "key", "subsets": 2, "preview": False}
    given = Options(source=tmp_path / "s.parquet", output=tmp_path / "m", **options)
    found = dry_run(given)
    assert found["source"]["schema"]["key"] == "string"
    run(tmp_path / "s.parquet", tmp_path / "m", **options)
    for name, place in (("work_bytes", "m.work"), ("manifest_bytes", "m")):
        taken = sum(path.stat().st_size for path in (tmp_path / place).rglob("*") if path.is_file())
        assert 0.5 < found["estimate"][name] / taken < 2, name


def test_mistakes_are_those_of_the_job(tmp_path: Path, capsys) -> None:
    source = texts(tmp_path / "s.jsonl", 30)
    for flags, message in (
        (["--text", "txt"], "did you mean 'text'"),
        (["--encoder", "nowhere/model"], "nowhere/model"),
        (["--label", "id"], "column 'id'"),
    ):
        arguments = {"text": "text", "encoder": "hashing", "label": "class"}
        arguments[flags[0].removeprefix("--")] = flags[1]
        assert prepare(source, tmp_path / "m", "--dry-run", **arguments) == 2
        captured = capsys.readouterr()
        assert message in captured.err
        assert captured.err.count("\n") == 1
    (tmp_path / "many.jsonl").write_text(
        "".join(json.dumps({"text": f"t {row}", "class": f"c{row}"}) + "\n" for row in range(500))
    )
    assert prepare(tmp_path / "many.jsonl", tmp_path / "m", "--dry-run") == 2
    assert "values for 500 examples" in capsys.readouterr().err
    (tmp_path / "none.jsonl").write_text("")
    empty = Options(source=tmp_path / "none.jsonl", output=tmp_path / "m", text="text", encoder="hashing")
    with pytest.raises(ValueError, match="is empty"):
        dry_run(empty)
    assert not np.any([path.name.startswith("m") and path.is_dir() for path in tmp_path.iterdir()])
