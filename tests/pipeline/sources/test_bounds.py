"""Bounds of one record: what is beyond is a reject that names the bound, and is never held whole."""

import gzip
import io
import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from source_files import mistake, read, write

from syllabus.pipeline.encoders.images import EncodedImage
from syllabus.pipeline.options import Bounds, Options
from syllabus.pipeline.sources import Columns, open_source, records
from syllabus.pipeline.sources.records import UNBOUNDED, Limits
from syllabus.pipeline.stages.plan import columns_of, make_plan

LIMITS = Limits(max_text_bytes=20, max_label_bytes=10, max_id_bytes=6)
COLUMNS = Columns("text", "text", "label", "id", limits=LIMITS)


def test_every_bound_is_an_option_and_reaches_the_source():
    assert set(Bounds.model_fields) == set(Limits.__dataclass_fields__)
    given = {name: 100 + number for number, name in enumerate(Bounds.model_fields)}
    least = {"source": "/data", "output": "/m"}
    text = {name: given[name] for name in given if "image" not in name}
    made = columns_of(Options(**least, text="t", encoder="hashing", label="l", id="k", **text)).limits
    assert {name: getattr(made, name) for name in text} == text
    image = {name: given[name] for name in given if "image" in name}
    made = columns_of(Options(**least, image="t", encoder="a:b", **image)).limits
    assert {name: getattr(made, name) for name in image} == image


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_a_value_beyond_its_bound_costs_one_row_and_one_within_none(tmp_path, suffix):
    rows = [
        {"text": "é" * 10, "label": "l" * 10, "id": "i" * 6},
        {"text": "é" * 10 + "x", "label": "l", "id": "b"},
        {"text": "t", "label": "l" * 11, "id": "c"},
        {"text": "t", "label": "l", "id": "i" * 7},
    ]
    write(tmp_path / f"d.{suffix}", rows)
    found, rejects = read(tmp_path, COLUMNS)
    assert [r[1:] for r in rejects] == [
        (1, "text above max_text_bytes", "column text: 21 bytes; max_text_bytes is 20"),
        (2, "label above max_label_bytes", "column label: 11 bytes; max_label_bytes is 10"),
        (3, "id above max_id_bytes", "column id: 7 bytes; max_id_bytes is 6"),
    ]
    assert found[0][2:] == ("é" * 10, "l" * 10, "i" * 6)
    assert [row[2] for row in found[2:]] == ["t", "t"]
    assert (found[1][2], found[2][3], found[3][4]) == (None, None, None)  # not held, nor written to a shard


@pytest.mark.parametrize("form", ["list", "dictionary", "unsigned", "view", "binary", "uuid"])
def test_types_of_parquet_columns_are_bounded_too(tmp_path, form):
    values = [["a"], ["b"] * 11, None] if form == "list" else ["a", "b" * 11, None]
    kinds = {
        "list": pa.list_(pa.string()),
        "dictionary": pa.dictionary(pa.int32(), pa.string()),
        "unsigned": pa.dictionary(pa.uint32(), pa.string()),  # as polars writes categories
        "view": pa.string_view(),
        "binary": pa.binary(),
        "uuid": pa.string(),
    }
    cast = form in ("dictionary", "unsigned", "view")
    column = pa.array(values, pa.string() if cast else kinds[form]).cast(kinds[form])
    pq.write_table(pa.table({"text": ["t"] * 3, "label": column, "id": list("xyz")}), tmp_path / "d.parquet")
    found, rejects = read(tmp_path, COLUMNS)
    assert [r[1:3] for r in rejects] == [(1, "label above max_label_bytes")]
    assert [row[3] for row in found] == ['["a"]' if form == "list" else "a", None, None]


def test_a_list_of_classes_counts_whole(tmp_path):
    write(
        tmp_path / "d.jsonl",
        [{"text": "t", "label": ["aa"], "id": 1}, {"text": "t", "label": list("abc"), "id": 2}],
    )
    _, rejects = read(tmp_path, COLUMNS)
    assert [r[1:] for r in rejects] == [
        (1, "label above max_label_bytes", "column label: 13 bytes; max_label_bytes is 10")
    ]


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_line_beyond_its_bound_is_read_in_pieces(tmp_path, compress):
    """Blank, last without a newline, and in the middle: rows keep their places."""
    long = json.dumps({"text": "x" * 30_000_000}).encode()
    lines = b'{"text": "a"}\n' + long + b'\n{"text": "b"}\n' + b" " * 5_000_000 + b'\n{"text": "c"}\n' + long
    name = "d.jsonl" if compress is bytes else "d.jsonl.gz"
    (tmp_path / name).write_bytes(compress(lines))
    columns = Columns("text", "text", limits=Limits(max_record_bytes=1_000_000))
    size = len(lines)
    del lines
    tracemalloc.start()
    found, rejects = read(tmp_path, columns)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row[1:3] for row in found] == [(0, "a"), (1, None), (2, "b"), (3, "c"), (4, None)]
    assert [r[1:3] for r in rejects] == [(row, "record above max_record_bytes") for row in (1, 4)]
    assert rejects[0][3].startswith('30,000,013 bytes; max_record_bytes is 1,000,000: b\'{"text": "xxx')
    assert peak < size / 4


@pytest.mark.parametrize(
    "content", [b'text,id\na,1\n"b,2\n' + b"c,3\n" * 2_500_000, b"text\n" + b"x" * 10_000_000]
)
def test_a_record_of_csv_beyond_its_bound_is_refused_before_the_file_is_held(tmp_path, content):
    (tmp_path / "d.csv").write_bytes(content)
    columns = Columns("text", "text", limits=Limits(max_record_bytes=100_000))
    tracemalloc.start()
    told = mistake(tmp_path, columns)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "is longer than max_record_bytes=100,000; is a quote opened and never closed?" in told
    assert peak < 5_000_000  # buffers of a megabyte; the file has ten


def test_chunks_end_by_bytes_where_rows_are_large(tmp_path, monkeypatch):
    from syllabus.pipeline.sources import byte_ranges, images, parquet

    for module in (byte_ranges, images, parquet):
        monkeypatch.setattr(module, "CHUNK_BYTES", 1000)
    rows = [{"text": f"{row} " + "x" * (300 if row % 2 else 100)} for row in range(20)]
    write(tmp_path / "lines" / "d.jsonl", rows)
    pq.write_table(
        pa.Table.from_pylist(rows), tmp_path / "d.parquet", compression="none", use_dictionary=False
    )
    for row in range(20):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"{row:02}.png").write_bytes(rows[row]["text"].encode())
    text, image = Columns("text", "text"), Columns("image", "image")
    for place, columns, most in (("lines", text, 6), ("d.parquet", text, 5), ("images", image, 6)):
        source, _ = open_source(str(tmp_path / place))
        chunks = list(source.chunks(columns))
        assert 4 <= len(chunks) <= 6
        assert max(chunk.rows for chunk in chunks) <= most
        held = [records for chunk in chunks for records in source.read([chunk], columns)]
        found = [
            value if isinstance(value, str) else value.decode() for each in held for value in each.content
        ]
        assert found == [row["text"] for row in rows]
    assert records.CHUNK_BYTES > 2**26


def test_one_heavy_row_group_leaves_the_chunks_of_the_others(tmp_path):
    light, heavy = [f"light {row}" for row in range(20_000)], ["x" * 2**24] * 9
    with pq.ParquetWriter(
        tmp_path / "d.parquet", pa.schema([("text", pa.string())]), compression="none", use_dictionary=False
    ) as writer:
        for texts in (light, heavy, light):
            writer.write_table(pa.table({"text": texts}))
    source, _ = open_source(str(tmp_path / "d.parquet"))
    chunks = list(source.chunks(Columns("text", "text")))
    rows = [chunk.rows for chunk in chunks]
    assert sum(rows) == 40_009
    assert rows[:2] == [8192, 8192]
    assert len(rows) <= 7  # heavy rows alone decide where a chunk with them ends
    firsts = [sum(rows[:number]) for number in range(len(rows))]
    assert [chunk.first_row for chunk in chunks] == firsts


def png(width, height):
    out = io.BytesIO()
    Image.new("1", (width, height)).save(out, "png")
    return out.getvalue()


def test_an_image_beyond_its_bounds_is_not_decoded(monkeypatch):
    small, large = png(10, 10), png(4000, 3000)
    assert len(large) < 2000
    found = []
    assert EncodedImage(small, 0, found.append, 100).open() is not None
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded"))
    assert EncodedImage(large, 7, lambda *reject: found.append(reject), 11_999_999).open() is None
    detail = "4,000 × 3,000 are 12,000,000 pixels; max_image_pixels is 11,999,999"
    assert found == [(7, "image above max_image_pixels", detail)]


def test_an_image_beyond_the_bound_of_pillow_names_ours():
    small = io.BytesIO()
    Image.new("P", (4, 4)).save(small, "gif")
    large = small.getvalue()[:6] + b"\xff\xff\xff\xff" + small.getvalue()[10:]
    found = []
    assert EncodedImage(large, 0, lambda *reject: found.append(reject)).open() is None
    assert found[0][1] == "image above max_image_pixels"


def test_an_image_that_is_a_program_is_not_run(monkeypatch):
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("runs"))
    found = []
    assert EncodedImage(program, 0, lambda *reject: found.append(reject)).open() is None
    assert found == [(0, "unreadable image", "an EPS file is a program; it is not run")]


@pytest.mark.parametrize("form", ["folder", "bytes", "paths"])
def test_an_image_of_many_bytes_is_not_read(tmp_path, form):
    (tmp_path / "a.png").write_bytes(b"x" * 50)
    (tmp_path / "b.png").write_bytes(b"y" * 51)
    if form != "folder":
        rows = [
            {"bytes": None if form == "paths" else (tmp_path / f"{n}.png").read_bytes(), "path": f"{n}.png"}
            for n in "ab"
        ]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        pq.write_table(pa.table({"image": pa.array(rows, kind)}), tmp_path / "d.parquet")
    columns = Columns("image", "image", limits=Limits(max_image_bytes=50))
    found, rejects = read(tmp_path if form == "folder" else tmp_path / "d.parquet", columns)
    assert [row[2] for row in found] == [b"x" * 50, None]
    (reject,) = rejects
    assert reject[2:] == ("image above max_image_bytes", "column image: 51 bytes; max_image_bytes is 50")


def test_keys_hold_the_bounds_that_matter(tmp_path):
    write(tmp_path / "d.jsonl", [{"text": "abc", "label": "x", "id": str(row)} for row in range(60)])
    least = {"source": str(tmp_path), "output": "/m", "text": "text", "label": "label", "encoder": "hashing"}
    least |= {"work_dir": str(tmp_path.parent / "w"), "id": "id"}

    def keys(**more):
        (planned,) = make_plan(Options(**least, **more)).chunks
        return planned.embed_key, planned.rows_key

    embed, rows = keys()
    assert keys(max_text_bytes=2)[0] != embed
    assert keys(max_text_bytes=2)[1] == rows
    for name in ("max_label_bytes", "max_id_bytes"):
        assert keys(**{name: 5})[0] == embed
        assert keys(**{name: 5})[1] != rows
    assert keys(max_record_bytes=50)[0] != embed
    assert Limits.of({"text": "t"}) == Limits()
    assert Limits().max_id_bytes == UNBOUNDED
