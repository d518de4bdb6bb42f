"""The rooms and sub-rooms: who may import whom, no circles, no long files, nothing of Python hidden."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOUSE = ROOT / "syllabus"
FILES = sorted(HOUSE.rglob("*.py"))

# What the code of a room may import beside Python's own modules.
ALLOWED = {
    "manifests": {"numpy", "pyarrow", "fastjsonschema"},
    "selectors": {"numpy", "torch", "numba", "llvmlite", "faiss"},
    "trainer": {
        "numpy", "torch", "rich", "pyarrow", "matplotlib", "optuna", "plotly", "manifests", "selectors",
    },
    "pipeline": {
        "numpy", "pyarrow", "torch", "rich", "apache_beam", "typer", "click", "pydantic", "pandas", "sklearn",
        "scipy", "datasets", "sentence_transformers", "transformers", "huggingface_hub", "faiss",
        "PIL", "threadpoolctl", "tomli", "grpc", "plotly", "umap", "xxhash",
        "google", "manifests", "selectors",
    },
}  # fmt: skip
# What a sub-room may import of its own room: a name is a file or a folder. A file may import its folder.
MAY: dict[str, dict[str, set[str]]] = {
    "manifests": {
        "errors": set(),
        "locations": set(),
        "storage": {"errors"},
        "budgets": {"errors"},
        "ids": {"errors"},
        "format": {"errors", "budgets"},
        # Readers know of a replacement that was interrupted, so that they can say so.
        "replacement": {"storage"},
        "writing": {"errors", "format", "storage", "replacement"},
        "reading": {"errors", "format", "locations", "storage", "budgets", "ids", "replacement"},
        "validation": {"errors", "format", "storage", "budgets", "ids", "reading", "replacement"},
    },
    "selectors": {
        "errors": set(),
        "selection": set(),
        "numerics": {"errors"},
        "validation": {"errors", "numerics"},
        "constraint": {"errors", "numerics", "validation"},
        "functions": {"errors", "numerics", "validation", "constraint"},
        "optimizers": {"errors", "numerics", "validation", "constraint", "functions", "selection"},
        "partitioned": {
            "errors", "numerics", "validation", "constraint", "functions", "selection", "optimizers",
        },
        "importances": {"errors", "numerics", "validation"},
        "balancing": {"errors", "numerics"},
        "interleaving": {"errors", "validation"},
        "herding": {"errors", "numerics", "validation", "balancing", "interleaving"},
        "neighbours": {"errors", "numerics", "validation"},
    },
    "pipeline": {
        "errors": set(),
        "outcome": {"errors"},
        "runtime": {"errors"},
        "conditions": set(),
        "fetching": {"errors"},
        "options": {"errors", "conditions"},
        "sealed_parquet": set(),
        "work_directory": {"errors", "sealed_parquet"},
        "sources": {"errors", "conditions"},
        "encoders": {"errors", "runtime", "options", "sources", "work_directory"},
        "runners": {"errors", "options", "work_directory"},
        "reporting": {"errors", "options", "outcome"},
        "source_check": {"errors", "conditions", "sources"},
        "source_texts": {"errors", "sources", "source_check"},
        "stages": {"errors", "runtime", "options", "sources", "encoders", "work_directory"},
        "job": {
            "errors", "outcome", "runtime", "options", "work_directory", "stages", "runners", "reporting",
        },
        # The checks and the plan, which import neither Beam nor torch, and then the job.
        "preparation": {
            "errors", "options", "outcome", "reporting", "runtime", "runners", "sources", "stages", "job",
        },
        "dry_run": {"errors", "options", "sources", "encoders", "runtime", "stages", "preparation"},
        "command_line": {
            "errors", "options", "outcome", "sources", "dry_run", "fetching", "preparation", "runners",
            "reporting",
            "source_check", "source_texts",
        },
        "__main__": {"command_line"},
    },
    "pipeline/stages": {
        "plan": set(),
        "embed": {"plan"},
        "partitions": set(),
        "rows": {"plan", "partitions"},
        "conflicts": {"rows"},
        "census": {"plan", "rows", "partitions", "conflicts"},
        "transform": {"plan", "rows", "census"},
        "neighbours": {"plan", "rows", "partitions", "census", "transform"},
        "guide": {"plan", "embed", "transform"},
        "regroup": {"plan", "rows", "partitions", "census", "transform"},
        "select": {"partitions", "transform", "guide", "regroup"},
        "order": {"regroup", "select"},
        "select_and_order": {"regroup", "select", "order"},
        "commit": {
            "plan", "rows", "partitions", "census", "transform", "neighbours", "guide", "regroup", "select",
            "order",
        },
    },
    "trainer": {
        "errors": set(),
        "counter_rng": set(),
        "validation": {"errors"},
        "states": {"errors", "validation"},
        "ranks": {"errors", "validation"},
        "curriculum": {"errors", "counter_rng", "validation"},
        "gradients": {"errors", "counter_rng", "validation"},
        "ordering": {"errors", "counter_rng", "validation", "states", "ranks", "curriculum"},
        "data": {"errors", "counter_rng", "validation", "states", "ranks", "curriculum", "ordering"},
        "batch_size": {"errors", "counter_rng", "validation", "states", "ranks", "curriculum"},
        "loop": {"errors", "counter_rng", "validation", "states", "ranks", "data", "ordering", "batch_size"},
        "tuning": {"errors", "counter_rng", "validation", "curriculum", "data", "loop"},
    },
}  # fmt: skip
# What other rooms may import beside the rooms themselves.
PUBLIC = {
    "manifests.storage", "manifests.locations", "manifests.ids", "manifests.budgets", "manifests.format",
    "manifests.errors",
    "selectors.herding", "selectors.importances", "selectors.neighbours", "selectors.balancing",
    "selectors.balancing.vectors", "selectors.numerics.counter_rng", "selectors.numerics.scalars",
    "selectors.numerics.union_find", "trainer.tuning",
}  # fmt: skip
HEAVY = (
    "apache_beam", "sentence_transformers", "transformers", "pandas", "sklearn", "typer", "pydantic",
    "optuna", "plotly",
)  # fmt: skip
# What importing a room must leave unloaded.
UNLOADED = {
    "manifests": ("torch", "numba", "faiss", *HEAVY),
    "selectors": HEAVY,
    "trainer": HEAVY,
    "pipeline": ("apache_beam", "sentence_transformers"),
}


def dotted(path: Path) -> str:
    """The module of a file: a folder's own for its __init__.py."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {dotted(path): path for path in FILES}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file: the deepest module that a statement names."""
    package = dotted(path) if path.name == "__init__.py" else dotted(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")
                base = ".".join([*above[: len(above) + 1 - node.level], *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in MODULES else base


def ours(path: Path) -> set[str]:
    return {name for name in imports(path) if name.split(".")[0] == "syllabus" and name != "syllabus"}


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_what_it_may(room: str) -> None:
    files = list((HOUSE / room).rglob("*.py"))
    assert files
    for path in files:
        parts = [name.split(".") for name in imports(path) if name != "syllabus"]
        tops = {part[1] if part[0] == "syllabus" else part[0] for part in parts}
        also = (
            {"trainer"} if path == HOUSE / "pipeline/command_line/tune.py" else set()
        )  # a command: it trains
        foreign = tops - ALLOWED[room] - {room} - sys.stdlib_module_names - also
        assert not foreign, f"{path.relative_to(ROOT)} imports {sorted(foreign)}"


def test_rooms_import_of_each_other_only_what_is_public() -> None:
    deep = []
    for path in FILES:
        room = path.relative_to(HOUSE).parts[0]
        for name in ours(path):
            other, _, inner = name.removeprefix("syllabus.").partition(".")
            public = not inner or f"{other}.{inner}" in PUBLIC
            if path.name != "__init__.py" and other != room and not public:
                deep.append(f"{path.relative_to(ROOT)} imports {name}")
    assert deep == []


@pytest.mark.parametrize("place", sorted(MAY))
def test_a_sub_room_imports_only_what_it_may(place: str) -> None:
    allowed, prefix = MAY[place], f"syllabus.{place.replace('/', '.')}."
    inside = {path.stem if path.is_file() else path.name for path in (HOUSE / place).iterdir()}
    assert inside - {"__init__", "__pycache__", "py.typed"} == set(allowed)
    wrong = []
    for module, path in MODULES.items():
        if module.startswith(prefix):
            own = module.removeprefix(prefix).split(".")[0]
            used = {name.removeprefix(prefix).split(".")[0] for name in ours(path) if name.startswith(prefix)}
            wrong += [f"{path.relative_to(ROOT)} imports {name}" for name in used - allowed[own] - {own}]
    assert wrong == []


def test_no_files_import_each_other_in_a_circle() -> None:
    edges = {module: ours(path) & set(MODULES) - {module} for module, path in MODULES.items()}
    # A circle is left when modules that import nothing more are taken away again and again.
    while leaves := {module for module, used in edges.items() if not used}:
        edges = {module: used - leaves for module, used in edges.items() if module not in leaves}
    # What only stands above a circle is imported by nothing that is left.
    while tops := set(edges) - set().union(*edges.values(), set()):
        edges = {module: used for module, used in edges.items() if module not in tops}
    assert edges == {}


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_importing_a_room_is_light(room: str) -> None:
    code = f"import sys, syllabus.{room}; print(' '.join(n for n in {UNLOADED[room]!r} if n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_pythons_own_selectors_work_from_the_checkout() -> None:
    code = "import asyncio, selectors, subprocess; asyncio.run(asyncio.sleep(0)); selectors.EVENT_READ"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    # A package tests/selectors would shadow it in spawned processes.
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_the_house_holds_four_rooms_and_nothing_else() -> None:
    inside = {path.name for path in HOUSE.iterdir() if path.name not in ("__pycache__", "py.typed")}
    assert inside == {*ALLOWED, "__init__.py"}
    assert not (ROOT / "selectors").exists()


def test_an_init_holds_only_imports_and_names() -> None:
    for path in HOUSE.glob("*/**/__init__.py"):
        if path.parent.parent == HOUSE:
            continue  # a room may load its parts when they are asked for
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            names = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            imported = isinstance(node, (ast.Import, ast.ImportFrom))
            assert docstring or names or imported, f"{path.relative_to(ROOT)}:{node.lineno}"


def test_no_file_is_long() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {str(path.relative_to(ROOT)): length for path, length in lengths.items() if length > 310} == {}


def test_no_function_is_long_or_wide() -> None:
    long, wide = [], []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                place = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                if (node.end_lineno or 0) - node.lineno > 120 and node.name != "fit":
                    long.append(place)
                if len(arguments) > 15 and node.name.startswith("_") and node.name != "__init__":
                    wide.append(f"{place}: {len(arguments)} parameters")
    assert (long, wide) == ([], [])
