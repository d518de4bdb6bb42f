"""Types, sizes and forms of files that other tools write."""

import datetime
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_files import ROWS, mistake, nulls_of_fixed_size, read, write

from syllabus.pipeline.conditions import parse_condition
from syllabus.pipeline.errors import UserError, printable
from syllabus.pipeline.sources import Columns, open_source, row_groups
from syllabus.pipeline.sources.row_groups import RowGroups

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def images(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": pa.array(rows, IMAGE)}), path)


def test_a_tensor_is_a_vector(tmp_path):
    vectors = np.random.default_rng(0).standard_normal((6, 2, 3)).astype(np.float32)
    for name, given in (("flat", vectors.reshape(6, 6)), ("square", vectors)):
        tensor = pa.FixedShapeTensorArray.from_numpy_ndarray(given)
        pq.write_table(pa.table({"v": tensor, "k": list("aabbcc")}), tmp_path / f"{name}.parquet")
        columns = Columns("embedding", "v", "k")
        rows, rejects = read(tmp_path / f"{name}.parquet", columns)
        np.testing.assert_array_equal(np.stack([row[2] for row in rows]), vectors.reshape(6, 6))
        assert rejects == []
        assert open_source(str(tmp_path / f"{name}.parquet"))[0].dimension(columns) == 6


@nulls_of_fixed_size
def test_nulls_in_lists_of_a_fixed_size(tmp_path):
    rows = [[1.0, 2.0], None, [3.0, None], [5.0, 6.0]]
    labels = [["a", "b"], None, ["b", None], ["c", "c"]]
    table = pa.table({
        "v": pa.array(rows, pa.list_(pa.float32(), 2)),
        "k": pa.array(labels, pa.list_(pa.string(), 2)),
        "id": list("wxyz"),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "d.parquet", row_group_size=3)
    found, rejects = read(tmp_path, Columns("embedding", "v", "k", "id"))
    assert [row[2].tolist() for row in found] == [[1, 2], [0, 0], [0, 0], [5, 6]]
    assert [row[3:] for row in found] == [
        ('["a","b"]', "w"),
        (None, "x"),
        (None, "y"),
        ('["c"]', "z"),
    ]
    assert [r[1:3] for r in rejects] == [
        (1, "null vector"),
        (2, "null vector"),
        (2, "label is not a class"),
    ]


def test_text_as_json_and_where_by_date(tmp_path):
    days = [datetime.date(2026, 1, 1), datetime.date(2026, 1, 2), None]
    text = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['"a"', '"b"', '"c"']))
    pq.write_table(pa.table({"text": text, "day": days}), tmp_path / "d.parquet")
    columns = Columns("text", "text", where=(parse_condition("day=2026-01-02"),))
    source, _ = open_source(str(tmp_path))
    (records,) = source.read(list(source.chunks(columns)), columns)
    assert (records.content[1], records.excluded) == ('"b"', {0, 2})


def test_an_id_that_python_has_no_value_for_costs_one_row(tmp_path):
    moments = pa.array([0, 10**18, None], pa.timestamp("us"))
    pq.write_table(pa.table({"text": ["a", "b", "c"], "id": moments}), tmp_path / "d.parquet")
    rows, rejects = read(tmp_path, Columns("text", "text", None, "id"))
    assert [row[4] for row in rows] == ["1970-01-01 00:00:00", None, None]
    assert [r[1:] for r in rejects] == [
        (1, "bad id", f"column id: timestamp[us] of {10**18}: date value out of range")
    ]


def test_an_id_of_many_values_costs_one_row(tmp_path):
    (tmp_path / "d.jsonl").write_text('{"t": "a", "id": [1]}\n{"t": "b", "id": 2}\n{"t": "c", "id": " "}\n')
    rows, rejects = read(tmp_path, Columns("text", "t", None, "id"))
    assert [row[4] for row in rows] == [None, "2", " "]
    assert [r[1:3] for r in rejects] == [(0, "bad id"), (2, "blank id")]


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv", "tsv"])
def test_blank_texts_and_labels_are_rejects_in_every_format(tmp_path, suffix):
    texts = ["a river", "", "   ", "\u200b", "a lamp", "\u00a0\u2003", "b", "c"]
    labels = ["x", "y", "", " ", "y", "x", "", "\u200b"]
    write(tmp_path / f"d.{suffix}", [{"text": t, "label": k} for t, k in zip(texts, labels, strict=True)])
    _, rejects = read(tmp_path, Columns("text", "text", "label"))
    assert sorted(r[1:3] for r in rejects) == [
        *[(row, reason) for row in (1,) for reason in ("blank text",)],
        *[(row, reason) for row in (2, 3) for reason in ("blank label", "blank text")],
        (5, "blank text"),
        (6, "blank label"),
        (7, "blank label"),
    ]


def test_an_empty_cell_of_csv_is_no_number(tmp_path):
    (tmp_path / "d.csv").write_text("text,score,tokens\na,,3\nb,1.5,\n")
    source, _ = open_source(str(tmp_path))
    columns = Columns("text", "text", "score", numeric=True, weight="tokens")
    (records,) = source.read(list(source.chunks(columns)), columns)
    assert (records.labels.numbers, records.weights, records.bad_keys) == ([None, 1.5], [3, None], {})


def test_images_by_path_are_read_inside_the_source(tmp_path):
    root = tmp_path / "root"
    for name in ("data/files/a", "pictures/b"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    (root / "data" / "link").symlink_to(tmp_path / "outside" / "secret")
    (root / "data" / ".folder").symlink_to(tmp_path / "outside")
    os.mkfifo(root / "data" / "pipe")  # reading it would wait for ever
    paths = [
        "files/a",
        "../pictures/b",
        "../../outside/secret",
        "link",
        ".folder/secret",
        "pipe",
    ]
    paths += [
        str(tmp_path / "outside" / "secret"),
        "file:///etc/passwd",
        "C:\\a.png",
        "none.png",
        "",
        "a\0b",
        None,
    ]
    images(root / "data" / "d.parquet", [{"bytes": None, "path": path} for path in paths])
    rows, rejects = read(root, Columns("image", "image"))
    assert [row[2] for row in rows] == [b"data/files/a", b"pictures/b", *[None] * 11]
    assert [r[1:3] for r in rejects] == [
        *[(row, "path without bytes") for row in range(2, 12)],
        (12, "null image"),
    ]
    assert [r[3].split("' ")[-1] for r in rejects[:5]] == [
        "leads out of the source",
        "leads out of the source",
        "leads out of the source",
        "is no file in the folder of data/d.parquet",
        "is not relative to the folder of data/d.parquet",
    ]
    # The file by itself has its own folder as root.
    assert [row[2] for row in read(root / "data" / "d.parquet", Columns("image", "image"))[0]][:2] == [
        b"data/files/a",
        None,
    ]


def test_the_images_that_a_row_names_are_part_of_its_key(tmp_path):
    images(tmp_path / "d.parquet", [{"bytes": b"x", "path": "a.png"}, {"bytes": None, "path": "b.png"}])
    (tmp_path / "b.png").write_bytes(b"one")
    columns = Columns("image", "image")
    source, _ = open_source(str(tmp_path / "d.parquet"))
    (before,) = source.chunks(columns)
    (tmp_path / "a.png").write_bytes(b"a row with bytes needs none")
    assert list(source.chunks(columns)) == [before]
    (tmp_path / "b.png").write_bytes(b"two")
    with pytest.raises(UserError, match="an image that rows 0 to 1 name has changed; run again"):
        list(source.read([before], columns))
    (after,) = source.chunks(columns)
    assert after.digest != before.digest
    images(tmp_path / "d.parquet", [{"bytes": b"x", "path": "b.png"}])
    (plain,) = source.chunks(columns)
    assert plain.images == ""


@pytest.mark.parametrize("dictionary", [True, False])
def test_pieces_of_a_row_group_are_bounded_by_their_bytes(tmp_path, monkeypatch, dictionary):
    monkeypatch.setattr(row_groups, "PIECE_BYTES", 1 << 20)
    # Light rows first: what the first piece weighs says nothing of the last.
    rows = [{"bytes": bytes([i % 7]) * (10 if i < 1000 else 20_000), "path": None} for i in range(1500)]
    table = pa.table({"image": pa.array(rows, IMAGE), "k": list(range(1500))})
    pq.write_table(table, tmp_path / "d.parquet", use_dictionary=dictionary, row_group_size=1500)
    with (tmp_path / "d.parquet").open("rb") as handle:
        pieces = list(RowGroups(pa.PythonFile(handle)).read([0], ["image", "k"]))
    assert pa.Table.from_batches(pieces).equals(table)
    heavy = [piece.nbytes for piece in pieces]
    assert max(heavy) < 6 << 20
    assert len(pieces) < 400


def test_a_nested_column_is_read_in_less_memory_than_it_takes(tmp_path):
    # 256 MB in memory, little on disk: every row is one of four values.
    kinds = [bytes([i]) * 131_072 for i in range(4)]
    batch = pa.table({"image": pa.array([{"bytes": kinds[i % 4], "path": None} for i in range(2048)], IMAGE)})
    pq.write_table(batch, tmp_path / "d.parquet", compression="zstd", row_group_size=2048)
    del batch
    with (tmp_path / "d.parquet").open("rb") as handle:
        before = pa.total_allocated_bytes()
        most = rows = 0
        for piece in RowGroups(pa.PythonFile(handle)).read([0], ["image"]):
            rows += piece.num_rows
            most = max(most, pa.total_allocated_bytes() - before)
    assert rows == 2048
    assert most < 200 << 20


def test_a_file_of_lines_may_be_called_as_what_describes_a_saved_data_set(tmp_path):
    write(tmp_path / "two" / "state.jsonl", ROWS)
    (tmp_path / "two" / "state.jsonl").rename(tmp_path / "two" / "state.json")
    assert len(read(tmp_path / "two")[0]) == 10


@pytest.mark.parametrize("location", ["https://a.invalid/b.parquet", "foo://a/b"])
def test_a_location_that_no_filesystem_is_for_is_one_line(location):
    told = mistake(location)
    assert told.startswith(f"source {location}: ")
    assert "is not read from here; download the files" in told or "cannot be opened: Unrecognized" in told


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_lines_hold_no_images(tmp_path, suffix):
    write(tmp_path / f"d.{suffix}", [{"image": "a.png"}])
    assert "image='image': a file of lines holds no bytes of images" in mistake(
        tmp_path, Columns("image", "image")
    )


def test_what_a_terminal_would_obey_is_spelled_out(tmp_path, capsys):
    from syllabus.pipeline.command_line import app as cli

    (tmp_path / "d.csv").write_text("\x1b[31mred,\u202ebla,\x07,naïve 日本\nx,y,z,w\n")
    arguments = [
        "prepare",
        "--source",
        str(tmp_path / "d.csv"),
        "--output",
        str(tmp_path.parent / "out"),
        "--encoder",
        "hashing",
    ]
    assert cli.run([*arguments, "--text", "t"]) == 2
    told = capsys.readouterr().err
    assert "known: \\x1b[31mred, \\u202ebla, \\x07, naïve 日本" in told
    assert len(told.splitlines()) == 1
    assert printable("a\nb\udcff") == "a\\nb\\udcff"
