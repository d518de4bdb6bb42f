"""Files in the working directory that have the names of libraries are never executed."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cli_jobs import ROWS
from encoder_factories import FACTORIES
from small_manifest import write_small_manifest

ROOT = Path(__file__).parents[3]
# Loaded by every job, by commands only, by workers only; the second lot a library tries, and goes on without.
INSTALLED = (
    "random typing json logging pathlib tomllib typer rich pydantic numpy pandas pyarrow torch numba scipy"
    " sklearn apache_beam grpc google threadpoolctl joblib"
).split()
TRIED = "orjson ujson snappy optree sitecustomize usercustomize".split()
SMALL = "--neighbours 0 --subsets 0 --importance radius --order none --sketch-dim 0".split()


@pytest.fixture
def hostile(tmp_path):
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in INSTALLED + TRIED:
        (folder / f"{name}.py").write_text(f"open('executed', 'a').write('{name} ')\nraise ImportError\n")
    return folder


@pytest.fixture
def script(tmp_path):
    """A console script as pip writes one: Python puts its folder first, not the working directory."""

    def make(module: str) -> list[str]:
        path = tmp_path / "bin" / module.rpartition(".")[2]
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"import sys\nfrom {module} import main\nsys.exit(main())\n")
        return [str(path)]

    return make


def run(hostile, monkeypatch, *arguments, code=0):
    """Run a command there; return what it told, having looked that nothing of the folder was executed."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    ended = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=hostile, capture_output=True, text=True, check=False
    )
    executed = hostile / "executed"
    assert not executed.exists(), executed.read_text()
    assert ended.returncode == code, ended.stderr
    return ended.stdout + ended.stderr


def prepare(tmp_path, encoder):
    pq.write_table(pa.table(ROWS), tmp_path / "rows.parquet")
    places = ["--source", tmp_path / "rows.parquet", "--output", tmp_path / "m"]
    return ["prepare", *places, "--text", "text", "--label", "class", "--encoder", encoder]


def test_the_console_script(hostile, tmp_path, monkeypatch, script):
    write_small_manifest(tmp_path / "small")
    entry = script("syllabus.pipeline.command_line.entry")
    assert "partitions" in run(hostile, monkeypatch, *entry, "describe", tmp_path / "small")
    # Ends when the encoder was built.
    hopeless = [*prepare(tmp_path, "hashing"), "--fraction", "0.0001"]
    assert "is less than one" in run(hostile, monkeypatch, *entry, *hopeless, code=2)


def test_a_job_started_as_a_module_whose_factory_is_in_the_working_directory(hostile, tmp_path, monkeypatch):
    for name in TRIED:
        (hostile / f"{name}.py").unlink()
    (hostile / "factories.py").write_text("from beside import *\n")
    (hostile / "beside.py").write_text(FACTORIES)
    arguments = [*prepare(tmp_path, "factories:text"), "--workers", "2", *SMALL]
    assert "300 examples" in run(hostile, monkeypatch, "-m", "syllabus.pipeline", *arguments)


def test_the_worker_of_an_engine(hostile, monkeypatch):
    assert "PROCESS environment" in run(
        hostile, monkeypatch, "-m", "syllabus.pipeline.runners.worker", "--help"
    )
