"""A look at a source: the first rows of a few files of it, and how many rows it has."""

import bz2
import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from source_files import TEXT, read

from syllabus.manifests.storage import Store
from syllabus.pipeline.sources import Columns, arrow, byte_ranges, open_source
from syllabus.pipeline.sources.sampling import FILES, spread

MANY = 30_000


def rows_of(first: int, count: int) -> list[dict[str, str]]:
    return [
        {"id": f"{row:06}", "label": f"c{row % 5}", "text": f"text {hashlib.sha512(b'%d' % row).hexdigest()}"}
        for row in range(first, first + count)
    ]


def packed(rows: list[dict[str, str]]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for row in rows:
            content = json.dumps(row).encode()
            info = tarfile.TarInfo(f"{row['id']}.json")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


def put(folder: Path, suffix: str, number: int, rows: list[dict[str, str]]) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / f"{number:03}{suffix}"
    table = pa.Table.from_pylist(rows)
    if suffix == ".parquet":
        pq.write_table(table, path)
    elif suffix in (".arrow", ".feather"):
        new = pa.ipc.new_stream if suffix == ".arrow" else pa.ipc.new_file
        with new(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=500)
    elif suffix == ".tar":
        path.write_bytes(packed(rows))
    else:
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        if suffix.startswith(".csv"):
            lines = "id,label,text\n" + "".join(f"{row['id']},{row['label']},{row['text']}\n" for row in rows)
        pack = {".gz": gzip.compress, ".bz2": bz2.compress}.get(path.suffix, bytes)
        path.write_bytes(pack(lines.encode()))


FORMATS = (".jsonl", ".csv", ".jsonl.gz", ".csv.bz2", ".parquet", ".arrow", ".feather", ".tar")


def columns_of(suffix: str) -> Columns:
    return Columns("text", "json.text", "json.label", "json.id") if suffix == ".tar" else TEXT


def read_sample(source, columns, rows):
    sample = source.sample(columns, rows)
    found = []
    for chunk in sample.chunks:
        (records,) = source.read([chunk], columns)
        found += zip(records.content, records.labels.texts, records.ids, strict=True)
    return sample, found


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_first_rows_of_few_files_are_all_of_them(tmp_path, suffix):
    for number in range(3):
        put(tmp_path / "s", suffix, number, rows_of(40 * number, 40))
    columns = columns_of(suffix)
    whole = [row[2:] for row in read(tmp_path / "s", columns)[0]]
    source, _ = open_source(str(tmp_path / "s"))
    sample, found = read_sample(source, columns, 1000)
    assert found == whole
    assert (sample.files, sample.rows, sample.counted) == (3, 120, True)
    sample, found = read_sample(source, columns, 30)
    assert found == [row for number in range(3) for row in whole[40 * number : 40 * number + 10]]
    assert (sample.files, sample.rows, sample.counted) == (3, 120, True)


@pytest.mark.parametrize("suffix", FORMATS)
def test_of_many_files_some_are_looked_at(tmp_path, suffix):
    for number in range(50):
        put(tmp_path / "s", suffix, number, rows_of(60 * number, 60))
    source, _ = open_source(str(tmp_path / "s"))
    sample, found = read_sample(source, columns_of(suffix), 200)
    assert (sample.files, sample.counted, len(found)) == (FILES, False, 200)
    assert {int(key) // 60 for *_, key in found} == {number * 50 // 20 for number in range(20)}
    assert abs(sample.rows - 3000) < 90


# bzip2 gives blocks of 900 kB.
@pytest.mark.parametrize("suffix", [each for each in FORMATS if not each.endswith("bz2")])
def test_little_of_a_long_file_is_read(tmp_path, suffix, monkeypatch):
    for module in (byte_ranges, arrow):
        monkeypatch.setattr(module, "COUNTED_BYTES", 1_000_000)
    put(tmp_path / "s", suffix, 0, rows_of(0, MANY))
    taken = []
    opened = Store.open

    class Counting:
        def __init__(self, handle):
            self._handle = handle

        def __getattr__(self, name):
            return getattr(self._handle, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._handle.close()

        def read(self, *size):
            taken.append(data := self._handle.read(*size))
            return data

    from syllabus.pipeline.sources import text_lines

    monkeypatch.setattr(text_lines, "BUFFER", 10_000)
    if suffix not in (".parquet", ".arrow", ".feather"):  # Arrow takes its own files alone
        monkeypatch.setattr(Store, "open", lambda *place: Counting(opened(*place)))
    source, _ = open_source(str(tmp_path / "s"))
    sample = source.sample(columns_of(suffix), 50)
    assert [chunk.rows for chunk in sample.chunks] == [50]
    assert sample.counted == (suffix == ".parquet")
    assert abs(sample.rows - MANY) < MANY * 0.08
    assert sum(map(len, taken)) < (tmp_path / "s" / f"000{suffix}").stat().st_size / 2


def test_images_are_spread_over_the_classes(tmp_path):
    for number in range(90):
        path = tmp_path / "s" / f"class {number // 30}" / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2), number).save(path)
    source, _ = open_source(str(tmp_path / "s"))
    sample, found = read_sample(source, Columns("image", "image", "folder", "path"), 30)
    assert (sample.files, sample.rows, sample.counted) == (30, 90, True)
    assert [sum(label == f"class {each}" for _, label, _ in found) for each in range(3)] == [10, 10, 10]


def test_names_are_spread_evenly():
    assert spread(list("abc"), 20) == list("abc")
    assert spread(list("abcdefgh"), 4) == list("aceg")
