"""What `validate` finds wrong with the preview, the density and the tables of hygiene."""

import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damaged_manifest import column, edit, put, rewrite, the_problem
from job_sources import write_embeddings
from jobs import run

from syllabus.manifests import Manifest, validate


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Suspects, copies and test rows: a few labels are wrong, a few rows stand there twice."""
    folder = tmp_path_factory.mktemp("preview")
    vectors = write_embeddings(folder / "a.parquet", 200)
    rows = pq.read_table(folder / "a.parquet")
    labels = rows["label"].to_numpy().copy()
    labels[:4] = (labels[:4] + 1) % 3
    rows = rows.set_column(1, "label", pa.array(labels))
    pq.write_table(pa.concat_tables([rows, rows.slice(10, 5), rows.slice(10, 2)]), folder / "s.parquet")
    pq.write_table(pa.table({"vector": list(vectors[20:23])}), folder / "h.parquet")
    run(folder / "s.parquet", folder / "m", subsets=1, holdout=str(folder / "h.parquet"))
    return folder / "m"


@pytest.fixture
def root(made, tmp_path):
    return shutil.copytree(made, tmp_path / "m")


def test_a_manifest_with_a_preview_is_valid(made):
    assert validate(made).problems == []
    about = Manifest.open(made).description
    assert about["hygiene"]["suspects"]["listed"] >= 4
    assert about["hygiene"]["duplicates"] == {"rows": 9, "listed": 5, "found": 5}
    assert about["hygiene"]["holdout"] == {"rows": 3, "listed": 3, "found": 3}


def test_a_manifest_without_any_of_it_is_valid(tmp_path):
    write_embeddings(tmp_path / "a.parquet", 60)
    run(tmp_path / "a.parquet", tmp_path / "m", neighbours=0, preview=False, subsets=1)
    assert {path.name for path in (tmp_path / "m").iterdir()} == {
        "manifest.json", "examples", "subsets", "importances", "orders", "sketches", "rejects",
    }  # fmt: skip
    assert validate(tmp_path / "m").problems == []


def test_a_preview_of_another_writer_is_let_be(root):
    edit(root, lambda document: document.pop("preview"))
    shutil.rmtree(root / "density")
    edit(
        root,
        lambda d: d.update(files=[each for each in d["files"] if not each["path"].startswith("density")]),
    )
    rewrite(root, "preview", lambda rows: rows.select(["index"]))
    assert validate(root).problems == []


DOCUMENTS = {
    "rows": (lambda d: d["preview"].update(rows=500), "preview.rows is 500, of 207 examples"),
    "drawn": (lambda d: d["preview"].update(drawn=208), "preview.drawn is 208, of 207 rows"),
    "interval": (lambda d: d["preview"]["grid"].update(x=[1, 1]), "preview.grid.x runs from 1 to 1"),
    "twice": (
        lambda d: d["preview"]["grid"].update(partitions=[0, 0, 1]),
        "preview.grid.partitions has one of them twice",
    ),
    "partition": (
        lambda d: d["preview"]["grid"].update(partitions=[0, 3]),
        "preview.grid.partitions has 3, of 3 partitions",
    ),
    "rows of the grid": (
        lambda d: d["preview"]["grid"].update(rows=1),
        r"files: density/ has \d+ rows, expected 1",
    ),
    "rows of a list": (
        lambda d: d["hygiene"]["holdout"].update(rows=4),
        "files: hygiene/holdout/ has 3 rows, expected 4",
    ),
    "more than found": (
        lambda d: d["hygiene"]["duplicates"].update(listed=6),
        "hygiene.duplicates.listed is 6, of 5 found",
    ),
    "a table that is not described": (
        lambda d: d.pop("hygiene"),
        "files: hygiene/duplicates/ is described nowhere else in the document",
    ),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_the_document_says_of_them_agrees(root, name):
    change, problem = DOCUMENTS[name]
    edit(root, change)
    assert re.search(problem, validate(root).problems[0])


def swapped(rows):
    return rows.take(pa.array([1, 0, *range(2, rows.num_rows)]))


TABLES = {
    "order": ("preview", swapped, "does not come after the row before it"),
    "no example": ("preview", column("index", put(-1, 10**6)), "index 1000000 is no accepted example"),
    "off the map": ("preview", column("x", put(3, 9.0)), "index 3 has x 9.0, outside the grid"),
    "not a number": ("preview", column("y", put(3, np.nan)), "index 3 has y nan"),
    "count": ("preview", column("drawn", put(3, False)), "has 206 drawn, manifest.json says 207"),
    "a type": (
        "preview",
        lambda rows: rows.set_column(1, "x", rows["x"].cast(pa.float64())),
        "column x is of type double, expected float",
    ),
    "cell": ("density", column("cell", put(-1, 128 * 128)), "cell 16384, examples 1, which is no cell"),
    "empty cell": ("density", column("examples", put(0, 0)), "examples 0, which is no cell"),
    "one too many": (
        "density",
        column("examples", lambda values: values + (np.arange(len(values)) == 0)),
        r"counts \d+ examples of partition 0, there are \d+",
    ),
    "neighbour": (
        "hygiene/suspects",
        column("neighbour", put(2, 10**6)),
        "neighbour 1000000 is no accepted example",
    ),
    "ranks": ("hygiene/suspects", swapped, "does not come after the row before it"),
    "its own copy": (
        "hygiene/duplicates",
        lambda rows: column("other", put(0, rows["index"][0].as_py()))(rows),
        r"index \d+ is its own other",
    ),
    "cosine": ("hygiene/holdout", column("cosine", put(0, np.inf)), "index 20 has cosine inf"),
}


@pytest.mark.parametrize("name", TABLES)
def test_what_is_wrong_with_their_rows_is_said(root, name):
    directory, change, problem = TABLES[name]
    rewrite(root, directory, change)
    found = the_problem(root)
    assert found.startswith(directory)
    assert re.search(problem, found)
