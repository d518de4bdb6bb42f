"""A subset as a file for everybody else."""

import csv
import io
import json
import os

import pyarrow.parquet as pq
import pytest
from small_manifest import write_small_manifest

from syllabus.manifests import ManifestError, export

IDS = ["plain", 'quo"ted', "com,ma", "ä\tb", *(f"id {i}" for i in range(16))]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_small_manifest(tmp_path_factory.mktemp("export") / "m", n=20, fractions=(1.0,), ids=IDS)


@pytest.fixture(scope="module")
def expected(manifest):
    rows = manifest.table("subsets").to_pandas()
    rows = rows[rows["subset"] == 2].sort_values("position")
    return rows.merge(manifest.table("examples", ["index", "id", "label"]).to_pandas(), on="index")


def test_txt(manifest, expected, tmp_path):
    export(manifest, 1.0, 2, "txt", tmp_path / "new" / "ids.txt")
    assert (tmp_path / "new" / "ids.txt").read_text(encoding="utf-8").split("\n") == [*expected["id"], ""]
    assert sorted(expected["id"]) == sorted(IDS)


def test_csv(manifest, expected):
    sink = io.BytesIO()
    export(manifest, 1.0, 2, "csv", sink)
    rows = list(csv.DictReader(io.StringIO(sink.getvalue().decode(), newline="")))
    assert list(rows[0]) == ["index", "id", "label", "partition", "rank", "gain", "position"]
    assert [row["id"] for row in rows] == expected["id"].tolist()
    assert [row["label"] for row in rows] == expected["label"].tolist()
    assert [int(row["rank"]) for row in rows] == expected["rank"].tolist()
    assert [float(row["gain"]) for row in rows] == expected["gain"].tolist()


def test_parquet(manifest, expected, tmp_path):
    returned = export(manifest, 1.0, 2, "parquet", str(tmp_path / "subset.parquet"))
    rows = pq.read_table(tmp_path / "subset.parquet")
    assert rows.equals(returned)
    for name in rows.column_names:
        assert rows[name].to_pylist() == expected[name].tolist()


def test_json_lines(manifest, expected):
    sink = io.BytesIO()
    returned = export(manifest, 1.0, 2, "jsonl", sink)
    rows = [json.loads(line) for line in sink.getvalue().decode().splitlines()]
    assert rows == returned.to_pylist()
    assert [row["id"] for row in rows] == expected["id"].tolist()


@pytest.mark.parametrize(
    ("name", "form"),
    [("a.jsonl", "jsonl"), ("a.NDJSON", "jsonl"), ("a.csv", "csv"), ("a.txt", "txt"), ("v1.2/ids", "txt")],
)
def test_the_suffix_gives_the_format(manifest, tmp_path, name, form):
    export(manifest, 1.0, 2, output=tmp_path / name)
    sink = io.BytesIO()
    export(manifest, 1.0, 2, form, sink)
    assert (tmp_path / name).read_bytes() == sink.getvalue()


@pytest.mark.parametrize("name", ["a.json", "a.csv.gz", "a.xlsx"])
def test_an_unknown_suffix_is_refused_and_names_the_known(manifest, tmp_path, name):
    known = r"is unknown; known: .txt, .csv, .jsonl, .ndjson, .parquet; or give a format"
    with pytest.raises(ManifestError, match=known):
        export(manifest, 1.0, output=tmp_path / name)
    assert not (tmp_path / name).exists()
    export(manifest, 1.0, 0, "txt", tmp_path / name)
    assert len((tmp_path / name).read_text().splitlines()) == 20


def test_a_file_that_cannot_be_written_is_one_line(manifest, tmp_path):
    (tmp_path / "file").touch()
    for output in (tmp_path / "file" / "x.csv", "no-such-scheme://a/x.csv"):
        with pytest.raises(ManifestError, match=r"^export: .*x.csv: cannot be written: ") as told:
            export(manifest, 1.0, output=output)
        assert "\n" not in str(told.value)
    for output in ("", "s3://x.csv"):
        with pytest.raises(ManifestError, match="names no file"):
            export(manifest, 1.0, output=output)


def test_what_killed_exports_left_is_swept_and_nothing_else(manifest, tmp_path):
    old, young = (tmp_path / f".ids.csv.{digit * 12}.tmp" for digit in "01")
    others = [tmp_path / name for name in (".ids.csv.tmp", ".ids.csv.mine.tmp", f".other.csv.{'0' * 12}.tmp")]
    for path in (old, young, *others):
        path.touch()
        os.utime(path, (0, 0))
    young.touch()
    export(manifest, 1.0, 0, output=tmp_path / "ids.csv")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "ids.csv", young, *others])


def test_refuses(manifest, tmp_path):
    with pytest.raises(ManifestError, match="format 'json' is unknown; known: txt, csv, jsonl, parquet"):
        export(manifest, 1.0, 0, "json", tmp_path / "x")
    with pytest.raises(ManifestError, match="stored fractions: 1"):
        export(manifest, 0.5, 0, "txt", tmp_path / "x")
    lines = write_small_manifest(tmp_path / "m", n=3, fractions=(1.0,), ids=["a", "b\nc", "d"])
    with pytest.raises(
        ManifestError, match=r"id 'b\\nc' holds a line break; export as csv, jsonl or parquet"
    ):
        export(lines, 1.0, 0, "txt", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    export(lines, 1.0, 0, "csv", tmp_path / "x")
    with (tmp_path / "x").open(newline="", encoding="utf-8") as file:
        assert {row["id"] for row in csv.DictReader(file)} == {"a", "b\nc", "d"}
