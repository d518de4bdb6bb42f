"""Inputs that once did harm, or well might: each is accepted with its own values, or refused in one line.

`python benchmarks/fuzz.py TARGET --seed S --only N --keep FOLDER` leaves the files of a try that failed.
"""

import importlib
import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SOURCES = sorted((HERE / "sources").iterdir())
OPTIONS = sorted((HERE / "options").iterdir())


@pytest.fixture
def fuzz(monkeypatch):
    """The modules of the program that looks for more of them."""
    monkeypatch.syspath_prepend(str(HERE.parents[1] / "benchmarks"))
    return lambda target: importlib.import_module(f"fuzz_{target}")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_sources(fuzz, path):
    attempt = fuzz("sources").judged(path)
    assert attempt.outcome == ("refused" if "refused-" in path.name else "accepted"), attempt.said


@pytest.mark.parametrize("path", OPTIONS, ids=lambda path: path.name)
def test_options(fuzz, path, tmp_path, monkeypatch):
    from syllabus.pipeline import job
    from syllabus.pipeline.command_line import app

    monkeypatch.setattr(job, "run_stages", job.run_stages)  # the program puts another in its place
    # Not `file`: put back, it would be the standard error of now for ever.
    monkeypatch.setattr(app.console, "_file", app.console._file)
    options = fuzz("options")
    options.Fuzz(tmp_path)
    shutil.copy(path, tmp_path)
    attempt = options.command(["prepare", str(tmp_path / path.name)])
    assert attempt.outcome == path.name.partition("-")[0].removesuffix(".toml"), attempt.said


@pytest.mark.parametrize("harm", ["text", "row", "label"])
def test_the_program_would_notice(fuzz, harm, tmp_path, monkeypatch):
    sources = fuzz("sources")
    (tmp_path / "d.jsonl").write_text(
        '{"text": "a", "label": "x", "id": "1"}\n{"text": "b", "label": "y", "id": "2"}\n'
    )
    assert sources.judged(tmp_path / "d.jsonl").outcome == "accepted"
    honest = sources.read

    def read(*arguments):
        rows = list(honest(*arguments))
        if harm == "row":
            return rows[:1]
        content, label, key, bad = rows[1]
        return [rows[0], ("B", label, key, bad) if harm == "text" else (content, "x", key, bad)]

    monkeypatch.setattr(sources, "read", read)
    assert sources.judged(tmp_path / "d.jsonl").outcome == "silent"
