"""Hooks of the documentation site: the README is its first page, and each room has a page of its docstrings.

Links to files of the repository that are no pages show their path and lead nowhere.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent
ROOMS = ("manifests", "selectors", "trainer", "pipeline")
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made of other files."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = {
        "index.md": LINK.sub(_of_readme, readme),
        **{f"api/{room}.md": _docstrings(room) for room in ROOMS},
    }
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Make text of the links out of docs/."""
    return LINK.sub(_outside, markdown)


def _of_readme(found: re.Match[str]) -> str:
    mark, text, target = found.groups()
    inside = target.removeprefix("docs/")
    elsewhere = inside == target and "://" not in target and not target.startswith("#")
    return f"{mark}[{text}]({f'../{target}' if elsewhere else inside})"


def _outside(found: re.Match[str]) -> str:
    _, text, target = found.groups()
    if not target.startswith("../"):
        return found.group()
    path = target.removeprefix("../")
    return text if text.strip("`") == path else f"{text} (`{path}`)"


def _docstrings(room: str) -> str:
    """A page of the public names of a room: its ``__all__``, where they are defined."""
    tree = ast.parse((ROOT / "syllabus" / room / "__init__.py").read_text(encoding="utf-8"))
    public = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
    )
    shown = [name for name in public if not name.isupper()]
    return f"# syllabus.{room}\n\n" + "\n".join(f"::: syllabus.{room}.{name}\n" for name in shown)
