"""WebDataset shards: records by their keys, whatever the form of the archive; damage in one line."""

import bz2
import io
import json
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_files import mistake, read

from syllabus.pipeline.conditions import parse_condition
from syllabus.pipeline.sources import Columns, open_source
from syllabus.pipeline.sources.records import Limits
from syllabus.pipeline.sources.tar_members import TarError, members
from syllabus.pipeline.sources.webdataset import HEAD, _head

COLUMNS = Columns("text", "txt", "cls", "json.id")


def archive(files, form=tarfile.PAX_FORMAT):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as tar:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


def record(i, key=None):
    key = key or (f"folder/{i:04d}" if i % 3 else "é" * 60 + f"/{i:04d}" + "x" * 60)
    return [
        (f"{key}.txt", f"text {i}".encode()),
        (f"{key}.cls", b"%d\n" % (i % 2)),
        (f"{key}.json", json.dumps({"id": i, "size": i, "inner": {"vector": [i, 1.5]}}).encode()),
    ]


FILES = [file for i in range(40) for file in record(i)]
EXPECTED = [(f"text {i}", str(i % 2), str(i)) for i in range(40)]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("compress", [None, bz2.compress])
def test_chunks_of_any_size_and_order_give_the_records(tmp_path, form, compress):
    content = archive(FILES, form)
    path = tmp_path / ("a.tar.bz2" if compress else "a.tar")
    path.write_bytes(compress(content) if compress else content)
    source, _ = open_source(str(tmp_path))
    for size in (1, 7, 100):
        found = []
        for chunk in reversed(list(source.chunks(COLUMNS, size))):
            (records,) = source.read([chunk], COLUMNS)
            found = list(zip(records.content, records.labels.texts, records.ids, strict=True)) + found
        assert found == EXPECTED


def test_a_chunk_ends_by_its_bytes(tmp_path, monkeypatch):
    from syllabus.pipeline.sources import byte_ranges

    monkeypatch.setattr(byte_ranges, "CHUNK_BYTES", 10_000)
    (tmp_path / "a.tar").write_bytes(archive([(f"{i}.txt", b"x" * 4_000) for i in range(9)]))
    source, _ = open_source(str(tmp_path))
    assert [chunk.rows for chunk in source.chunks(Columns("text", "txt"))] == [3, 3, 3]


def test_columns_are_extensions_keys_of_json_and_several_of_these(tmp_path):
    npy = io.BytesIO()
    np.save(npy, np.arange(6, dtype=np.float16).reshape(2, 3))
    more = [
        ("x.JPG", b"a picture"),
        ("x.npy", npy.getvalue()),
        ("y.png", b"another"),
        ("y.npy", npy.getvalue()),
    ]
    (tmp_path / "a.tar").write_bytes(archive(more))
    assert [row[2] for row in read(tmp_path, Columns("image", "jpg;png"))[0]] == [b"a picture", b"another"]
    assert [row[2].tolist() for row in read(tmp_path, Columns("embedding", "npy"))[0]] == [[*range(6)]] * 2
    (tmp_path / "a.tar").write_bytes(archive(FILES))
    rows, _ = read(tmp_path, Columns("text", "json.id,txt", "json.size", "__key__"))
    assert rows[4][3:] == ("4", "folder/0004")
    assert rows[4][2] is None  # a number is no text
    rows, _ = read(tmp_path, Columns("embedding", "json.inner.vector"))
    assert rows[4][2].tolist() == [4, 1.5]
    where = Columns("text", "txt", where=(parse_condition("json.size>=38"), parse_condition("cls!=0")))
    source, _ = open_source(str(tmp_path))
    (records,) = source.read(list(source.chunks(where)), where)
    assert set(range(40)) - records.excluded == {39}
    assert "column 'text' is unknown; did you mean 'txt'?" in mistake(tmp_path, Columns("text", "text"))


def test_what_is_wrong_with_a_record_costs_it_alone(tmp_path):
    files = [
        ("README", b"no record"),
        ("._a.txt", b"of another system"),
        ("__meta__.json", b"{}"),
        *record(0, "a"),
        ("b.txt", b"twice"),
        ("b.txt", b"twice"),
        ("b.cls", b"1"),
        ("b.json", b'{"id": 7}'),
        ("c.cls", b"1"),
        ("c.json", b'{"id": 8}'),
        ("d.txt", b"d"),
        ("d.cls", b"1"),
        ("d.json", b"{"),
        ("e.txt", b"e" * 100),
        ("e.cls", b"\n"),
        ("e.json", b'{"id": 9}'),
        *record(1, "f"),
    ]
    (tmp_path / "a.tar").write_bytes(archive(files))
    limits = Limits(max_text_bytes=50)
    rows, rejects = read(tmp_path, Columns("text", "txt", "cls", "json.id", limits=limits))
    assert [reject[1:3] for reject in rejects] == [
        (1, "unreadable record"),
        (2, "null text"),
        (3, "unreadable record"),
        (4, "text above max_text_bytes"),
        (4, "blank label"),
    ]
    assert [rows[i][2:] for i in (0, 5)] == [("text 0", "0", "0"), ("text 1", "1", "1")]


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_a_link_costs_its_record_and_is_told(tmp_path, kind):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in (*record(0, "a"), ("b.cls", b"1"), ("b.txt", None), *record(1, "c")):
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = kind, "a.txt"
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content or b""))
    (tmp_path / "a.tar").write_bytes(made.getvalue())
    rows, rejects = read(tmp_path, Columns("text", "txt", "cls"))
    assert [row[2] for row in rows if row[2]] == ["text 0", "text 1"]
    ((_, row, reason, detail),) = (reject[:4] for reject in rejects)
    assert (row, reason) == (1, "unreadable record")
    assert "txt is a link" in detail


def test_an_array_that_cannot_be_read_costs_its_record_alone(tmp_path):
    made = io.BytesIO()
    np.save(made, np.arange(3.0))
    good = made.getvalue()
    large = good.replace(b"(3,), }             ", b"(9999999999999,), } ")
    odd = [b"", b"PK\x03\x04", good[:90], large, b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 15 + b"\n"]
    contents = [good, *odd, good]
    (tmp_path / "a.tar").write_bytes(archive([(f"{i}.npy", each) for i, each in enumerate(contents)]))
    rows, rejects = read(tmp_path, Columns("embedding", "npy"))
    assert [reject[1:3] for reject in rejects] == [(i + 1, "unreadable record") for i in range(len(odd))]
    assert rows[-1][2].tolist() == [0, 1, 2]


def test_the_head_of_an_archive_is_a_part_of_it_whatever_its_folders_are_called():
    files = [(f"./v1.0/{i:04d}.txt", b"") for i in range(HEAD + 50)]
    assert sum(1 for _ in _head(members(io.BytesIO(archive(files))))) == HEAD


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda data: data[: -(-len(data.rstrip(b"\0")) // 512) * 512], "was it cut short"),
        (lambda data: data[:5_000], "in the middle of a file"),
        (lambda data: data + b"more", "goes on after the mark of its end"),
        (lambda data: data + data, "goes on after the mark of its end"),
        (lambda data: data[:20_480] + b"x" * 512 + data[20_992:], "no header at byte"),
        (lambda _: b"", "was it cut short"),
    ],
)
def test_damage_is_told_with_the_file(tmp_path, harm, said):
    (tmp_path / "a.tar").write_bytes(harm(archive(FILES[3:9] * 9)))
    told = mistake(tmp_path, COLUMNS)
    assert "a.tar: cannot be read as tar" in told
    assert said in told


NAMES = st.text(st.characters(exclude_characters="\0/", exclude_categories=("Cs",)), min_size=1, max_size=200)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(NAMES, st.binary(max_size=1500)), max_size=8), st.sampled_from([0, 1, 2]))
def test_members_are_those_that_tarfile_reads(files, form):
    if form == tarfile.USTAR_FORMAT:
        files = [(f"{number}.txt", content) for number, (_, content) in enumerate(files)]
    data = archive(files, form)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        expected = [(info.name, tar.extractfile(info).read()) for info in tar if info.isreg()]
    assert [(member.name, member.content.read()) for member in members(io.BytesIO(data))] == expected
    filled = -(-len(data.rstrip(b"\0")) // 512) * 512
    for cut in range(0, filled, 700):
        with pytest.raises(TarError):
            list(members(io.BytesIO(data[:cut])))
