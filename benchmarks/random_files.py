"""Small files of every format of a source, made by chance: mostly ordinary rows, some with odd values."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import tarfile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

PACK = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: pa.compress(content, "zstd", asbytes=True),
}
TEXTS = [
    "",
    " ",
    "\u200b",
    "plain",
    "é\u0301",
    "a,b",
    'a"b',
    '"',
    "a\nb",
    "a\r\nb",
    "\r",
    "\t",
    "\0",
    "=1+1",
    "'",
]
TEXTS += [
    "null",
    "NaN",
    "1e999",
    "\ufeff",
    "\u2028",
    "𐀀",
    "x" * 9_999,
    "x" * 10_001,
    "é" * 5_001,
    "\\",
    "{",
    "[1]",
]
TEXTS += ["0", "-0.0", "\x1a", "true", "1_000", "٣", "a" * 100]
OTHERS: list[Any] = [
    None,
    True,
    0,
    -1,
    2**63,
    -(2**63) - 1,
    10**40,
    1.5,
    -0.0,
    1e308,
    float("nan"),
    float("inf"),
]
OTHERS += [
    [],
    {},
    [[]],
    {"a": 1},
    [1, "a"],
    ["a", "b"],
    [None],
    "2026-01-31",
    "12:00",
    "\ud800",
    "a\udc80",
    "l" * 201,
]
NESTED = [
    pa.list_(pa.string()),
    pa.list_(pa.float32()),
    pa.list_(pa.float32(), 3),
    pa.list_(pa.list_(pa.float64())),
]
NESTED += [pa.struct([("a", pa.int64())]), pa.list_(pa.float16()), pa.large_list(pa.int64())]
TYPES = [pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int32(), pa.string()), pa.int64()]
TYPES += [
    pa.uint64(),
    pa.float64(),
    pa.bool_(),
    pa.date32(),
    pa.timestamp("us"),
    pa.timestamp("s", "Asia/Tokyo"),
]
TYPES += [pa.decimal128(20, 3), pa.null(), pa.time64("us"), pa.duration("s"), pa.float16(), *NESTED]


def pick(random: np.random.Generator, values: list[Any]) -> Any:
    """Return one of some values."""
    return values[int(random.integers(len(values)))]


def cell(random: np.random.Generator, name: str, row: int) -> Any:
    """Return a value of a row, mostly an ordinary one."""
    chance = random.random()
    if chance < 0.75:
        return {"text": f"text {row}", "label": pick(random, ["x", "y"]), "id": f"k{row}"}[name]
    return pick(random, TEXTS if chance < 0.9 else OTHERS)


def json_file(random: np.random.Generator) -> bytes:
    """Lines of JSON, some of them odd."""
    lines = []
    for row in range(int(random.integers(1, 30))):
        values = {name: cell(random, name, row) for name in ("text", "label", "id")}
        if random.random() < 0.1:
            values.pop(pick(random, list(values)))
        line = json.dumps(values, ensure_ascii=bool(random.integers(2)))
        if random.random() < 0.1:
            line = pick(
                random, ["", " ", "[]", "3", "{", line[:-1], '{"text": "a", "text": "b"}', line * 2, "\0"]
            )
        if random.random() < 0.03:
            line = (
                '{"text": ' + "[" * 5_000 + "]" * 5_000 + "}"
                if random.random() < 0.5
                else json.dumps("x" * 60_000)
            )
        lines.append(line.encode("utf-8", "surrogatepass"))
    return pick(random, [b"\n", b"\r\n"]).join(lines) + pick(random, [b"", b"\n", b"\n\n"])


def csv_file(random: np.random.Generator, delimiter: str) -> bytes:
    """Cells with a header line, some rows of other lengths."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=pick(random, ["\n", "\r\n"]))
    names = ["text", "label", "id"]
    writer.writerow([*names, "more"] if random.random() < 0.2 else names)
    for row in range(int(random.integers(0, 30))):
        cells = [cell(random, name, row) for name in names]
        cells = cells + ["z"] * int(random.random() < 0.1)
        writer.writerow(cells[: int(random.integers(1, 4))] if random.random() < 0.05 else cells)
    return out.getvalue().encode("utf-8", "surrogatepass")


def random_table(random: np.random.Generator, content: str) -> pa.Table:
    """A table of columns of any types, with nulls."""
    rows = int(random.integers(0, 30))
    columns = {}
    for name in (content, "label", "id"):
        kind = pa.string() if random.random() < 0.5 else pick(random, TYPES)
        if name == "vector" and random.random() < 0.8:
            kind = pick(random, NESTED)
        columns[name] = column(random, kind, rows, name)
    return pa.table(columns)


def arrow_file(random: np.random.Generator, content: str) -> bytes:
    """A table in either of Arrow's own formats."""
    table, out = random_table(random, content), io.BytesIO()
    new = pick(random, [pa.ipc.new_stream, pa.ipc.new_file])
    options = pa.ipc.IpcWriteOptions(compression=pick(random, [None, "lz4", "zstd"]))
    with new(out, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=int(random.integers(1, 20)))
    return out.getvalue()


def tar_file(random: np.random.Generator) -> bytes:
    """An archive of records, some of them odd."""
    out = io.BytesIO()
    form = pick(random, [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for row in range(int(random.integers(0, 20))):
            key = pick(random, [f"{row}", f"folder/{row}", "k" * 150 + f"/{row}", f"é{row}"])
            for name in ("text", "label", "id"):
                value = cell(random, name, row)
                if random.random() < 0.05 or not isinstance(value, str):
                    continue
                content = value.encode("utf-8", "surrogatepass")
                extension = name.upper() if random.random() < 0.1 else name
                info = tarfile.TarInfo(f"{key}.{extension}" if random.random() < 0.95 else f"._{key}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def parquet_file(random: np.random.Generator, content: str) -> bytes:
    """The same as Parquet."""
    out = io.BytesIO()
    pq.write_table(
        random_table(random, content),
        out,
        row_group_size=int(random.integers(1, 20)),
        compression=pick(random, ["none", "snappy", "zstd"]),
        use_dictionary=bool(random.integers(2)),
        data_page_size=int(pick(random, [64, 1024, 1 << 20])),
        store_schema=bool(random.integers(4)),
    )
    return out.getvalue()


def column(random: np.random.Generator, kind: pa.DataType, rows: int, name: str) -> pa.Array:
    """A column of a type: of its values those that can be made, else nulls."""
    values = []
    for row in range(rows):
        value = cell(random, name if name != "vector" else "text", row)
        if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
            value = [float(v) for v in random.standard_normal(3)] if random.random() < 0.8 else value
            if pa.types.is_string(kind.value_type):
                value = [f"l{row % 2}"] * int(random.integers(1, 3))
        elif not (pa.types.is_string(kind) or pa.types.is_binary(kind)) and random.random() < 0.9:
            value = int(random.integers(-5, 5))
        try:
            pa.array([value], kind)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            value = None
        values.append(value)
    try:
        return pa.array(values, kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return pa.nulls(rows, kind)


def image_file(random: np.random.Generator) -> tuple[str, bytes]:
    """A small image of some format and mode."""
    suffix = pick(random, ["png", "jpg", "gif", "webp", "bmp", "tiff"])
    mode = pick(random, ["RGB", "L", "1"] if suffix in ("jpg", "webp", "bmp") else ["RGB", "L", "P", "1"])
    size = pick(random, [(1, 1), (7, 5), (40, 30), (400, 300)])
    image = Image.fromarray(random.integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)).convert(mode)
    out = io.BytesIO()
    image.save(out, {"jpg": "jpeg"}.get(suffix, suffix))
    return suffix, out.getvalue()
