"""Columns of a source: labels, ids, vectors and images of any type."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_files import ROWS, mistake, nulls_of_fixed_size, read, write

from syllabus.pipeline.sources import Columns


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, None, 3], pa.int64(), ["1", None, "3"]),
        ([True, False, None], pa.bool_(), ["true", "false", None]),
        (["a", None, "b"], pa.dictionary(pa.int8(), pa.string()), ["a", None, "b"]),
        (["a", None, "b"], pa.large_string(), ["a", None, "b"]),
        (["a", None, "b"], pa.string_view(), ["a", None, "b"]),
        ([b"a", None, b"b"], pa.binary(), ["a", None, "b"]),
        ([None] * 3, pa.null(), [None] * 3),
    ],
)
def test_labels_and_ids_of_any_type_become_text(tmp_path, values, kind, expected):
    table = pa.table({"text": ["x"] * 3, "label": pa.array(values, kind), "id": pa.array(values, kind)})
    pq.write_table(table, tmp_path / "d.parquet")
    rows, rejects = read(tmp_path)
    if kind == pa.bool_():
        assert [row[4] for row in rows] == ["True", "False", None]
    else:
        assert [row[4] for row in rows] == expected
    assert [row[3] for row in rows] == expected
    assert rejects == []


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_a_float_label_is_refused(tmp_path, suffix):
    write(tmp_path / f"d.{suffix}", [{"text": "x", "label": i / 7, "id": i} for i in range(100)])
    assert "label 'label' holds floating-point numbers; a label is a class" in mistake(tmp_path)


def test_csv_labels_that_look_like_numbers_may_be_classes(tmp_path):
    write(tmp_path / "d.csv", [{"text": "x", "label": f"3.{i % 12}", "id": i} for i in range(100)])
    assert read(tmp_path)[0][11][3] == "3.11"


def test_parquet_columns_of_another_type_are_refused(tmp_path):
    table = pa.table({"text": ["x"], "number": [1], "list": [["a"]], "twice": [1], "vector": [[1.0]]})
    pq.write_table(table.rename_columns(["text", "number", "list", "text", "vector"]), tmp_path / "d.parquet")
    assert "has 2 columns 'text'" in mistake(tmp_path, Columns("text", "text"))
    assert "text 'number' is a column of int64" in mistake(tmp_path, Columns("text", "number"))
    assert "image 'list' is a column of list" in mistake(tmp_path, Columns("image", "list"))
    assert "embedding 'number' is a column of int64" in mistake(tmp_path, Columns("embedding", "number"))
    assert "label 'vector' holds floating-point" in mistake(
        tmp_path, Columns("embedding", "vector", "vector")
    )
    assert "id 'list' is a column of list" in mistake(tmp_path, Columns("embedding", "vector", None, "list"))


def test_a_broken_parquet_file_is_one_line(tmp_path):
    write(tmp_path / "d.parquet", ROWS)
    whole = (tmp_path / "d.parquet").read_bytes()
    for broken in (b"", b"PAR1", whole[:-100], b"no parquet at all"):
        (tmp_path / "d.parquet").write_bytes(broken)
        assert f"{tmp_path}/d.parquet: cannot be read" in mistake(tmp_path)
    # The footer is sound, a page is not: found when it is read.
    spoilt = bytearray(whole)
    spoilt[4:200] = bytes(196)
    (tmp_path / "d.parquet").write_bytes(spoilt)
    assert "cannot be read as Parquet" in mistake(tmp_path)


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float32()),
        pa.large_list(pa.float64()),
        pytest.param(pa.list_(pa.float32(), 3), marks=nulls_of_fixed_size),
    ],
)
def test_broken_vectors_cost_one_row_each(tmp_path, kind):
    fixed = pa.types.is_fixed_size_list(kind)
    values = [
        [1, 2, 3],
        None,
        [1, float("nan"), 3],
        [1, 2, float("-inf")],
        [1, 2, 3] if fixed else [1, 2],
        [4, 5, 6],
    ]
    for count in (1, 6):
        pq.write_table(pa.table({"v": pa.array(values[:count], kind)}), tmp_path / "d.parquet")
        rows, rejects = read(tmp_path, Columns("embedding", "v"))
        assert rows[0][2].tolist() == [1, 2, 3]
        assert rows[0][2].dtype == np.float32
        expected = [(1, "null vector"), (2, "NaN vector"), (3, "NaN vector")]
        expected += [] if fixed else [(4, "wrong width")]
        assert sorted((r[1], r[2]) for r in rejects) == (expected if count == 6 else [])
        # A null is told the same way whether other rows are odd or not.
        pq.write_table(pa.table({"v": pa.array([*values[:2], values[5]], kind)}), tmp_path / "e.parquet")
        _, again = read(tmp_path, Columns("embedding", "v"))
        assert {reject[3] for reject in again if reject[2] == "null vector"} == {"column v is null"}
        (tmp_path / "e.parquet").unlink()
    assert rows[5][2].tolist() == [4, 5, 6]
    assert all(not rows[row][2].any() for row, _ in expected)


def test_odd_vectors_in_json(tmp_path):
    values = [[1, 2], [1e300, 1], [10**400, 1], "12", [[1, 2]], [1, None], {"a": 1}, [3, 4]]
    (tmp_path / "d.jsonl").write_text(
        "".join(json.dumps({"v": value}) + "\n" for value in values) + '{"v": [NaN, 1]}'
    )
    rows, rejects = read(tmp_path, Columns("embedding", "v"))
    assert [row[2].tolist() for row in rows if row[1] in (0, 7)] == [[1, 2], [3, 4]]
    assert sorted({reject[1] for reject in rejects}) == [1, 2, 3, 4, 5, 6, 8]
    assert rejects[-1][2:] == ("NaN vector", "value 0 is nan")


def test_hugging_face_images(tmp_path):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    values = [{"bytes": b"x", "path": "a"}, {"bytes": None, "path": "b"}, None]
    pq.write_table(pa.table({"image": pa.array(values, kind)}), tmp_path / "d.parquet")
    rows, rejects = read(tmp_path, Columns("image", "image"))
    assert rows[0][2] == b"x"
    assert [reject[1:] for reject in rejects] == [
        (1, "path without bytes", "column image: 'b' is no file in the folder of d.parquet"),
        (2, "null image", "column image is null"),
    ]
