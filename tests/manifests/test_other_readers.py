"""A manifest read by programs that know nothing of this project, and by the JSON Schema."""

import json
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import jsonschema
import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from small_manifest import write_small_manifest

from syllabus.manifests import json_schema, read_sketches

STRANGER = """
import json, sys, pathlib
import pyarrow.parquet as pq
root = pathlib.Path(sys.argv[1])
about = json.loads((root / "manifest.json").read_text())
entry = about["subsets"][1]
skip = about["subsets"][0]["budget"] * about["subsets"][0]["count"] + 2 * entry["budget"]
rows = pq.read_table(root / "subsets").slice(skip, entry["budget"])
assert not any(name.partition(".")[0] == "syllabus" for name in sys.modules)
print(json.dumps(rows["index"].to_pylist()))
"""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_small_manifest(tmp_path_factory.mktemp("elsewhere") / "m", n=300, fractions=(0.1, 0.2))


def test_pyarrow_in_a_process_of_its_own(manifest):
    run = subprocess.run(
        [sys.executable, "-c", STRANGER, manifest.location], check=True, capture_output=True, text=True
    )
    assert json.loads(run.stdout) == manifest.subset(0.2, 2).tolist()


def test_pandas(manifest):
    examples = pd.read_parquet(f"{manifest.location}/examples")
    assert examples["index"].tolist() == manifest.examples().tolist()
    assert examples["neighbour_agreement"].isna().all()
    assert (examples["label"] == "class-" + examples["partition"].astype(str)).all()
    sketches = pd.read_parquet(f"{manifest.location}/sketches")
    steps = np.frombuffer(b"".join(sketches["sketch"]), np.int8).reshape(-1, 4)
    assert steps.tolist() == read_sketches(manifest, sketches["index"].to_numpy()).tolist()
    rejects = pd.read_parquet(f"{manifest.location}/rejects")
    assert rejects["reason"].tolist() == ["null_text"] * 2


def test_duckdb(manifest):
    root = manifest.location
    with duckdb.connect() as connection:
        found = connection.sql(
            f"select s.index, e.id from '{root}/subsets/*.parquet' s "
            f"join '{root}/examples/*.parquet' e using (index) "
            "where s.budget = 60 and s.subset = 1 order by s.position"
        ).fetchall()
        assert [index for index, _ in found] == manifest.subset(0.2, 1).tolist()
        sums = connection.sql(
            f"select sum(probability) from '{root}/importances/radius/*.parquet' group by partition"
        ).fetchall()
        assert [total for (total,) in sums] == pytest.approx([1.0] * 3)
        assert connection.sql(
            f"select octet_length(sketch) from '{root}/sketches/*.parquet' limit 1"
        ).fetchall() == [(4,)]


def test_the_examples_of_the_specification_run(tmp_path, monkeypatch):
    manifest = write_small_manifest(tmp_path / "manifests" / "demo", n=6000)
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[2] / "docs" / "manifest-format.md").read_text(encoding="utf-8")
    (python,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(python, names)
    assert names["subset"]["index"].to_pylist() == manifest.subset(0.1, 0).tolist()
    (sql,) = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    with duckdb.connect() as connection:
        rows = connection.sql(sql).fetchall()
    assert [position for position, _ in rows] == list(range(600))
    assert manifest.lookup([name for _, name in rows]).tolist() == manifest.subset(0.1, 0).tolist()


def test_empty_tables_read_everywhere(tmp_path):
    manifest = write_small_manifest(tmp_path / "m", n=20, gap=0, fractions=())
    assert manifest.fractions == ()
    for name in ("rejects", "subsets"):
        assert manifest.table(name).num_rows == 0
        assert len(pd.read_parquet(tmp_path / "m" / name)) == 0
        with duckdb.connect() as connection:
            rows = connection.sql(f"select count(*) from '{tmp_path}/m/{name}/*.parquet'").fetchall()
        assert rows == [(0,)]


def test_datasets_filter(manifest):
    dataset = ds.dataset(f"{manifest.location}/orders/balance")
    rows = dataset.to_table(filter=ds.field("position") == 5)
    assert rows["index"].to_pylist() == manifest.order("balance", 5, 6).tolist()
    with pq.ParquetFile(f"{manifest.location}/examples/part-00000.parquet") as file:
        assert file.metadata.row_group(0).column(0).compression == "ZSTD"


def test_the_document_is_valid_and_the_schema_too(manifest):
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(manifest.description)
    # The schema is strict enough to miss each required key and each part's digest.
    for key in schema["required"]:
        assert not validator.is_valid({k: v for k, v in manifest.description.items() if k != key})
    worse = json.loads(json.dumps(manifest.description))
    worse["files"][0]["sha256"] = "0"
    assert not validator.is_valid(worse)
