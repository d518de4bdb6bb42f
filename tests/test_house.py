"""The rooms and who may import whom; and that the room `selectors` hides nothing of Python's own."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOUSE = ROOT / "syllabus"
OURS = {"manifests", "selectors", "pipeline", "trainer"}

# What the code of a room may import beside Python's own modules.
ALLOWED = {
    "manifests": {"numpy", "pyarrow"},
    "selectors": {"numpy", "torch", "numba", "llvmlite", "faiss"},
    "trainer": {"numpy", "torch", "rich", "pyarrow", "manifests", "selectors"},
    "pipeline": {
        "numpy", "pyarrow", "torch", "rich", "apache_beam", "typer", "click", "pydantic", "pandas", "sklearn",
        "scipy", "sentence_transformers", "transformers", "huggingface_hub", "faiss",
        "PIL", "threadpoolctl", "tomli", "grpc",
        "google", "manifests", "selectors",
    },
}  # fmt: skip
HEAVY = ("apache_beam", "sentence_transformers", "transformers", "pandas", "sklearn", "typer", "pydantic")
# What importing a room must leave unloaded.
UNLOADED = {
    "manifests": ("torch", "numba", "faiss", *HEAVY),
    "selectors": HEAVY,
    "trainer": HEAVY,
    "pipeline": ("apache_beam", "sentence_transformers"),
}


def imported(path: Path) -> set[str]:
    """The modules that a file imports: of this package its room, of others their top name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            names.add(f"syllabus.{path.relative_to(HOUSE).parts[0]}")
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            if node.module == "syllabus":
                names.update(f"syllabus.{alias.name}" for alias in node.names)
    parts = [name.split(".") for name in names if name != "syllabus"]
    return {part[1] if part[0] == "syllabus" else part[0] for part in parts}


@pytest.mark.parametrize("room", sorted(OURS))
def test_a_room_imports_only_what_it_may(room: str) -> None:
    files = list((HOUSE / room).rglob("*.py"))
    assert files
    for path in files:
        foreign = imported(path) - ALLOWED[room] - {room} - sys.stdlib_module_names
        assert not foreign, f"{path.relative_to(ROOT)} imports {sorted(foreign)}"


@pytest.mark.parametrize("room", sorted(OURS))
def test_importing_a_room_is_light(room: str) -> None:
    code = f"import sys, syllabus.{room}; print(' '.join(n for n in {UNLOADED[room]!r} if n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_pythons_own_selectors_work_from_the_checkout() -> None:
    code = "import asyncio, selectors, subprocess; asyncio.run(asyncio.sleep(0)); selectors.EVENT_READ"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_house_holds_four_rooms_and_nothing_else() -> None:
    inside = {path.name for path in HOUSE.iterdir() if path.name not in ("__pycache__", "py.typed")}
    assert inside == OURS | {"__init__.py"}
    assert not (ROOT / "selectors").exists()


def test_no_file_is_long() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in HOUSE.rglob("*.py")}
    assert {str(path.relative_to(ROOT)): length for path, length in lengths.items() if length > 310} == {}
