"""The pages for people: short sentences, links and paths that exist, code that runs."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from small_manifest import write_small_manifest

from syllabus.trainer import Curriculum

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
LONGEST = 35
LINK = re.compile(r"!?\[([^\]]*)\]\(([^)\s]+)\)")
WITH_COMMANDS = ("README.md", "quickstart.md")
"""Pages whose code reads what the commands before it wrote: tests/test_quickstart.py runs both."""
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def prose(page: Path) -> str:
    """The text of a page without its code blocks."""
    return re.sub(r"^```.*?^```\n", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def code(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def sentences(text: str) -> list[str]:
    """The sentences of paragraphs, list items and cells of tables, without headings; code is one word."""
    text = re.sub(r"`[^`]+`", "code", LINK.sub(r"\1", text))
    text = re.sub(r"^#.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*([-*]|\d+\.) |^\||\| | \|$", "\n\n", text, flags=re.MULTILINE)
    paragraphs = (" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text))
    return [s for paragraph in paragraphs for s in re.split(r"(?<=[.!?])[)*”\"]*\s+(?=\S)", paragraph) if s]


def words(sentence: str) -> int:
    return sum(any(letter.isalnum() for letter in word) for word in sentence.split())


def anchors(page: Path) -> set[str]:
    """The names by which GitHub links to the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def linked(page: Path) -> list[tuple[Path, str]]:
    """The files and anchors that a page links to; its own where a link has an anchor only."""
    targets = [target for _, target in LINK.findall(prose(page)) if "://" not in target]
    parts = [target.partition("#") for target in targets]
    return [((page.parent / path).resolve() if path else page, anchor) for path, _, anchor in parts]


def test_sentences_are_told_apart() -> None:
    text = "# Title\nOne [two](three.md#four) `f(a | b)`\n.95 *five.* Six.\n- seven\n2. eight: nine?\n"
    text += "| a | b. c d |\n"
    assert [words(sentence) for sentence in sentences(text)] == [5, 1, 1, 2, 1, 1, 2]


@every_page
def test_no_sentence_is_long(page: Path) -> None:
    counted = [(words(sentence), sentence) for sentence in sentences(prose(page))]
    assert len(counted) > 10
    assert [pair for pair in counted if pair[0] > LONGEST] == []


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in linked(page):
        assert target.exists(), target
        assert not anchor or anchor in anchors(target), (target.name, anchor)


def test_readme_leads_to_every_page() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        waiting += [target for target, _ in linked(page) if target.suffix == ".md" and target not in reached]
    assert reached >= set(PAGES)


@every_page
def test_paths_exist(page: Path) -> None:
    """Files and folders of this project, in code blocks and tables too."""
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"(?<![\w/.-])(?:benchmarks|docs|examples|syllabus|tests)/[\w./-]*\w", text):
        # Part files and tables of a manifest are named the same way as the examples' folder.
        if not path.startswith("examples/part-"):
            assert (ROOT / path).exists(), path


@every_page
def test_modules_exist(page: Path) -> None:
    for name in re.findall(r"(?<![\w/])syllabus(?:\.\w+)+(?![\w/])", page.read_text(encoding="utf-8")):
        _resolve(name)
    for block in code(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("syllabus"):
                for alias in node.names:
                    _resolve(f"{node.module}.{alias.name}")


def _resolve(name: str) -> None:
    """Assert that a module is there, or that the module before the last dot says it has the name."""
    module, _, attribute = name.rpartition(".")
    parent = importlib.import_module(module)
    if attribute not in getattr(parent, "__all__", ()):  # asking Beam's parts by __all__ does not load Beam
        assert hasattr(parent, attribute) or importlib.import_module(name), name


class Examples(torch.utils.data.Dataset):
    """(vector, class) of every row; `["id"]` gives all ids."""

    def __init__(self, ids: list[str]) -> None:
        self.ids = ids

    def __getitem__(self, row):
        return self.ids if row == "id" else (torch.full((8,), row / len(self.ids)), row % 3)

    def __len__(self) -> int:
        return len(self.ids)


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x)


OF_PYTHON = [page for page in PAGES if code(page, "python") and page.name not in WITH_COMMANDS]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than there are cores
@pytest.mark.parametrize("page", OF_PYTHON, ids=lambda page: page.name)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python block of a page, one after another, in a folder with a small manifest."""
    monkeypatch.chdir(tmp_path)
    made = [
        write_small_manifest(tmp_path / path, gap=0, subsets=5) for path in ("manifest", "manifests/demo")
    ]
    vectors = np.random.default_rng(0).standard_normal((600, 8)).astype(np.float32)
    model = Model()
    scope = {
        "curriculum": Curriculum(made[0], fraction=0.5, epochs=2, schedule="fresh", seed=0),
        "dataset": Examples(made[0].table("examples", ["id"])["id"].to_pylist()),
        "epochs": 2,
        "manifest": made[0],
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), 0.1),
        "vectors": vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
    }
    for block in code(page, "python"):
        exec(compile(block, page.name, "exec"), scope)


def test_the_code_of_hosts_is_that_of_the_scripts() -> None:
    text = (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8")
    found = re.findall(r"\(`(examples/integrations/\w+\.py)`\)\n\n```py\n(.*?)\n```", text, flags=re.DOTALL)
    assert len(found) == 5
    for path, block in found:
        assert f"\n\n\n{block}\n\n\ndef main" in (ROOT / path).read_text(encoding="utf-8"), path


def test_the_site_has_every_page() -> None:
    told = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    named = re.findall(r"[\w/-]+\.md", told)
    made = {"index.md", *(f"api/{room}.md" for room in ("manifests", "selectors", "trainer", "pipeline"))}
    assert sorted(named) == sorted({page.name for page in PAGES if page.name != "README.md"} | made)


def test_sql_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    duckdb = pytest.importorskip("duckdb")
    monkeypatch.chdir(tmp_path)
    write_small_manifest(tmp_path / "manifests/demo", n=6000)
    (query,) = code(ROOT / "docs" / "manifest-format.md", "sql")
    assert len(duckdb.sql(query).fetchall()) == 600
