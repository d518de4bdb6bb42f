"""The lists of suspects, near-duplicates and test rows: what they hold, on the terminal and in files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from job_sources import add_weights, sentences, table, write_embeddings
from jobs import run
from PIL import Image
from rich.cells import cell_len

from syllabus.manifests import Manifest, ManifestError, list_duplicates, list_holdout, list_suspects
from syllabus.pipeline.command_line import app as cli
from syllabus.pipeline.reporting.html.rows import read_lists

CLASSES, OF_CLASS = ("red", "green", "blue"), 60
WRONG, COPIES = (5, 65, 130), (10, 11, 12)
HOSTILE = "\x1b[31m\u202e[red]\n<b>"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts that speak of their class, three of them under another label, and copies of three texts.

    Two copies of row 10 are under its label, the copy of row 70 under another.
    """
    folder = tmp_path_factory.mktemp("lists")
    rows = []
    for number, name in enumerate(CLASSES):
        texts = sentences(OF_CLASS, number)
        rows += [{"text": f"{f'{name} ' * 12}{text}", "label": name} for text in texts]
    for row in WRONG:
        rows[row]["label"] = CLASSES[(CLASSES.index(rows[row]["label"]) + 1) % 3]
    rows[5]["text"] += HOSTILE + " red" * 90
    rows += [{**rows[10]}, {**rows[10]}, {**rows[70], "label": "blue"}]
    for row, each in enumerate(rows):
        each["key"] = f"key {row}"
    source = folder / "s.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    tested = [{"text": "nothing of the kind at all"}, {"text": rows[100]["text"]}, {"text": rows[40]["text"]}]
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tested), encoding="utf-8")
    settings = {"text": "text", "id": "key", "subsets": 1, "importance": "radius"}
    run(source, folder / "m", holdout=str(folder / "t.jsonl"), duplicate_threshold=0.995, **settings)
    run(source, folder / "plain", label=None, clusters=2, neighbours=0, preview=False, **settings)
    return folder


def test_suspects_are_sorted_by_how_sure_they_are(made: Path) -> None:
    rows = list_suspects(Manifest.open(made / "m")).to_pylist()
    assert {row["index"] for row in rows[:4]} == {*WRONG, 182}
    examples = {row["index"]: row for row in table(made / "m", "examples").to_pylist()}
    pairs = table(made / "m", "hygiene/suspects").to_pandas()
    for row in rows:
        own = pairs[pairs["index"] == row["index"]]
        assert row["neighbours"] == own["neighbour"].tolist()
        assert row["cosine"] == pytest.approx(own["cosine"].mean(), abs=1e-6)
        labels = [examples[index]["label"] for index in row["neighbours"]]
        assert row["share"] == labels.count(row["neighbour_label"]) / len(labels)
        assert row["share"] >= max(labels.count(each) for each in CLASSES) / len(labels)
        example = examples[row["index"]]
        assert [row[name] for name in ("id", "label", "source_row")] == [
            example[name] for name in ("id", "label", "source_row")
        ]
    sure = [row["share"] * row["cosine"] for row in rows]
    assert sure == sorted(sure, reverse=True)
    assert rows[0]["neighbour_label"] == CLASSES[rows[0]["index"] // OF_CLASS]


def test_groups_of_several_labels_come_first(made: Path) -> None:
    rows = list_duplicates(Manifest.open(made / "m")).to_pandas()
    examples = table(made / "m", "examples").to_pandas().set_index("index")
    sizes = examples["duplicate_group"].value_counts()
    assert sorted(rows["index"]) == sorted(examples.index[examples["duplicate_group"].map(sizes) > 1])
    groups = rows.drop_duplicates("group")
    labels = rows.groupby("group")["label"].nunique()
    assert groups["labels"].tolist() == labels[groups["group"]].tolist()
    assert groups["labels"].iloc[0] == 2
    order = list(zip(groups["labels"] < 2, -groups["size"], groups["group"], strict=True))
    assert order == sorted(order)
    copies = rows[rows["group"] == 10]
    assert copies["index"].tolist() == [10, 180, 181]
    assert copies["kept"].tolist() == [True, False, False]
    assert copies["cosine"].min() > 0.999
    assert all(near in copies["index"].tolist() for near in copies["nearest"])


def test_a_report_lists_what_the_lists_begin_with(made: Path) -> None:
    manifest = Manifest.open(made / "m")
    shown = read_lists(manifest)
    suspects = list_suspects(manifest)["index"].to_pylist()
    assert [each["index"] for each in shown.suspects] == suspects[:50]
    groups = list(dict.fromkeys(list_duplicates(manifest)["group"].to_pylist()))
    assert [min(each["members"]) for each in shown.groups] == groups[:40]
    # The preview has what stands beside them, however large the data are.
    assert set(suspects[:50]) <= set(manifest.table("preview", ["index"])["index"].to_pylist())


def test_test_rows_stand_beside_the_examples_that_hold_them(made: Path) -> None:
    rows = list_holdout(Manifest.open(made / "m")).to_pylist()
    assert {(row["test_row"], row["index"]) for row in rows} == {(1, 100), (2, 40)}
    assert all(row["text"] == row["test_text"] is not None for row in rows)
    assert [row["test_file"] for row in rows] == ["t.jsonl"] * 2


@pytest.mark.parametrize("command", ["suspects", "duplicates", "holdout"])
def test_the_terminal_shows_what_fits_and_no_escape(
    made: Path, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.run([command, str(made / "m"), "--limit", "1"]) == 0
    shown = capsys.readouterr().out
    assert max(map(cell_len, shown.splitlines())) <= 80
    assert not {"\x1b", "\u202e"} & set(shown)
    listed = {"suspects": list_suspects, "duplicates": list_duplicates, "holdout": list_holdout}[command]
    assert f" {listed(Manifest.open(made / 'm'))['index'][0]} " in shown
    more = {"suspects": "suspect", "duplicates": "group", "holdout": "test row"}[command]
    assert f"more {more}" in shown


def test_files_have_every_row_and_whole_texts_of_the_source(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = list_suspects(Manifest.open(made / "m")).to_pylist()
    for suffix in ("csv", "jsonl", "parquet"):
        output = tmp_path / f"out.{suffix}"
        given = ["suspects", str(made / "m"), "--output", str(output), "--source", str(made / "s.jsonl")]
        assert cli.run(given) == 0
        assert f"{output}: {len(expected)} rows" in capsys.readouterr().out
        before = output.read_bytes()
        assert cli.run(given) == 2
        assert "is there already" in capsys.readouterr().err
        assert output.read_bytes() == before
        assert cli.run([*given, "--overwrite"]) == 0
    capsys.readouterr()
    whole = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [{**row, "text": None} for row in whole] == [{**row, "text": None} for row in expected]
    source = [json.loads(line) for line in (made / "s.jsonl").read_text().splitlines()]
    assert [row["text"] for row in whole] == [source[row["index"]]["text"] for row in expected]
    assert any(len(row["text"]) > 300 for row in whole)
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == whole
    with (tmp_path / "out.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [json.loads(row["neighbours"]) for row in read] == [row["neighbours"] for row in whole]
    assert [row["text"] for row in read] == [row["text"] for row in whole]


def test_another_column_of_the_source_may_be_shown(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["suspects", str(made / "m"), "--limit", "3", "--text", "key"]
    assert cli.run(given) == 2
    assert "give it by --source" in capsys.readouterr().err
    assert cli.run([*given, "--source", str(made / "s.jsonl")]) == 0
    assert capsys.readouterr().out.count("key 130") == 2


def test_what_is_missing_is_one_line_with_the_option_that_brings_it(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command, option in (
        ("suspects", "--neighbours"),
        ("duplicates", "--neighbours"),
        ("holdout", "--holdout"),
    ):
        assert cli.run([command, str(made / "plain"), "--output", str(tmp_path / "x.csv")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert option in line
    assert cli.run(["suspects", str(made / "m"), "--output", str(tmp_path / "x.txt")]) == 2
    assert "suffix '.txt' is unknown; known: .csv, .jsonl" in capsys.readouterr().err
    (tmp_path / "other.jsonl").write_text('{"text": "x", "label": "y", "key": "z"}\n')
    assert cli.run(["suspects", str(made / "m"), "--source", str(tmp_path / "other.jsonl")]) == 2
    assert "the manifest was made from 183" in capsys.readouterr().err
    assert list(tmp_path.glob("x*")) == []


def test_suspects_without_labels_say_so(made: Path) -> None:
    manifest = Manifest.open(made / "m")
    manifest.description["hygiene"].pop("suspects")
    with pytest.raises(ManifestError, match=r"no table hygiene/suspects"):
        list_suspects(manifest)


def test_numbers_are_told_by_the_mean_of_their_neighbours(tmp_path: Path, capsys, monkeypatch) -> None:
    vectors = write_embeddings(tmp_path / "v.parquet", 200)
    numbers = vectors[:, 0] / np.linalg.norm(vectors, axis=1) + np.where(np.arange(200) % 67 == 5, 9.0, 0.0)
    add_weights(tmp_path / "v.parquet", numbers.astype(np.float64), "score")
    run(tmp_path / "v.parquet", tmp_path / "m", label="score", bins=2, subsets=1, importance="radius")
    manifest = Manifest.open(tmp_path / "m")
    rows = list_suspects(manifest).to_pylist()
    assert {row["index"] for row in rows} == {5, 72, 139}
    for row in rows:
        assert float(row["neighbour_label"]) == pytest.approx(numbers[row["neighbours"]].mean(), rel=1e-5)
        assert row["share"] is None
    assert [row["agreement"] for row in rows] == sorted((row["agreement"] for row in rows), reverse=True)
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.run(["suspects", str(tmp_path / "m")]) == 0
    shown = capsys.readouterr().out
    assert f"{numbers[rows[0]['index']]:.6g} " in shown
    assert "far from their neighbours' mean" in shown


def test_labels_equally_common_are_told_by_the_nearest() -> None:
    from syllabus.manifests import neighbours_label, surest

    owner = np.array([0, 0, 0, 0, 1, 1, 1])
    labels, share = neighbours_label(owner, np.array([7, 2, 2, 7, 1, 0, 0]))
    assert labels.tolist() == [7, 0]
    assert share.tolist() == [0.5, 2 / 3]
    assert surest(np.array([0.5, 1.0, 0.5]), np.array([0.8, 0.4, 0.9])).tolist() == [2, 0, 1]


def test_where_nothing_was_found_the_lists_say_so(tmp_path: Path, capsys) -> None:
    draw = np.random.default_rng(0)
    for name, places in (("s", [1, 2]), ("t", [3])):
        rows = [
            {"vector": [float(kind * 9 + x) for x in draw.standard_normal(8)], "kind": f"k{kind}"}
            for kind in places
            for _ in range(30)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = {"embedding": "vector", "label": "kind", "subsets": 1, "preprocess": "center"}
    held = str(tmp_path / "t.jsonl")
    run(tmp_path / "s.jsonl", tmp_path / "m", duplicate_threshold=0.99999, holdout=held, **given)
    for command, told in (
        ("suspects", "none of 60 examples is suspect: none has a label that no near neighbour has\n"),
        ("duplicates", "0 examples (0.00%) in 0 groups\n"),
        ("holdout", "0 of 30 test rows are near-duplicates of examples (cosine ≥ 0.99999)\n"),
    ):
        assert cli.run([command, str(tmp_path / "m")]) == 0
        assert capsys.readouterr().out.replace("\n", " ").strip().endswith(told.strip())


def test_images_are_named_by_the_ends_of_their_paths(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    draw = np.random.default_rng(0)
    for row in range(60):
        pixels = draw.integers(0, 256, (8, 8), np.uint8) if row % 20 else np.full((8, 8), 77, np.uint8)
        folder = tmp_path / "s" / f"a class with a long name {row % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"\u202epicture {row:02}.png")
    given = {
        "image": "image",
        "id": "path",
        "label": "folder",
        "encoder": "toy_encoder:pixels",
        "embedding": None,
    }
    run(tmp_path / "s", tmp_path / "m", subsets=1, **given)
    assert cli.run(["duplicates", str(tmp_path / "m")]) == 0
    shown = capsys.readouterr().out.splitlines()
    named = [line for line in shown if ".png" in line]
    assert len({line.partition(".png")[0][-2:] for line in named}) == len(named) > 1
    assert all("…" in line and "id" not in shown[shown.index("") + 1] for line in named)
    assert max(map(cell_len, shown)) <= 80
    assert not any("\u202e" in line for line in shown)
