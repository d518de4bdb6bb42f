"""Sources: what is read, in which order, in which units, and what becomes of broken records."""

import csv
import hashlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syllabus.pipeline.errors import UserError
from syllabus.pipeline.sources import Columns, images, open_source

TEXT = Columns("text", "text", "label", "id")
ROWS = [{"id": f"r{i}", "label": f"c{i % 3}", "text": f"text {i} é"} for i in range(10)]


def write(path: Path, rows, row_group_size=None):
    """Write rows in the format that the suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=row_group_size)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)


def read(location, columns=TEXT):
    """Return the records of a source as rows (file, row, content, label, id) and the rejects."""
    source, _ = open_source(str(location))
    rows, rejects = [], []
    for unit in source.units(columns):
        (records,) = source.read([unit], columns)
        assert len(records.content) == unit.rows
        for row in range(unit.rows):
            place = (unit.source_files()[row], int(unit.source_rows()[row]))
            labels, ids = (
                [None] * unit.rows if got is None else got for got in (records.labels, records.ids)
            )
            rows.append((*place, records.content[row], labels[row], ids[row]))
            rejects += [(*place, *held[row]) for held in (records.bad, records.bad_keys) if row in held]
    return rows, rejects


def contents(location, columns=TEXT):
    return [row[2] for row in read(location, columns)[0]]


def mistake(location, columns=TEXT):
    """The one line that a source which cannot be used is refused with."""
    with pytest.raises(UserError) as error:
        read(location, columns)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv", "tsv"])
def test_a_file_gives_its_rows_in_order(tmp_path, suffix):
    write(tmp_path / f"d.{suffix}", ROWS)
    rows, rejects = read(tmp_path)
    assert rows == [(f"d.{suffix}", i, f"text {i} é", f"c{i % 3}", f"r{i}") for i in range(10)]
    assert rejects == []
    assert read(tmp_path / f"d.{suffix}") == (rows, [])
    assert read(f"file://{tmp_path}/d.{suffix}") == (rows, [])


def test_files_come_in_the_order_of_the_utf8_components_of_their_paths(tmp_path):
    # By whole paths "a-b/…" and "a.jsonl" would come before "a/…".
    names = [
        "B/x y.jsonl",
        "a/é.jsonl",
        "a/z.jsonl",
        "a-b/1.jsonl",
        "a.jsonl",
        "100%.jsonl",
        "𐀀.jsonl",
        "ｆ.jsonl",
    ]
    for name in names:
        write(tmp_path / name, [{"text": name}])
    columns = Columns("text", "text")
    expected = [
        "100%.jsonl",
        "B/x y.jsonl",
        "a/z.jsonl",
        "a/é.jsonl",
        "a-b/1.jsonl",
        "a.jsonl",
        "ｆ.jsonl",
        "𐀀.jsonl",
    ]
    assert contents(tmp_path, columns) == expected
    assert [row[0] for row in read(tmp_path, columns)[0]] == expected


def test_hidden_and_foreign_files_are_not_read_unless_named(tmp_path):
    for name in ("a.jsonl", ".hidden.jsonl", "_tmp/b.jsonl", "c/.d/e.jsonl"):
        write(tmp_path / name, [{"text": name}])
    (tmp_path / "README.md").write_text("no data")
    source, ignored = open_source(str(tmp_path))
    assert (source.files, ignored) == (["a.jsonl"], ["README.md"])
    assert contents(tmp_path / ".hidden.jsonl", Columns("text", "text")) == [".hidden.jsonl"]


def test_symlinks_are_followed(tmp_path):
    write(tmp_path / "elsewhere" / "b.jsonl", [{"text": "b"}])
    data = tmp_path / "data"
    write(data / "a.jsonl", [{"text": "a"}])
    (data / "linked.jsonl").symlink_to(tmp_path / "elsewhere" / "b.jsonl")
    (data / "broken.jsonl").symlink_to(tmp_path / "nowhere.jsonl")
    assert contents(data, Columns("text", "text")) == ["a", "b"]
    assert contents(data / "linked.jsonl", Columns("text", "text")) == ["b"]


def test_a_location_that_cannot_be_used_is_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "two").mkdir()
    write(tmp_path / "two" / "a.jsonl", ROWS)
    write(tmp_path / "two" / "b.csv", ROWS)
    assert "no such file or directory" in mistake(tmp_path / "nowhere")
    assert "holds no file that ends in .parquet" in mistake(tmp_path / "empty")
    assert "holds files of 2 kinds, such as b.csv and a.jsonl" in mistake(tmp_path / "two")


def test_a_file_name_that_is_not_utf8_is_one_line(tmp_path):
    (tmp_path / "\udcff.jsonl").write_bytes(b"{}")  # the byte 0xff, as Python spells it
    assert "is not UTF-8" in mistake(tmp_path)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv", "tsv"])
def test_a_missing_column_names_the_nearest(tmp_path, suffix):
    write(tmp_path / f"d.{suffix}", ROWS)
    assert "column 'txt' is unknown; did you mean 'text'?" in mistake(tmp_path, replace(TEXT, content="txt"))
    assert "column 'labels' is unknown; did you mean 'label'?" in mistake(
        tmp_path, replace(TEXT, label="labels")
    )
    assert "known: " in mistake(tmp_path, replace(TEXT, id="zzzz"))


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv", "tsv"])
def test_an_empty_file_beside_a_full_one_is_skipped(tmp_path, suffix):
    write(tmp_path / f"b.{suffix}", ROWS)
    if suffix == "parquet":
        table = pa.Table.from_pylist(ROWS)
        pq.write_table(table.slice(0, 0), tmp_path / "a.parquet")
    else:
        (tmp_path / f"a.{suffix}").write_bytes(b"")
        (tmp_path / f"c.{suffix}").write_bytes(b"\xef\xbb\xbf\n\r\n")
    assert len(read(tmp_path)[0]) == 10


def test_bom_crlf_blank_lines_and_no_newline_at_the_end(tmp_path):
    (tmp_path / "d.csv").write_bytes(
        b'\xef\xbb\xbfid,label,text\r\n\r\n1,a,"two\r\n\r\nlines, and ""quotes"""\r\n\n2,b,last'
    )
    assert [row[2:] for row in read(tmp_path)[0]] == [
        ('two\r\n\r\nlines, and "quotes"', "a", "1"),
        ("last", "b", "2"),
    ]
    (tmp_path / "d.csv").unlink()
    (tmp_path / "d.jsonl").write_bytes(
        b'\xef\xbb\xbf{"id": 1, "label": true, "text": "x"}\r\n\r\n  \n{"id": 2, "label": null, "text": "y"}'
    )
    assert read(tmp_path)[0] == [("d.jsonl", 0, "x", "true", "1"), ("d.jsonl", 1, "y", None, "2")]


def test_quotes_inside_a_csv_cell_do_not_join_lines(tmp_path):
    (tmp_path / "d.csv").write_text('text,label,id\n5" pipe,a,1\n6" pipe and 7",b,2\n8" pipe,c,3\n')
    assert contents(tmp_path) == ['5" pipe', '6" pipe and 7"', '8" pipe']


def test_a_quote_that_is_never_closed_loses_no_row_in_silence(tmp_path):
    (tmp_path / "d.csv").write_text('text,label,id\na,a,1\n"b,b,2\nc,c,3\n')
    assert "record 2: a quote is opened and never closed" in mistake(tmp_path)
    (tmp_path / "d.csv").write_text('text,label,id\na,a,1\nb,b,"2\n')
    rows, rejects = read(tmp_path)
    assert len(rows) == 2
    assert [reject[:3] for reject in rejects] == [("d.csv", 1, "unreadable record")]


def test_csv_rows_of_the_wrong_width_and_long_cells(tmp_path):
    long = "x" * 300_000
    (tmp_path / "d.csv").write_text(f"text,label,id\na,b\na,b,c,d\n{long},l,1\n,l,2\n")
    rows, rejects = read(tmp_path)
    assert [row[2] for row in rows] == [None, None, long, None]
    assert [(reject[1], reject[2]) for reject in rejects] == [
        (0, "unreadable record"),
        (1, "unreadable record"),
        (3, "null text"),
    ]
    assert rejects[1][3].startswith("4 values under 3 columns")


def test_a_tsv_row_of_empty_cells_is_a_record(tmp_path):
    (tmp_path / "a.csv").write_text("text,label,id\nx,l,0\n")
    (tmp_path / "b.tsv").write_text("text\tlabel\tid\n\t\t\na,b\tl\t1\n")
    rows, rejects = read(tmp_path)
    assert [row[2] for row in rows] == ["x", None, "a,b"]
    assert [reject[:3] for reject in rejects] == [("b.tsv", 0, "null text")]


def test_json_that_is_no_object(tmp_path):
    deep = "[" * 100_000
    (tmp_path / "d.jsonl").write_text(
        f'{{"text": "a"}}\n[1, 2]\n{{"text": \n{deep}\n{{"text": 3}}\n{{}}\n"s"\n'
    )
    columns = Columns("text", "text")
    rows, rejects = read(tmp_path, columns)
    assert [row[2] for row in rows] == ["a", *[None] * 6]
    reasons = [(reject[1], reject[2]) for reject in rejects]
    bad = "unreadable record"
    assert reasons == [(1, bad), (2, bad), (3, bad), (4, "not text"), (5, "null text"), (6, bad)]
    (tmp_path / "d.jsonl").write_text('[\n {\n  "text": "a"\n }\n]\n')
    assert "holds no JSON object a line" in mistake(tmp_path / "d.jsonl", Columns("text", "label"))


INVALID = {
    "jsonl": b'{"id": "0", "label": "a", "text": "fine"}\n{"id": "1", "label": "a", "text": "\xff"}\n'
    b'{"id": "2", "label": "\xff", "text": "fine"}\n{"id": "\xff", "label": "a", "text": "fine"}\n'
    b'{"id": "4", "label": "a", "text": "\\ud800"}\n{"id": "\\udcff", "label": "a", "text": "\xc3\xa9"}\n'
    b'{"id": "6", "label": "a", "text": "\xff\\ud800"}\n',
    "csv": b"id,label,text\n0,a,fine\n1,a,\xff\n2,\xff,fine\n\xff,a,fine\n",
}


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_invalid_utf8_costs_one_row_each(tmp_path, suffix, kind):
    path = tmp_path / f"d.{suffix}"
    if suffix == "parquet":
        cells = {
            "id": [b"0", b"1", b"2", b"\xff"],
            "label": [b"a", b"a", b"\xff", b"a"],
            "text": [b"fine", b"\xff", b"fine", b"fine"],
        }
        columns = {name: pa.array(values, pa.binary()).view(pa.string()) for name, values in cells.items()}
        if kind != pa.string():
            columns = {
                name: pa.DictionaryArray.from_arrays(pa.array(range(4), pa.int32()), column)
                if pa.types.is_dictionary(kind)
                else pa.array(cells[name], pa.large_binary()).view(pa.large_string())
                for name, column in columns.items()
            }
        pq.write_table(pa.table(columns), path)
    elif kind != pa.string():
        pytest.skip("the types of columns are Parquet's")
    else:
        path.write_bytes(INVALID[suffix])
    rows, rejects = read(tmp_path)
    assert [(r[1], r[2], r[3].partition(":")[0]) for r in rejects[:3]] == [
        (1, "invalid UTF-8", "column text"),
        (2, "invalid UTF-8", "column label"),
        (3, "invalid UTF-8", "column id"),
    ]
    assert rows[0][2:] == ("fine", "a", "0")
    assert [r[:3] for r in rejects[3:]] == (
        [(path.name, row, "invalid UTF-8") for row in (4, 5, 6)] if suffix == "jsonl" else []
    )
    # What is left can be written.
    for row in rows:
        "".join(value for value in row[2:] if value is not None).encode("utf-8")


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
    assert "label 'list' is a column of list" in mistake(tmp_path, Columns("embedding", "vector", "list"))
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
    "kind", [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float32(), 3)]
)
def test_broken_vectors_cost_one_row_each(tmp_path, kind):
    fixed = pa.types.is_fixed_size_list(kind)
    values = [
        [1, 2, 3],
        # Arrow itself cannot read a null among lists of a fixed size.
        [1, 2, float("inf")] if fixed else None,
        [1, float("nan"), 3],
        [1, 2, float("-inf")],
        [1, 2, 3] if fixed else [1, 2],
        [4, 5, 6],
    ]
    for count in (1, 6):  # the first alone takes the way without Python objects
        pq.write_table(pa.table({"v": pa.array(values[:count], kind)}), tmp_path / "d.parquet")
        rows, rejects = read(tmp_path, Columns("embedding", "v"))
        assert rows[0][2].tolist() == [1, 2, 3]
        assert rows[0][2].dtype == np.float32
        expected = [(1, "NaN vector" if fixed else "null vector"), (2, "NaN vector"), (3, "NaN vector")]
        expected += [] if fixed else [(4, "wrong width")]
        assert [(r[1], r[2]) for r in rejects] == (expected if count == 6 else [])
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
    assert [(reject[1], reject[2]) for reject in rejects] == [(1, "null image"), (2, "null image")]


def summary(records):
    content = records.content.tolist() if isinstance(records.content, np.ndarray) else records.content
    return content, records.labels, records.ids, records.bad, records.bad_keys


@settings(max_examples=40, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_reading_any_units_gives_what_reading_the_file_gives(suffix, data):
    count = data.draw(st.integers(1, 40))
    text = st.one_of(st.none(), st.text("ab\"',\n\r\té ", max_size=8))
    label = st.one_of(st.none(), st.sampled_from(["x", "y\n", 'z"']))
    rows = [{"text": data.draw(text), "label": data.draw(label), "id": str(i)} for i in range(count)]
    unit_rows, group = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 15))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"d.{suffix}")
        if suffix == "parquet":
            schema = pa.schema([(name, pa.string()) for name in ("text", "label", "id")])
            pq.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=group)
        else:
            write(path, rows)
        source, _ = open_source(folder)
        (whole,) = source.read(list(source.units(TEXT)), TEXT)
        units = list(source.units(TEXT, unit_rows))
        assert [unit.first_row for unit in units] == list(range(0, count, unit_rows))
        chosen = data.draw(st.lists(st.sampled_from(units), unique=True, min_size=1))
        chosen.sort(key=lambda unit: unit.first_row)
        for unit, records in zip(chosen, source.read(chosen, TEXT), strict=True):
            rows_of = slice(unit.first_row, unit.first_row + unit.rows)
            assert records.content == whole.content[rows_of]
            assert (records.labels, records.ids) == (whole.labels[rows_of], whole.ids[rows_of])
            assert records.bad == {
                row - unit.first_row: reason
                for row, reason in whole.bad.items()
                if row in range(*rows_of.indices(count))
            }
    if suffix != "csv":  # where a null and an empty text are one
        assert whole.content == [row["text"] for row in rows]
    else:
        assert whole.content == [row["text"] or None for row in rows]
    assert whole.ids == [row["id"] for row in rows]


def test_embeddings_by_units_are_those_of_the_file(tmp_path):
    vectors = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    vectors[17, 2] = np.nan
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 4)
    pq.write_table(pa.table({"v": column}), tmp_path / "d.parquet", row_group_size=13)
    columns = Columns("embedding", "v")
    source, _ = open_source(str(tmp_path))
    units = list(source.units(columns, 7))
    read_alone = np.concatenate([next(source.read([unit], columns)).content for unit in units])
    vectors[17] = 0
    np.testing.assert_array_equal(read_alone, vectors)
    pieces = list(source.read(units[2:5], columns))
    np.testing.assert_array_equal(np.concatenate([piece.content for piece in pieces]), vectors[14:35])
    assert pieces[0].bad[3][0] == "NaN vector"


def test_a_file_that_changed_is_noticed(tmp_path):
    write(tmp_path / "d.jsonl", ROWS)
    source, _ = open_source(str(tmp_path))
    units = list(source.units(TEXT))
    write(tmp_path / "d.jsonl", ROWS[:4])
    with pytest.raises(UserError, match="has changed since the job began"):
        list(source.read(units, TEXT))


def test_the_digest_of_a_unit_is_that_of_the_file(tmp_path):
    for suffix in ("parquet", "jsonl", "csv"):
        path = tmp_path / suffix / f"d.{suffix}"
        write(path, ROWS)
        source, _ = open_source(str(path))
        assert next(iter(source.units(TEXT))).digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_folder_of_images_has_one_row_a_file(tmp_path):
    for name in ("cat/1.png", "cat/b ä.JPG", "dog/1.jpeg", "top.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    rows, _ = read(tmp_path, Columns("image", "image", "folder", "path"))
    assert rows == [
        (name, 0, name.encode(), folder, name)
        for name, folder in (
            ("cat/1.png", "cat"),
            ("cat/b ä.JPG", "cat"),
            ("dog/1.jpeg", "dog"),
            ("top.webp", None),
        )
    ]
    assert "column 'label' is unknown" in mistake(tmp_path, Columns("image", "image", "label"))
    assert "holds images only; give image='image'" in mistake(tmp_path, Columns("image", "path"))
    assert "holds images only; give image='image'" in mistake(tmp_path, Columns("text", "image"))


def test_adding_one_image_changes_only_the_unit_it_lies_in(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "LEAST_ROWS", 4)
    monkeypatch.setattr(images, "CUT_EVERY", 16)
    for number in range(600):
        (tmp_path / f"{number:04d}.png").write_bytes(f"image {number}".encode())
    columns = Columns("image", "image")

    def digests():
        source, _ = open_source(str(tmp_path))
        units = list(source.units(columns, 200))
        assert sum(unit.rows for unit in units) == len(source.files)
        return {unit.digest for unit in units}

    before, changed = digests(), []
    assert len(before) > 20
    for number in range(0, 600, 50):
        extra = tmp_path / f"{number:04d}x.png"
        extra.write_bytes(b"new")
        after = digests()
        changed.append(len(after - before))
        extra.unlink()
    assert np.median(changed) == 1
    assert max(changed) <= 3
    # A rename that keeps the order keeps every unit.
    (tmp_path / "0003.png").rename(tmp_path / "0003a.png")
    assert digests() == before


def test_locations_on_an_object_store_keep_their_query(monkeypatch):
    from syllabus.pipeline import sources

    monkeypatch.setattr(sources.Store, "exists", lambda self, relative="": True)  # noqa: ARG005
    monkeypatch.setattr(sources.Store, "is_file", lambda self, relative="": True)  # noqa: ARG005
    monkeypatch.setattr(sources.Store, "stamp", lambda self, relative: (1, 1))  # noqa: ARG005
    source, _ = open_source("s3://bucket/data/a.jsonl?endpoint_override=http://127.0.0.1:5555/")
    assert source.files == ["a.jsonl"]
    assert source.store.url("a.jsonl") == "s3://bucket/data/a.jsonl?endpoint_override=http://127.0.0.1:5555"
