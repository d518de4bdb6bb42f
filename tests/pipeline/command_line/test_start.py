"""The start of the command line: mistakes and short commands wait for no library that is slow to import."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cli_jobs import write_rows
from small_manifest import write_small_manifest

HEAVY = ("apache_beam", "torch", "sentence_transformers", "transformers", "sklearn", "numba", "faiss")
# pyarrow imports pandas where there is one, when it makes the first array: reading rows does, describing not.
ROWS = ("pandas",)
READING = ("pyarrow",)


def loaded(arguments: list[str], names: tuple[str, ...]) -> tuple[int, list[str], str]:
    """The exit code of a command in a process of its own, the modules that it loaded, and what it told."""
    code = (
        "import sys\nfrom syllabus.pipeline.command_line.app import run\n"
        f"code = run({arguments!r})\n"
        f"print('\\n' + ' '.join([str(code), *(name for name in {names!r} if name in sys.modules)]))"
    )
    root = Path(__file__).parents[3]
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    exit_code, *found = ended.stdout.splitlines()[-1].split()
    return int(exit_code), found, ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["prepare", "--help"], ["describe", "--help"], ["prepair"], ["prepare", "--sed", "3"]],
)
def test_help_and_misspelt_names_load_nothing_that_takes_long(arguments: list[str]) -> None:
    assert loaded(arguments, HEAVY + ROWS + READING)[1] == []


def test_commands_on_a_manifest_load_only_what_reads_it(tmp_path: Path) -> None:
    write_small_manifest(tmp_path / "m")
    assert loaded(["describe", str(tmp_path / "m")], HEAVY + ROWS)[:2] == (0, [])
    for arguments in (
        ["validate", str(tmp_path / "m")],
        ["export", str(tmp_path / "m"), "--fraction", "0.1", "--output", str(tmp_path / "rows.csv")],
    ):
        assert loaded(arguments, HEAVY)[:2] == (0, [])


def test_a_job_on_given_vectors_loads_no_model_library(tmp_path: Path) -> None:
    rows = {
        "vector": list(np.random.default_rng(0).standard_normal((40, 4), np.float32)),
        "label": ["a"] * 40,
    }
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    arguments = [
        "--source",
        str(tmp_path / "rows.parquet"),
        "--output",
        str(tmp_path / "m"),
        "--label",
        "label",
    ]
    unused = tuple(name for name in HEAVY if name not in ("apache_beam", "numba"))
    code, found, told = loaded(
        ["prepare", *arguments, "--embedding", "vector", "--workers", "2", "--device", "cpu"], unused
    )
    assert (code, found) == (0, []), told
    assert (tmp_path / "m" / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--text", "txet"], "column 'txet' is unknown; did you mean 'text'?"),
        (["--label", "clas"], "column 'clas' is unknown; did you mean 'class'?"),
        (["--label", "id"], "has at least 300 values for 300 examples"),
        (["--source", "none.parquet"], "no such file or directory"),
        (["--holdout", "none.parquet"], "holdout "),
        (["--output", "made"], "holds a committed manifest"),
        (["--runner", "PrizmRunner"], "did you mean 'PrismRunner'?"),
        (["--encoder", "hasing"], "did you mean 'hashing'?"),
        (["--fraction", "2"], "2.0 is outside (0, 1]"),
        (["bad.toml"], "is not TOML"),
    ],
)
def test_a_mistake_is_told_before_beam_or_a_model_library_is_loaded(
    tmp_path: Path, flags: list[str], line: str
) -> None:
    (tmp_path / "bad.toml").write_text("source = [")
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "manifest.json").write_text("{}")
    given = {"--source": "rows.parquet", "--output": "m", "--text": "text", "--label": "class"}
    given |= {"--encoder": str(tmp_path), **dict(zip(flags[::2], flags[1::2], strict=False))}
    write_rows(tmp_path / "rows.parquet")
    arguments = [str(tmp_path / "bad.toml")] if flags == ["bad.toml"] else []
    for flag, value in given.items():
        place = flag in ("--source", "--output", "--holdout")
        arguments += [flag, str(tmp_path / value) if place else value]
    code, found, told = loaded(["prepare", *arguments], HEAVY)
    assert (code, found) == (2, [])
    assert line in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("encoder", "line"),
    [("nosuchmodel", "it is not in the local cache"), ("nosuch:make", "cannot import 'nosuch'")],
)
def test_an_encoder_that_is_not_there_is_told_before_files_are_read_whole(
    tmp_path, monkeypatch, capsys, encoder, line
):
    from syllabus.pipeline.command_line.app import run
    from syllabus.pipeline.sources.parquet import ParquetSource

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(ParquetSource, "chunks", lambda *_: pytest.fail("reads the source"))
    monkeypatch.setattr("syllabus.pipeline.encoders.loading.build", lambda _: pytest.fail("loads libraries"))
    write_rows(tmp_path / "rows.parquet")
    arguments = [
        "--source",
        str(tmp_path / "rows.parquet"),
        "--output",
        str(tmp_path / "m"),
        "--text",
        "text",
    ]
    assert run(["prepare", *arguments, "--encoder", encoder]) == 2
    assert line in capsys.readouterr().err
