"""The command that downloads: here from a local folder, which the library takes for a data set too."""

import importlib.util
import json

import pytest

from syllabus.pipeline.command_line.app import run
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.fetching import fetch
from syllabus.pipeline.sources import Columns, open_source


@pytest.fixture
def folder(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for name in ("train", "test"):
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / f"{name}.jsonl").write_text(json.dumps({"text": name, "id": 1}) + "\n")
    return tmp_path


def test_what_is_fetched_is_a_source(folder, capsys):
    made = folder / "made"
    assert run(["fetch", str(folder / "set"), str(made)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "has the splits train, test; give one with --split" in said
    assert not made.exists()
    assert run(["fetch", str(folder / "set"), str(made), "--split", "test"]) == 0
    assert "1 rows with text, id; read it with --source" in capsys.readouterr().out
    source, _ = open_source(str(made))
    columns = Columns("text", "text")
    assert [r.content for r in source.read(list(source.chunks(columns)), columns)] == [["test"]]
    with pytest.raises(UserError, match="is there already"):
        fetch(str(folder / "set"), str(made), "train")
    with pytest.raises(UserError, match=r"fetch .*nosplit"):
        fetch(str(folder / "set"), str(folder / "other"), "nosplit")
    assert {path.name for path in folder.iterdir()} <= {"set", "made", "cache"}


def test_without_the_library_one_line_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="pip install datasets"):
        fetch("user/name", str(tmp_path / "x"))


def test_a_job_asks_no_hub():
    with pytest.raises(UserError, match=r"`syllabus fetch hf://datasets/user/name FOLDER`"):
        open_source("hf://datasets/user/name")
