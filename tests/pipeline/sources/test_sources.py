"""Sources: which files are read, in which order, and in which chunks."""

import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_files import ROWS, TEXT, contents, mistake, read, write

from syllabus.pipeline.errors import UserError
from syllabus.pipeline.sources import Columns, images, open_source


def summary(records):
    content = records.content.tolist() if isinstance(records.content, np.ndarray) else records.content
    return content, records.labels, records.ids, records.bad, records.bad_keys


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
    assert (source.files, [left.name for left in ignored]) == (["a.jsonl"], ["README.md"])
    assert contents(tmp_path / ".hidden.jsonl", Columns("text", "text")) == [".hidden.jsonl"]


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


@settings(max_examples=40, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_reading_any_chunks_gives_what_reading_the_file_gives(suffix, data):
    count = data.draw(st.integers(1, 40))
    text = st.one_of(st.none(), st.text("ab\"',\n\r\té ", max_size=8))
    label = st.one_of(st.none(), st.sampled_from(["x", "y\n", 'z"']))
    rows = [{"text": data.draw(text), "label": data.draw(label), "id": str(i)} for i in range(count)]
    chunk_rows, group = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 15))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"d.{suffix}")
        if suffix == "parquet":
            schema = pa.schema([(name, pa.string()) for name in ("text", "label", "id")])
            pq.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=group)
        else:
            write(path, rows)
        source, _ = open_source(folder)
        (whole,) = source.read(list(source.chunks(TEXT)), TEXT)
        chunks = list(source.chunks(TEXT, chunk_rows))
        assert [chunk.first_row for chunk in chunks] == list(range(0, count, chunk_rows))
        chosen = data.draw(st.lists(st.sampled_from(chunks), unique=True, min_size=1))
        chosen.sort(key=lambda chunk: chunk.first_row)
        for chunk, records in zip(chosen, source.read(chosen, TEXT), strict=True):
            rows_of = slice(chunk.first_row, chunk.first_row + chunk.rows)
            assert records.content == whole.content[rows_of]
            assert records.labels.texts == whole.labels.texts[rows_of]
            assert records.ids == whole.ids[rows_of]
            assert records.bad == {
                row - chunk.first_row: reason
                for row, reason in whole.bad.items()
                if row in range(*rows_of.indices(count))
            }
    # CSV has no null: an empty cell is a blank text.
    none = "" if suffix == "csv" else None
    assert whole.content == [none if row["text"] is None else row["text"] for row in rows]
    blank = {row for row, text in enumerate(whole.content) if text is not None and not text.strip()}
    assert {row for row, (reason, _) in whole.bad.items() if reason == "blank text"} == blank
    assert whole.ids == [row["id"] for row in rows]


def test_embeddings_by_chunks_are_those_of_the_file(tmp_path):
    vectors = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    vectors[17, 2] = np.nan
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 4)
    pq.write_table(pa.table({"v": column}), tmp_path / "d.parquet", row_group_size=13)
    columns = Columns("embedding", "v")
    source, _ = open_source(str(tmp_path))
    chunks = list(source.chunks(columns, 7))
    read_alone = np.concatenate([next(source.read([chunk], columns)).content for chunk in chunks])
    vectors[17] = 0
    np.testing.assert_array_equal(read_alone, vectors)
    pieces = list(source.read(chunks[2:5], columns))
    np.testing.assert_array_equal(np.concatenate([piece.content for piece in pieces]), vectors[14:35])
    assert pieces[0].bad[3][0] == "NaN vector"


def test_a_file_that_changed_is_noticed(tmp_path):
    write(tmp_path / "d.jsonl", ROWS)
    source, _ = open_source(str(tmp_path))
    chunks = list(source.chunks(TEXT))
    write(tmp_path / "d.jsonl", ROWS[:4])
    with pytest.raises(UserError, match="has changed since the job began"):
        list(source.read(chunks, TEXT))


def test_the_digest_of_a_chunk_is_that_of_the_file(tmp_path):
    for suffix in ("parquet", "jsonl", "csv"):
        path = tmp_path / suffix / f"d.{suffix}"
        write(path, ROWS)
        source, _ = open_source(str(path))
        assert next(iter(source.chunks(TEXT))).digest == hashlib.sha256(path.read_bytes()).hexdigest()


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


def test_adding_one_image_changes_only_the_chunk_it_lies_in(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "LEAST_ROWS", 4)
    monkeypatch.setattr(images, "CUT_EVERY", 16)
    for number in range(600):
        (tmp_path / f"{number:04d}.png").write_bytes(f"image {number}".encode())
    columns = Columns("image", "image")

    def digests():
        source, _ = open_source(str(tmp_path))
        chunks = list(source.chunks(columns, 200))
        assert sum(chunk.rows for chunk in chunks) == len(source.files)
        return {chunk.digest for chunk in chunks}

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
    # A rename that keeps the order keeps every chunk.
    (tmp_path / "0003.png").rename(tmp_path / "0003a.png")
    assert digests() == before


def test_locations_on_an_object_store_keep_their_query(monkeypatch):
    from syllabus.pipeline.sources import opening

    monkeypatch.setattr(opening.Store, "kind", lambda self, relative="": "file")  # noqa: ARG005
    monkeypatch.setattr(opening.Store, "stamp", lambda self, relative: (1, 1))  # noqa: ARG005
    source, _ = open_source("s3://bucket/data/a.jsonl?endpoint_override=http://127.0.0.1:5555/")
    assert source.files == ["a.jsonl"]
    assert source.store.url("a.jsonl") == "s3://bucket/data/a.jsonl?endpoint_override=http://127.0.0.1:5555"
