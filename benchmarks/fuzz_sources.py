"""Sources of every format: valid files with odd values, odd structure, or changed bytes.

What is read is compared with an independent reading of the same file (`json`, `csv`, `pyarrow`): a row is
accepted with its own values, or rejected; none is missing; and chunks of another size give the same.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import itertools
import json
import lzma
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from damage import Attempt
from fuzz import bounded_memory, mutated
from random_files import (
    PACK,
    arrow_file,
    csv_file,
    image_file,
    json_file,
    parquet_file,
    pick,
    tar_file,
)

from syllabus.pipeline.encoders.images import EncodedImage
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.sources import Columns, open_source
from syllabus.pipeline.sources.records import Limits

LIMITS = Limits(10_000, 100_000, 100_000, 200, 100, 50_000)
UNPACK = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
    ".zst": lambda content: pa.CompressedInputStream(pa.BufferReader(content), "zstd").read(),
}
TEXT = Columns("text", "text", "label", "id", limits=LIMITS)
VECTOR = Columns("embedding", "vector", limits=LIMITS)
IMAGE = Columns("image", "image", limits=LIMITS)


def json_rows(content: bytes) -> Iterator[dict[str, Any] | None]:
    """The objects of the lines, None for a line that is none."""
    for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        if not line.removeprefix(b"\xef\xbb\xbf").strip():
            continue
        try:
            # Columns that nobody asked for may hold anything, their names too.
            value = json.loads(line.decode("utf-8", "surrogateescape")) if len(line) < 50_000 else None
        except (ValueError, RecursionError):
            value = None
        yield value if isinstance(value, dict) else None


def csv_rows(content: bytes, delimiter: str) -> Iterator[dict[str, Any] | None]:
    """The rows below the header, None for one that has another number of cells."""
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    # Lines end with \n: what is left of \r is no row of its own.
    # Nor is a byte order mark alone, where files were joined.
    rows = [row for row in csv.reader(io.StringIO(text, newline="\n"), delimiter=delimiter) if row]
    rows = [row for row in rows if row != ["\ufeff"]]
    for row in rows[1:]:
        whole = len(row) == len(rows[0])
        yield dict(zip(rows[0], row, strict=True)) if whole else None


def arrow_rows(content: bytes) -> list[dict[str, Any]]:
    """The rows of a file of either of Arrow's formats."""
    opened = pa.ipc.open_file if content.startswith(b"ARROW1") else pa.ipc.open_stream
    table = opened(pa.BufferReader(content)).read_all()
    table.validate(full=True)  # what a damaged file says may lead anywhere
    return table.to_pylist()


def tar_rows(content: bytes) -> Iterator[dict[str, Any] | None]:
    """The records of an archive, None for one that has a file twice."""
    found: list[tuple[str, str, bytes]] = []
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for info in filter(tarfile.TarInfo.isreg, archive):
            folder, slash, base = info.name.rpartition("/")
            stem, _, extension = base.partition(".")
            opened = archive.extractfile(info)
            if stem and extension and opened is not None:
                found.append((folder + slash + stem, extension.lower(), opened.read()))
    for _, files in itertools.groupby(found, key=lambda each: each[0]):
        held = [(extension, data) for _, extension, data in files]
        row = {
            name: data if name == "text" else data.strip().decode("utf-8", "replace") for name, data in held
        }
        yield row if len(row) == len(held) else None


class Fuzz:
    """Makes a source, reads it, and compares."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "source"

    def attempt(self, random: np.random.Generator) -> Attempt:
        """Run one try."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        form = pick(random, ["jsonl", "csv", "tsv", "parquet", "parquet", "arrow", "tar", "vector", "image"])
        if form == "image":
            suffix, content = image_file(random)
        elif form == "jsonl":
            suffix, content = form, json_file(random)
        elif form in ("csv", "tsv"):
            suffix, content = form, csv_file(random, "\t" if form == "tsv" else ",")
        elif form == "tar":
            suffix, content = form, tar_file(random)
        elif form == "arrow":
            suffix, content = form, arrow_file(random, "text")
        else:
            suffix, content = "parquet", parquet_file(random, "vector" if form == "vector" else "text")
        content = mutated(content, random) if random.random() < 0.5 else content
        if form in ("jsonl", "csv", "tsv", "tar") and random.random() < 0.3:
            pack = pick(random, list(PACK))
            suffix, content = suffix + pack, PACK[pack](content)
            content = mutated(content, random, 2) if random.random() < 0.3 else content
        file = self.folder / f"{form}.{suffix}"
        file.write_bytes(content)
        return judged(file)


def judged(file: Path) -> Attempt:
    """Read a file as a source, and as somebody else would; `vector.parquet` is one of vectors."""
    kind = (
        "parquet"
        if file.suffix == ".parquet"
        else next(
            (each for each in ("jsonl", "csv", "tsv", "arrow", "tar") if f".{each}" in file.name), "image"
        )
    )
    if kind == "image":
        return judged_image(file)

    def rows() -> list[dict[str, Any] | None]:
        content = UNPACK.get(file.suffix, bytes)(file.read_bytes())
        if kind == "parquet":
            return pq.read_table(io.BytesIO(content)).to_pylist()
        if kind == "arrow":
            return arrow_rows(content)
        if kind == "tar":
            return list(tar_rows(content))
        return list(
            json_rows(content) if kind == "jsonl" else csv_rows(content, "\t" if kind == "tsv" else ",")
        )

    return compared(file, VECTOR if file.name.startswith("vector") else TEXT, rows)


def judged_image(file: Path) -> Attempt:
    """Read and decode an image: it is there, or a reject is."""
    rejects: list[Any] = []
    with bounded_memory():
        source, _ = open_source(str(file))
        (chunk,) = source.chunks(IMAGE)
        (records,) = source.read([chunk], IMAGE)
        most = LIMITS.max_image_pixels
        image = EncodedImage(records.content[0], 0, lambda *why: rejects.append(why), most).open()
    if (image is None) != (len(rejects) == 1):
        return Attempt(file.name, "silent", f"{image} with {rejects}")
    return Attempt(file.name, "accepted" if image is not None else "refused", str(rejects))


def compared(place: Path, columns: Columns, oracle: Callable[[], list[Any]]) -> Attempt:
    """Read a source and compare it with the rows of an independent reading, if that goes."""
    what = place.name
    try:
        with bounded_memory():
            found = list(read(place, columns, 8192))
            again = list(read(place, columns, 3))
    except UserError as error:
        lines = str(error).splitlines()
        return Attempt(what, "refused" if len(lines) == 1 else "traceback", str(error))
    if repr(found) != repr(again):
        return Attempt(what, "silent", f"chunks of another size: {found} {again}")
    try:
        expected = oracle()
    except Exception as error:  # the other reading gives up; ours did not
        return Attempt(what, "accepted", f"no other reading: {error}")
    if len(expected) != len(found):
        return Attempt(what, "silent", f"{len(found)} rows, another reading has {len(expected)}")
    for number, (got, row) in enumerate(zip(found, expected, strict=True)):
        if problem := difference(got, row, columns):
            return Attempt(what, "silent", f"row {number}: {problem}: {got!r:.300} {row!r:.300}")
    return Attempt(what, "accepted")


def read(place: Path, columns: Columns, chunk_rows: int) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Yield content, label, id and reject of each row."""
    source, _ = open_source(str(place))
    for chunk in source.chunks(columns, chunk_rows):
        for records in source.read([chunk], columns):
            labels = records.labels.texts if records.labels is not None else [None] * chunk.rows
            ids = records.ids or [None] * chunk.rows
            for row in range(chunk.rows):
                bad = records.bad.get(row) or records.bad_keys.get(row)
                yield records.content[row], labels[row], ids[row], bad


def difference(got: tuple[Any, Any, Any, Any], row: dict[str, Any] | None, columns: Columns) -> str:
    """Return what is wrong with a row that another reading has as `row`; empty where nothing is."""
    content, label, key, bad = got
    if row is None:
        return "" if bad else "is no row elsewhere"
    if columns.kind == "embedding":
        value = row.get("vector")
        whole = isinstance(value, list) and all(
            isinstance(v, float | int) and not isinstance(v, bool) for v in value
        )
        if bad or not whole:
            return "" if bad else "is no vector elsewhere"
        same = len(value) == len(content) and np.array_equal(np.float32(value), content)
        return "" if same else "another vector"
    plain = all(
        isinstance(row.get(name), str) and row[name].isascii() and row[name].isalnum()
        for name in ("text", "label", "id")
    )
    if bad:
        short = plain and len(row["text"]) <= 10_000 and len(row["label"]) <= 200 and len(row["id"]) <= 100
        return f"rejected without need ({bad[0]})" if short else ""
    if plain and (content, label, key) != (row["text"], row["label"], row["id"]):
        return "another text, label or id"
    text = row.get("text")
    text = text.decode() if isinstance(text, bytes) else text
    return "" if content == text else "another text"
