"""The commands that read a manifest: describe, validate, report, export."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cli_jobs import COUNT, ROWS, lines_of, prepare, write_rows
from damaged_manifest import edit
from rich.cells import cell_len

from syllabus.pipeline.command_line import app as cli


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("data") / "texts.parquet")


@pytest.fixture(scope="module")
def made(data, tmp_path_factory):
    """A manifest with labels, and one with clusters and several fractions."""
    folder = tmp_path_factory.mktemp("made")
    assert prepare(data, folder / "labels", "--id", "id", "--subsets", "2") == 0
    assert prepare(data, folder / "clusters", "--fraction", "0.1", "--fraction", "0.5", label=None) == 0
    return folder


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
    from syllabus.pipeline.reporting.describe import print_description

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


def test_what_is_no_manifest_is_one_line(made, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    places = {
        tmp_path: f"{tmp_path} is no committed manifest",
        tmp_path / "none": "none is no committed manifest",
        tmp_path / "notes.txt": "notes.txt: is a file; a manifest is a directory",
        made / "labels" / "manifest.json": f"is a file; a manifest is a directory, here {made / 'labels'}",
    }
    for place, line in places.items():
        export = ["export", "--fraction", "0.1", "--output", "x"]
        for command in (["describe"], ["validate"], ["report"], export):
            assert cli.run([*command, str(place)]) == 2
            (told,) = lines_of(capsys)
            assert told.endswith(line)


def test_validate_tells_one_line_for_each_problem(made, tmp_path, capsys):
    manifest = tmp_path / "m"
    shutil.copytree(made / "labels", manifest)
    assert cli.run(["validate", str(manifest)]) == 0
    assert "files are sound" in capsys.readouterr().out
    killed = tmp_path / f".m.{'a' * 12}.new"
    killed.mkdir()
    assert cli.run(["validate", str(manifest)]) == 0
    told = capsys.readouterr().out
    assert f"{manifest}: beside it lies {killed.name}, of a job that is at work or was killed" in told
    assert "files are sound" in told
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


def test_validate_by_chunks_gives_the_same_answer(made, data, monkeypatch, capsys):
    from syllabus.pipeline import source_check as verification

    monkeypatch.setattr(verification, "CHUNK_ROWS", 37)
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


def test_a_damaged_manifest_ends_with_1_and_none_with_2(made, tmp_path, capsys):
    def ends(content):
        shutil.rmtree(tmp_path / "m", ignore_errors=True)
        shutil.copytree(made / "labels", tmp_path / "m")
        (tmp_path / "m" / "manifest.json").write_bytes(content)
        codes = set()
        export = ["export", "--fraction", "0.1", "--output", "x.csv"]
        for command in (["describe"], ["validate"], ["report"], export):
            codes.add(cli.run([*command, str(tmp_path / "m")]))
            (told,) = lines_of(capsys)
            assert "manifest.json: " in told
        return codes

    whole = (made / "labels" / "manifest.json").read_bytes()
    assert ends(whole[:-50]) == {1}
    assert ends(whole.replace(b'"seed": 0', b'"seed": 1')) == {1}
    assert ends(b"[" * 100_000) == {1}
    assert ends(b'{"format": "another"}') == {2}
    assert ends(whole.replace(b'"format_version": 1', b'"format_version": 9')) == {2}


def test_a_number_of_thousands_of_digits_is_one_line(made, tmp_path, capsys):
    shutil.copytree(made / "labels", tmp_path / "m")

    def renamed(document):
        entry = document["files"][0]
        entry["path"] = entry["path"].replace("00000", "0" * 5000)

    edit(tmp_path / "m", renamed)
    assert cli.run(["describe", str(tmp_path / "m")]) == 1
    (told,) = lines_of(capsys)
    assert "has a part whose number has 5000 digits" in told


def test_a_source_is_not_checked_where_the_manifest_names_no_column(made, data, tmp_path, capsys):
    shutil.copytree(made / "labels", tmp_path / "m")
    edit(tmp_path / "m", lambda document: document.update(options={}))
    assert cli.run(["validate", str(tmp_path / "m"), "--source", str(data)]) == 1
    (told,) = lines_of(capsys)
    assert told.endswith("cannot be checked: the manifest's options name no content column")
