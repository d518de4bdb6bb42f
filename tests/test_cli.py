"""The command line: exit codes, one line for each mistake, and what `describe` and `validate` show."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from job_sources import sentences
from rich.cells import cell_len

from syllabus.pipeline import JobError, cli, summary
from syllabus.pipeline.job import Outcome, StageRun

COUNT = 300
ROWS = {
    "text": sentences(COUNT, 0),
    "class": [f"class {row % 3}" for row in range(COUNT)],
    "id": [f"key {row}" for row in range(COUNT)],
    "score": [row / 7 for row in range(COUNT)],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "texts.parquet"
    pq.write_table(pa.table(ROWS), path)
    return path


@pytest.fixture(scope="module")
def made(data, tmp_path_factory):
    """A manifest with labels, and one with clusters and several fractions."""
    folder = tmp_path_factory.mktemp("made")
    assert prepare(data, folder / "labels", "--id", "id", "--subsets", "2") == 0
    assert prepare(data, folder / "clusters", "--fraction", "0.1", "--fraction", "0.5", label=None) == 0
    return folder


def prepare(source, output, *flags, label="class", text="text", encoder="hashing"):
    arguments = ["prepare", "--source", str(source), "--output", str(output), "--text", text]
    arguments += ["--encoder", encoder] + (["--label", label] if label is not None else [])
    return cli.run([*arguments, *flags])


def lines_of(capsys):
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


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


def test_a_source_that_cannot_be_used_is_one_line(tmp_path, capsys, data):
    (tmp_path / "empty").mkdir()
    (tmp_path / "header.csv").write_text("text,class\n")
    (tmp_path / "short.parquet").write_bytes(data.read_bytes()[:-50])
    (tmp_path / "zero.parquet").write_bytes(b"")
    before = sorted(tmp_path.iterdir())
    for name, line in {
        "none": "no such file or directory",
        "empty": "holds no file that ends in .parquet",
        "header.csv": "is empty: 1 files, 0 rows",
        "short.parquet": "short.parquet: cannot be read as Parquet",
        "zero.parquet": "zero.parquet: cannot be read as Parquet",
    }.items():
        assert prepare(tmp_path / name, tmp_path / "m") == 2
        (told,) = lines_of(capsys)
        assert line in told
    assert sorted(tmp_path.iterdir()) == before


def test_an_output_that_cannot_be_used_is_one_line(data, made, capsys, tmp_path):
    for output, line in {
        made / "labels": "holds a committed manifest",
        data: "is the source itself",
        data / "m": "lies in the source",
        data.parent: "holds source=",
    }.items():
        assert prepare(data, output) == 2
        (told,) = lines_of(capsys)
        assert line in told
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "thesis.doc").write_text("mine")
    assert prepare(data, tmp_path / "m") == 2
    (told,) = lines_of(capsys)
    assert "thesis.doc" in told


def test_too_many_label_values_is_a_mistake(data, tmp_path, capsys):
    assert prepare(data, tmp_path / "m", label="id") == 2
    assert "label='id': has at least 300 values for 300 examples" in lines_of(capsys)[-1]
    assert not (tmp_path / "m").exists()


def test_a_failed_job_ends_with_1(tmp_path, capsys):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"text": "fine words", "class": "a"}\n' * 19 + '{"text": null, "class": "a"}\n')
    assert prepare(bad, tmp_path / "m") == 1
    told = lines_of(capsys)
    assert "1 of 20 rows are bad (5.00%; max_reject_rate is 1.00%)" in told[-1]
    assert not (tmp_path / "m").exists()


def test_errors_of_a_job_become_exit_codes(data, tmp_path, capsys, monkeypatch):
    def ends(error):
        def job(*_):
            raise error

        monkeypatch.setattr("syllabus.pipeline.job.prepare", job)
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


@pytest.mark.parametrize("name", ["labels", "clusters"])
def test_describe_fits_80_columns(made, capsys, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.run(["describe", str(made / name)]) == 0
    shown = capsys.readouterr().out
    document = json.loads((made / name / "manifest.json").read_text())
    body = [line for line in shown.splitlines() if str(made) not in line and "fingerprint" not in line]
    assert max(map(cell_len, body)) <= 80
    assert f"{COUNT} examples; 0 of {COUNT} rejected" in shown
    assert ("class 2" if name == "labels" else "cluster 1") in shown
    for subset in document["subsets"]:
        row = next(line.split() for line in shown.splitlines() if line.startswith(f"{subset['fraction']:g} "))
        gain = subset["normalised_gain"]
        assert row[1:5] == [
            str(subset["budget"]),
            str(subset["count"]),
            f"{gain['mean']:.3f}",
            f"{gain['least']:.3f}",
        ]
        assert row[5:] == [
            f"{subset['jaccard']:.2f}",
            f"{subset['covered']:.1%}",
            f"{subset['greedy'] / subset['upper_bound']:.3f}",
        ]
    for word in ("radius", "disparity_min", "herding", "published"):
        assert word in shown


def test_describe_holds_with_large_figures_and_odd_labels(made, capsys, monkeypatch):
    from rich.console import Console

    from syllabus.manifests import Manifest
    from syllabus.pipeline.description import print_description

    manifest = Manifest.open(made / "labels")
    document = manifest.description
    label = "[red]a very long\nlabel[/red] " * 10
    document["partitions"] = [{"partition": i, "label": label, "examples": 123_456_789} for i in range(40)]
    for subset in document["subsets"]:
        subset.update(fraction=0.123456, budget=123_456_789, count=1000, upper_bound=None, jaccard=None)
        subset["partitions"] = [1_234_567] * 40
        subset["normalised_gain"] = {"mean": -12.3456, "least": -112.3456}
    document["orders"]["herding"]["random"] = {"l2": 1234567.8, "linf": 0.00012345}
    monkeypatch.setenv("COLUMNS", "80")
    print_description(Console(width=80), manifest)
    shown = capsys.readouterr().out
    assert "[red]a very long label[/red]" in shown
    assert "… 28 more" in shown
    row = next(line.split() for line in shown.splitlines() if line.startswith("0.123456"))
    assert row == ["0.123456", "123,456,789", "1,000", "-12.346", "-112.346", "–", row[6], "–"]


def test_describe_of_no_manifest_is_one_line(tmp_path, capsys):
    assert cli.run(["describe", str(tmp_path)]) == 2
    assert "is no committed manifest" in lines_of(capsys)[0]


def test_validate_tells_one_line_for_each_problem(made, tmp_path, capsys):
    manifest = tmp_path / "m"
    shutil.copytree(made / "labels", manifest)
    assert cli.run(["validate", str(manifest)]) == 0
    assert "files are sound" in capsys.readouterr().out
    for name in ("examples", "orders/herding"):
        file = manifest / name / "part-00000.parquet"
        content = bytearray(file.read_bytes())
        content[100] ^= 1
        file.write_bytes(content)
    assert cli.run(["validate", str(manifest)]) == 1
    told = lines_of(capsys)
    assert len(told) == 2
    assert {line.partition(": ")[2].partition(":")[0] for line in told} == {
        "examples/part-00000.parquet",
        "orders/herding/part-00000.parquet",
    }


def test_validate_with_the_source_names_the_first_rows_that_differ(made, data, tmp_path, capsys):
    manifest = str(made / "labels")
    assert cli.run(["validate", manifest, "--source", str(data)]) == 0
    assert f"made from {data}" in capsys.readouterr().out
    changed = {
        "text": [*ROWS["text"][:-1], "another text"],
        "class": [*ROWS["class"][:-1], "class 9"],
        "id": ["another id", *ROWS["id"][1:]],
    }
    for column, values in changed.items():
        other = tmp_path / "texts.parquet"
        pq.write_table(pa.table({**ROWS, column: values}), other, row_group_size=77)
        assert cli.run(["validate", manifest, "--source", str(other)]) == 1
        (told,) = lines_of(capsys)
        assert "is another data set: rows 0 to 299 are the first that differ" in told
        assert told.endswith("from texts.parquet row 0 on")
    pq.write_table(pa.table(ROWS).slice(0, 299), tmp_path / "texts.parquet")
    assert cli.run(["validate", manifest, "--source", str(tmp_path)]) == 1
    assert "has 299 rows; the manifest was made from 300" in lines_of(capsys)[0]
    pq.write_table(pa.table(ROWS).drop_columns(["text"]), tmp_path / "texts.parquet")
    assert cli.run(["validate", manifest, "--source", str(tmp_path)]) == 2
    assert "column 'text' is unknown" in lines_of(capsys)[0]


def test_validate_by_units_gives_the_same_answer(made, data, monkeypatch, capsys):
    from syllabus.pipeline import verification

    monkeypatch.setattr(verification, "UNIT_ROWS", 37)
    assert cli.run(["validate", str(made / "labels"), "--source", str(data)]) == 0
    assert "made from" in capsys.readouterr().out


def test_export_writes_a_subset(made, tmp_path, capsys):
    arguments = ["export", str(made / "labels"), "--fraction", "0.1", "--output", str(tmp_path / "ids.txt")]
    assert cli.run(arguments) == 0
    ids = (tmp_path / "ids.txt").read_text().splitlines()
    assert len(set(ids)) == 30
    assert set(ids) <= set(ROWS["id"])
    assert cli.run([*arguments[:-1], str(tmp_path / "rows.csv")]) == 0
    assert (tmp_path / "rows.csv").read_text().startswith('"index","id"')
    capsys.readouterr()
    assert cli.run([*arguments, "--subset", "7"]) == 2
    assert len(lines_of(capsys)) == 1


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
    summary.print_summary(Console(width=80), Outcome("/m [x]", document, stages, ("README.md",)))
    shown = capsys.readouterr().out
    for part in (
        "998 examples in 3 partitions; 5 subsets of 100",
        "2 rows were rejected: null text 2; see rejects/",
        "memory ran out 2 times",
        "1 files were not read, such as README.md",
        "next: syllabus describe '/m [x]'",
    ):
        assert part in shown
    assert ["embed", "900", "100", "rows", "3.2"] in [line.split() for line in shown.splitlines()]


def test_without_the_pipeline_extra_the_script_says_how_to_get_it(tmp_path):
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('No module named typer', name='typer')")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from syllabus.pipeline.entry import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1]
    )
    assert ended.returncode == 1
    assert ended.stderr == (
        "syllabus: typer is missing; the command line needs: pip install 'syllabus[pipeline,cpu]'\n"
    )


def test_a_page_that_turns_out_to_be_broken_is_one_line(data, tmp_path):
    content = bytearray(data.read_bytes())
    content[4:-3000] = bytes(len(content) - 3004)
    (tmp_path / "spoilt.parquet").write_bytes(content)
    # In a process of its own: pytest takes over what Beam logs.
    command = [
        sys.executable,
        "-m",
        "syllabus.pipeline",
        "prepare",
        "--source",
        str(tmp_path / "spoilt.parquet"),
    ]
    command += ["--output", str(tmp_path / "m"), "--text", "text", "--encoder", "hashing"]
    ended = subprocess.run(command, capture_output=True, text=True)
    said, told = ended.stderr.splitlines()
    assert ended.returncode == 2
    assert said.startswith("subsets: 16 of ")
    assert "spoilt.parquet: cannot be read as Parquet" in told
    assert not (tmp_path / "m").exists()
