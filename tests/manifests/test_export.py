"""A subset as a file for everybody else."""

import csv
import io

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


def test_refuses(manifest, tmp_path):
    with pytest.raises(ManifestError, match="format 'json' is unknown; known: txt, csv, parquet"):
        export(manifest, 1.0, 0, "json", tmp_path / "x")
    with pytest.raises(ManifestError, match="stored fractions: 1"):
        export(manifest, 0.5, 0, "txt", tmp_path / "x")
    lines = write_small_manifest(tmp_path / "m", n=3, fractions=(1.0,), ids=["a", "b\nc", "d"])
    with pytest.raises(ManifestError, match=r"id 'b\\nc' holds a line break; export as csv or parquet"):
        export(lines, 1.0, 0, "txt", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    export(lines, 1.0, 0, "csv", tmp_path / "x")
    with (tmp_path / "x").open(newline="", encoding="utf-8") as file:
        assert {row["id"] for row in csv.DictReader(file)} == {"a", "b\nc", "d"}
