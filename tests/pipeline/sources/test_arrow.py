"""Arrow's files and folders of Hugging Face's data sets: all rows, names of classes, damage in one line."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from source_files import ROWS, TEXT, mistake, read

from syllabus.pipeline.conditions import parse_condition
from syllabus.pipeline.sources import Columns, open_source

NEW = {"stream": pa.ipc.new_stream, "file": pa.ipc.new_file}


def write(path, table, form="stream", rows=7, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    with NEW[form](path, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=rows)


def classes(names):
    """What Hugging Face notes in a schema of a column `label` of classes."""
    features = {
        "label": {"names": names, "_type": "ClassLabel"},
        "text": {"dtype": "string", "_type": "Value"},
    }
    return {"huggingface": json.dumps({"info": {"features": features}})}


@pytest.mark.parametrize("dictionaries", [False, True])
@pytest.mark.parametrize("form", NEW)
def test_chunks_of_any_size_and_order_give_the_rows_of_the_table(tmp_path, form, dictionaries):
    table = pa.table(
        {
            "text": pa.array([f"t{i % 5}" for i in range(50)]),
            "label": ["a", None] * 25,
            "id": [f"r{i}" for i in range(50)],
            "unread": pa.array([[i] for i in range(50)]),
        }
    )
    if dictionaries:
        table = table.set_column(0, "text", table["text"].dictionary_encode())
    write(tmp_path / "d.arrow", table, form, compression="zstd")
    expected = list(zip(*(table[name].to_pylist() for name in ("text", "label", "id")), strict=True))
    source, _ = open_source(str(tmp_path))
    for size in (1, 3, 7, 8, 100):
        chunks = list(source.chunks(TEXT, size))
        assert {chunk.rows for chunk in chunks[:-1]} <= {size}
        found = []
        for chunk in reversed(chunks):  # any worker, in any order
            (records,) = source.read([chunk], TEXT)
            found = list(zip(records.content, records.labels.texts, records.ids, strict=True)) + found
        assert found == expected
        together = [row for records in source.read(chunks, TEXT) for row in records.ids]
        assert together == [row[2] for row in expected]


def test_a_chunk_ends_by_its_bytes(tmp_path, monkeypatch):
    from syllabus.pipeline.sources import arrow

    monkeypatch.setattr(arrow, "CHUNK_BYTES", 10_000)
    write(
        tmp_path / "d.arrow", pa.table({"text": ["x" * 4_000] * 9, "label": ["a"] * 9, "id": [*"abcdefghi"]})
    )
    source, _ = open_source(str(tmp_path))
    assert [chunk.rows for chunk in source.chunks(TEXT)] == [2, 2, 2, 2, 1]


@pytest.mark.parametrize(
    ("form", "harm", "said"),
    [
        ("stream", lambda data: data[:-8], "was it cut short"),
        ("stream", lambda data: data[: len(data) // 2], "Arrow"),
        ("stream", lambda data: data + b"more", "goes on after the mark of its end"),
        ("stream", lambda _: b"", "Arrow"),
        ("file", lambda data: data[:-1], "Arrow"),
        ("file", lambda data: data[: len(data) // 2], "Arrow"),
        ("file", lambda data: data + b"more", "Arrow"),
    ],
)
def test_damage_is_told_with_the_file(tmp_path, form, harm, said):
    write(tmp_path / "d.arrow", pa.Table.from_pylist(ROWS), form)
    (tmp_path / "d.arrow").write_bytes(harm((tmp_path / "d.arrow").read_bytes()))
    told = mistake(tmp_path)
    assert "d.arrow" in told
    assert said in told


def test_offsets_that_lead_out_of_the_texts_are_damage_and_bytes_that_are_no_utf8_a_reject(tmp_path):
    table = pa.Table.from_pylist(ROWS)
    write(tmp_path / "d.arrow", table, rows=100)
    whole = (tmp_path / "d.arrow").read_bytes()
    offsets = np.array([0, 8, 16], np.int32).tobytes()  # of "text 0 é"
    assert whole.count(offsets) == 0
    at = whole.index(np.array([0, 9, 18], np.int32).tobytes())
    (tmp_path / "d.arrow").write_bytes(whole[: at + 4] + np.int32(2**30).tobytes() + whole[at + 8 :])
    assert "d.arrow: cannot be read as Arrow" in mistake(tmp_path)
    (tmp_path / "d.arrow").write_bytes(whole.replace("text 3 é".encode(), b"text 3 \xff\xff"))
    rows, rejects = read(tmp_path)
    assert [reject[1:3] for reject in rejects] == [(3, "invalid UTF-8")]
    assert [row[2] for row in rows if row[1] != 3] == [row["text"] for row in ROWS if row["id"] != "r3"]


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_classes_go_by_their_names(tmp_path, kind):
    table = pa.table({"text": [*"abcde"], "label": [0, 1, -1, None, 2]}).replace_schema_metadata(
        classes(["neg", "pos"])
    )
    if kind == "arrow":
        write(tmp_path / "d.arrow", table)
    else:
        pq.write_table(table, tmp_path / "d.parquet")
    columns = Columns("text", "text", "label")
    rows, rejects = read(tmp_path, columns)
    assert [row[3] for row in rows] == ["neg", "pos", None, None, None]
    assert [reject[1:] for reject in rejects] == [
        (4, "label is not a class", "column label: 2 is none of 2 classes")
    ]
    source, _ = open_source(str(tmp_path))
    assert source.classes(columns) == ("neg", "pos")
    where = Columns("text", "text", where=(parse_condition("label=pos"),))
    (records,) = source.read(list(source.chunks(where)), where)
    assert records.excluded == {0, 2, 3, 4}
    wrong = Columns("text", "text", where=(parse_condition("label=1"),))
    assert "'1' is no class of 'label'; it has neg, pos" in mistake(tmp_path, wrong)
    numbers = Columns("text", "text", "label", numeric=True)
    assert "is a column of classes, such as 'neg'; --bins cuts numbers" in mistake(tmp_path, numbers)


def test_a_saved_data_set_is_read_as_its_library_reads_it(tmp_path):
    datasets = pytest.importorskip("datasets")
    picture = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["neg", "pos"]),
            "id": datasets.Value("int64"),
            "image": datasets.Image(),
            "vector": datasets.List(datasets.Value("float32")),
        }
    )
    rows = {
        "text": [f"text {i}" for i in range(30)],
        "label": [i % 2 for i in range(30)],
        "id": list(range(30)),
        "image": [picture] * 30,
        "vector": [[i, 1.0] for i in range(30)],
    }
    made = datasets.Dataset.from_dict(rows, features=features)
    made.save_to_disk(tmp_path / "one", num_shards=3)
    again = datasets.load_from_disk(str(tmp_path / "one"))
    again.filter(lambda row: row["id"] < 3, cache_file_name=str(tmp_path / "one" / "cache-12.arrow"))
    found, rejects = read(tmp_path / "one")
    assert [row[2:] for row in found] == [
        (r["text"], ["neg", "pos"][r["label"]], str(r["id"])) for r in again
    ]
    assert rejects == []
    assert [name for name, _ in open_source(str(tmp_path / "one"))[1]] == [
        "cache-12.arrow",
        "dataset_info.json",
        "state.json",
    ]
    images = [row[2] for row in read(tmp_path / "one", Columns("image", "image", "label"))[0]]
    assert Image.open(io.BytesIO(images[29])).tobytes() == picture.tobytes()
    vectors = [row[2].tolist() for row in read(tmp_path / "one", Columns("embedding", "vector"))[0]]
    assert vectors == rows["vector"]
    datasets.DatasetDict(train=made, test=made).save_to_disk(tmp_path / "two")
    told = mistake(tmp_path / "two")
    assert "holds the splits train, test; give the folder of one, such as" in told
    assert told.endswith(f"{tmp_path}/two/train")
    assert len(read(tmp_path / "two" / "train")[0]) == 30


def test_a_saved_data_set_that_is_not_whole_is_one_line(tmp_path):
    write(tmp_path / "data-00000-of-00002.arrow", pa.Table.from_pylist(ROWS))
    state = {"_data_files": [{"filename": f"data-0000{i}-of-00002.arrow"} for i in range(2)]}
    (tmp_path / "state.json").write_text(json.dumps(state))
    assert "names data-00001-of-00002.arrow, which is not there" in mistake(tmp_path)
    (tmp_path / "state.json").write_text(json.dumps({**state, "_indices_data_files": [{"filename": "i"}]}))
    assert "indices mapping" in mistake(tmp_path)
    (tmp_path / "state.json").write_text("{")
    assert "state.json: cannot be read" in mistake(tmp_path)


def test_a_cache_of_two_splits_is_asked_about_and_one_of_one_split_is_read(tmp_path):
    for split in ("train", "test"):
        write(tmp_path / f"set-{split}.arrow", pa.Table.from_pylist(ROWS))
    (tmp_path / "dataset_info.json").write_text(json.dumps({"splits": {"train": {}, "test": {}}}))
    assert "holds the splits train, test in one folder" in mistake(tmp_path)
    assert len(read(tmp_path / "set-train.arrow")[0]) == 10
    (tmp_path / "set-test.arrow").rename(tmp_path / "cache-abc.arrow")
    assert len(read(tmp_path)[0]) == 10
