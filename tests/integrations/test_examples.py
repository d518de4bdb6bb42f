"""Every example is a script that says what it shows when it is asked for help."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(path for path in ROOT.glob("*/*.py") if "__main__" in path.read_text())


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.relative_to(ROOT).as_posix())
@pytest.mark.filterwarnings("ignore")
def test_an_example_says_what_it_shows_in_one_line(path, monkeypatch, capsys):
    if path.name == "with_grain.py":
        pytest.importorskip("grain", reason="grain needs Python 3.11")
    monkeypatch.setattr(sys, "argv", [path.name, "--help"])
    monkeypatch.syspath_prepend(str(path.parent))
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    assert ended.value.code == 0
    first = ast.get_docstring(ast.parse(path.read_text())).splitlines()[0]
    assert first.endswith((".", ":"))
    assert " ".join(first.split()) in " ".join(capsys.readouterr().out.split())


def test_there_are_examples_of_every_kind():
    assert {path.parent.name for path in SCRIPTS} == {path.name for path in ROOT.iterdir() if path.is_dir()}
