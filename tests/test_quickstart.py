"""The commands of the quick start and of the first screen run as they are printed."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from syllabus.manifests import Manifest, validate
from syllabus.pipeline.command_line import app

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
STEP = re.compile(
    r"python - <<'END'[^\n]*\n(?P<code>.*?)^END$|cat > (?P<file>\S+) <<'END'\n(?P<text>.*?)^END$"
    r"|(?P<command>(?:pip|syllabus) (?:[^\n]*\\\n)*[^\n]*)$",
    flags=re.DOTALL | re.MULTILINE,
)


def play(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run the blocks of a page in a folder, in this process; return the subcommands that ran."""
    monkeypatch.chdir(folder)
    monkeypatch.delitem(sys.modules, "pixels", raising=False)
    monkeypatch.setitem(sys.modules, "pandas", None)  # no extra of the page's installation brings it
    ran, scope = [], {"__name__": "quickstart"}
    for language, block in BLOCK.findall(page):
        if language == "python":
            exec(compile(block, "page", "exec"), scope)
            continue
        rest = STEP.sub("", block)
        assert not rest.strip(), f"no step of a shell that this test knows: {rest}"
        for step in STEP.finditer(block):
            if step["code"]:
                exec(compile(step["code"], "page", "exec"), {"__name__": "page"})
            elif step["file"]:
                Path(step["file"]).write_text(step["text"])
            elif step["command"].startswith("syllabus "):
                arguments = shlex.split(step["command"].replace("\\\n", " "), comments=True)[1:]
                assert app.run(arguments) == 0, arguments
                ran.append(arguments[0])
    return ran


def test_the_quick_start_runs(tmp_path, monkeypatch, capsys):
    ran = play((ROOT / "docs/quickstart.md").read_text(), tmp_path, monkeypatch)
    assert ran == ["prepare", "describe", *["prepare"] * 3, "validate", "export", "report"]
    said = capsys.readouterr().out
    assert "files are sound; made from wine.csv" in said
    for name in ("text", "images", "own", "wine"):
        assert validate(tmp_path / name).problems == []
    assert Manifest.open(tmp_path / "wine").n == 178
    assert (tmp_path / "report.html").stat().st_size > 100_000


def test_the_first_screen_runs(tmp_path, monkeypatch):
    first = (ROOT / "README.md").read_text().partition("\n## ")[0]
    assert play(first, tmp_path, monkeypatch) == ["prepare", "report"]
    assert Manifest.open(tmp_path / "manifest").n > 200
