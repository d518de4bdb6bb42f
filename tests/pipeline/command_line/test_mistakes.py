"""A mistake in every option and command: one line that names it, exit code 2, nothing written.

The table is made from the options themselves, so that a new one is in it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from cli_jobs import lines_of, prepare, write_rows
from small_manifest import write_small_manifest

from syllabus.pipeline.command_line import app as cli
from syllabus.pipeline.command_line.config import read_options
from syllabus.pipeline.command_line.flags import NOT_FLAGS
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.options import LOCATIONS, Options, choices

LONG = "x" * 100_000
NUMBERS = ("nan", "inf", "-inf", "1e400", "-1", "1" * 5000, "0x10", "", "many", "\x1b[31m")


def kind_of(name: str) -> type:
    """The type of an option's value, or of one of them."""
    kind: Any = Options.model_fields[name].annotation
    if get_origin(kind) is tuple or type(None) in get_args(kind):
        kind = get_args(kind)[0]
    return kind if kind in (int, float, bool) else str


def wrong_flags() -> list[tuple[str, str]]:
    """(option, argument) pairs, each of them a mistake whatever the others are."""
    found = []
    for name in Options.model_fields:
        kind = kind_of(name)
        if name in NOT_FLAGS or kind is bool:
            continue
        if kind is str:
            found += [(name, each) for each in ("", LONG, "a\udcff")]
            if choices(name):
                found += [(name, "x"), (name, "\x1b[31m")]
            continue
        # A negative number, or a whole one of 5,000 digits, is within no option's bounds.
        found += [(name, each) for each in NUMBERS if not (kind is float and each == "1" * 5000)]
        if kind is int:
            found += [(name, "1.5"), (name, str(10**30))]
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("data") / "texts.parquet")


@pytest.mark.parametrize("name", sorted({name for name, _ in wrong_flags()}))
def test_a_wrong_value_of_any_option_is_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    flag = "--" + name.replace("_", "-")
    for argument in (argument for option, argument in wrong_flags() if option == name):
        assert prepare(data, tmp_path / "m", f"{flag}={argument}") == 2, (flag, argument[:40])
        (told,) = lines_of(capsys)
        assert told.startswith("syllabus: "), told
        assert told.isprintable()
        assert len(told) < 6000
        assert name in told or flag in told
    assert list(tmp_path.iterdir()) == []


def wrong_values() -> list[tuple[str, Any]]:
    """(option, value) pairs of TOML or Python: of the wrong type, or out of bounds."""
    nested: Any = []
    for _ in range(200):
        nested = [nested]
    found: list[tuple[str, Any]] = []
    for name in Options.model_fields:
        kind = kind_of(name)
        if name == "runner_options":
            continue
        found += [(name, each) for each in ({"a": 1}, nested, b"\xff", 1j)]
        if kind is str:
            found += [(name, each) for each in (3, True, 1.5, math.nan, "", LONG, "a\0b", "a\ud800")]
        elif kind is bool:
            found += [(name, each) for each in (0, 1, "true", "", math.nan)]
        else:
            found += [(name, each) for each in ("3", True, math.nan, math.inf, -1, 10**400, 16**5000)]
    return found


@pytest.mark.parametrize("name", sorted({name for name, _ in wrong_values()}))
def test_a_wrong_value_in_python_is_one_line(name: str) -> None:
    least = {"source": "/data", "output": "/m", "text": "text", "encoder": "hashing"}
    for value in (value for option, value in wrong_values() if option == name):
        with pytest.raises(UserError) as error:
            Options(**{**least, name: value})
        line = str(error.value)
        assert line.startswith("options: ")
        assert name in line
        assert line.isprintable()
        assert len(line) < 1000


@pytest.mark.parametrize(
    "text", ["[" * 5000, "{a = " * 5000, "1" * 5000, "0x" + "f" * 5000, "nan", "[[[1]]]", "{}"]
)
def test_a_strange_value_in_the_file_is_one_line(tmp_path: Path, text: str) -> None:
    config = tmp_path / "job.toml"
    least = 'source = "d"\noutput = "m"\ntext = "t"\nencoder = "hashing"\n'
    for name in Options.model_fields:
        if name == "runner_options":
            continue
        given = "".join(line + "\n" for line in least.splitlines() if not line.startswith(f"{name} "))
        config.write_text(f"{given}{name} = {text}\n")
        with pytest.raises(UserError) as error:
            read_options(config, {})
        assert str(error.value).startswith(str(config))
        assert str(error.value).isprintable()
        assert len(str(error.value)) < 1000


@pytest.mark.parametrize("name", [name for name in LOCATIONS if name not in ("query", "private")])
@pytest.mark.parametrize("place", ["~no-such-user/x", "no-such-scheme://x/y"])
def test_a_place_that_cannot_be_is_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, place: str
) -> None:
    assert prepare(data, tmp_path / "m", "--" + name.replace("_", "-"), place) == 2
    (told,) = lines_of(capsys)
    assert name in told
    assert place.partition("/")[0] in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["describe"],
        ["describe", ""],
        ["describe", LONG],
        ["describe", "no-such-scheme://x/y"],
        ["validate"],
        ["validate", ""],
        ["validate", "MANIFEST", "--source", ""],
        ["report"],
        ["report", ""],
        ["report", "MANIFEST", "--output", ""],
        ["report", "MANIFEST", "--output", "no-such-scheme://x/y.html"],
        ["report", "MANIFEST", "--output", "/"],
        ["export"],
        ["export", "MANIFEST"],
        *(
            ["export", "MANIFEST", "--output", "x.csv", "--fraction", fraction]
            for fraction in (*NUMBERS, "0.77", "0")
        ),
        *(
            ["export", "MANIFEST", "--fraction", "0.1", "--output", output]
            for output in ("", "x.doc", "no-such-scheme://x/y.csv", "s3://x.csv")
        ),
        *(
            ["export", "MANIFEST", "--fraction", "0.1", "--output", "x.csv", "--subset", subset]
            for subset in ("99", "-1", "1.5", "x", "1" * 5000)
        ),
        ["export", "MANIFEST", "--fraction", "0.1", "--output", "x.csv", "--format", ""],
        ["export", "MANIFEST", "--fraction", "0.1", "--output", "x.csv", "--format", "doc"],
        ["export", "MANIFEST", "--fraction", "0.1", "--output", "x.csv", "--no-such-flag"],
        ["\x1b[31m"],
        ["--no-such-flag"],
        [LONG],
        [""],
        ["prepare", ""],
        ["prepare", LONG],
        ["prepare", "a", "b"],
    ],
)
def test_a_mistake_in_any_command_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    write_small_manifest(tmp_path / "m")
    monkeypatch.chdir(tmp_path)
    assert cli.run([str(tmp_path / "m") if each == "MANIFEST" else each for each in arguments]) == 2
    told = lines_of(capsys)[-1:] if arguments[0] != "validate" else lines_of(capsys)
    assert len(told) == 1
    assert told[0].isprintable()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]
