"""The command line: commands, help, exit codes, one line for each mistake in the flags."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli_jobs import lines_of, prepare, write_rows
from pydantic import ValidationError
from rich.cells import cell_len

import syllabus
from syllabus.pipeline import JobError, Options
from syllabus.pipeline.command_line import app as cli
from syllabus.pipeline.command_line.flags import NOT_FLAGS
from syllabus.pipeline.outcome import Outcome, StageRun
from syllabus.pipeline.reporting import job_messages as summary


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("data") / "texts.parquet")


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--text", "txet"], "texts.parquet: column 'txet' is unknown; did you mean 'text'?"),
        (["--label", "score"], "label 'score' holds floating-point numbers; a label is a class"),
        (["--encoder", "hasing"], "encoder 'hasing' is unknown; did you mean 'hashing'?"),
        (["--encoder", "no_such_package:factory"], "cannot import 'no_such_package'"),
        (["--fraction", "1.5"], "--fraction: fraction=[1.5]: 1.5 is outside (0, 1]"),
        (["--fraction", "many"], "'--fraction'"),
        (["--seed", "1.5"], "'--seed'"),
        (
            ["--objective", "graphcut"],
            "--objective: objective 'graphcut' is unknown; did you mean 'graph_cut'?",
        ),
        (["--sed", "3"], "option '--sed' is unknown; did you mean '--seed'?"),
        (["--seed"], "'--seed'"),
        (["--image", "image"], "give exactly one of text, image, embedding; got text, image"),
        (["--runner", "DaskRunner"], "is refused: it silently loses data"),
        (["--runner", "DirectRunner"], "is refused"),
        (["--runner", "PrizmRunner"], "did you mean 'PrismRunner'?"),
        (["job.toml"], "job.toml: no such file"),
        (["one.toml", "two.toml"], "unexpected extra argument"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(data, tmp_path, capsys, flags, line):
    assert prepare(data, tmp_path / "m", *flags) == 2
    (told,) = lines_of(capsys)
    assert told.startswith("syllabus: ")
    assert line in told
    assert list(tmp_path.iterdir()) == []


def test_errors_of_a_job_become_exit_codes(data, tmp_path, capsys, monkeypatch):
    def ends(error):
        def job(*_):
            raise error

        monkeypatch.setattr("syllabus.pipeline.preparation.prepare", job)
        code = prepare(data, tmp_path / "m")
        return code, lines_of(capsys)

    assert ends(JobError("the engine [burst]")) == (1, ["syllabus: the engine [burst]"])
    assert ends(KeyboardInterrupt()) == (130, ["syllabus: interrupted; finished shards are kept"])
    with pytest.raises(ZeroDivisionError):  # our own mistake: with its traceback
        ends(ZeroDivisionError())


def test_an_unknown_key_in_the_file_names_the_nearest(tmp_path, capsys):
    (tmp_path / "job.toml").write_text(
        'source = "d"\noutput = "m"\ntext = "t"\nencoder = "hashing"\nlable = "x"\n'
    )
    assert cli.run(["prepare", str(tmp_path / "job.toml")]) == 2
    (told,) = lines_of(capsys)
    assert told.endswith("job.toml: option 'lable' is unknown; did you mean 'label'?")


def test_commands_and_help(capsys, monkeypatch):
    assert cli.run(["prepair"]) == 2
    assert lines_of(capsys) == ["syllabus: command 'prepair' is unknown; did you mean 'prepare'?"]
    for columns in (80, 100):
        monkeypatch.setenv("COLUMNS", str(columns))
        for arguments in ([], ["--help"], *([command, "--help"] for command in cli.COMMANDS)):
            assert cli.run(arguments) == 0
            shown = capsys.readouterr().out.splitlines()
            assert max(map(cell_len, shown)) <= columns
            assert not any(line.endswith("...") for line in shown[1:])
    assert cli.run(["prepare", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "[default: OUTPUT.work]" in shown
    assert "float32 or bfloat16 or float16. [default: float32]" in shown


LEAST = {"source": "/s", "output": "/m", "text": "t", "encoder": "a:b"}
SAID = {
    "greater_than_equal": r"at least {0}\b|\[{0} to",
    "greater_than": r"above {0}\b",
    "less_than_equal": r"at most {0}\b|to {0}[;\]]",
    "less_than": r"below {0}",
}


def test_the_help_of_every_option_names_its_bounds(capsys):
    assert cli.run(["prepare", "--help"]) == 0
    entries = re.split(r"\n  (?=--)", capsys.readouterr().out)
    help_of = {entry.split()[0]: " ".join(entry.split()) for entry in entries}
    found = set()
    for name in sorted(set(Options.model_fields) - set(NOT_FLAGS)):
        shown = help_of["--" + name.replace("_", "-")]
        for value in (-1, 0, 1, 2, 15, 16, 101, 1025, 10**5 + 1, 2**20 + 1, 2**31 + 1, 2**63):
            try:
                Options.model_validate({**LEAST, name: value})
            except ValidationError as error:
                first = error.errors()[0]
                if first["type"] in SAID:
                    (bound,) = first["ctx"].values()
                    powers = {2**power: rf"2\^{power}" for power in (20, 24, 31, 63)}
                    expected = SAID[first["type"]].format(powers.get(bound, f"{bound:,.15g}"))
                    assert re.search(expected, shown), (shown, value)
                    found.add((name, first["type"]))
    assert {("neighbours", "less_than_equal"), ("bins", "greater_than_equal"), ("seed", "less_than")} < found


def test_the_summary_tells_what_was_reused_and_what_comes_next(capsys):
    from rich.console import Console

    stages = [
        StageRun("plan", "units", new=2),
        StageRun("embed", "rows", 900, 100, 3.2, {"out_of_memory": 2}),
    ]
    document = {
        "counts": {"source_rows": 1000, "accepted": 998, "rejected": 2, "reasons": {"null text": 2}},
        "partitions": [{}] * 3,
        "subsets": [{"count": 5, "budget": 100}],
    }
    ignored = (("README.md", "files of another kind"), ("x", "links that lead nowhere"))
    summary.print_summary(Console(width=80), Outcome("/m [x]", document, stages, ignored))
    shown = capsys.readouterr().out
    for part in (
        "998 examples in 3 partitions; 5 subsets of 100",
        "2 rows were rejected: null text 2; see rejects/",
        "memory ran out 2 times",
        "not read: files of another kind, 1 in all, such as README.md",
        "next: syllabus describe '/m [x]'",
        "      syllabus report '/m [x]'",
    ):
        assert part in shown
    assert ["embed", "900", "100", "rows", "3.2"] in [line.split() for line in shown.splitlines()]


def test_without_the_pipeline_extra_the_script_says_how_to_get_it(tmp_path):
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('No module named typer', name='typer')")
    start = "from syllabus.pipeline.command_line.entry import main; main()"
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {start}"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[3]
    )
    assert ended.returncode == 1
    assert ended.stderr == (
        "syllabus: typer is missing; the command line needs: pip install 'syllabus[pipeline,cpu]'\n"
    )


def test_the_version_and_both_ways_to_ask_for_help(capsys):
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"syllabus {syllabus.__version__}\n"
    for command in ([], *([name] for name in cli.COMMANDS)):
        assert cli.run([*command, "--help"]) == 0
        told = capsys.readouterr().out
        assert cli.run([*command, "-h"]) == 0
        assert capsys.readouterr().out == told
