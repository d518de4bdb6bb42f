"""Compressed files of lines: their content, whatever tool wrote them, and never all of it in memory."""

import bz2
import gzip
import lzma
import tracemalloc

import pyarrow as pa
import pytest
from source_files import ROWS, TEXT, mistake, read, write

from syllabus.pipeline.sources import Columns, open_source

COMPRESS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: pa.compress(content, "zstd", asbytes=True),
}


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("suffix", ["jsonl", "csv", "tsv"])
def test_compressed_lines_are_their_content(tmp_path, suffix, compression):
    write(tmp_path / f"plain.{suffix}", ROWS)
    content = (tmp_path / f"plain.{suffix}").read_bytes()
    cut = content.index(b"\n", len(content) // 2) + 1
    squeezed = COMPRESS[compression]
    # Two streams in one file, as tools that work in parallel write.
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / f"d.{suffix}{compression.upper()}").write_bytes(
        squeezed(content[:cut]) + squeezed(content[cut:])
    )
    rows, rejects = read(tmp_path / "c")
    assert ([row[1:] for row in rows], rejects) == (
        [row[1:] for row in read(tmp_path / f"plain.{suffix}")[0]],
        [],
    )
    source, _ = open_source(str(tmp_path / "c"))
    plain, _ = open_source(str(tmp_path / f"plain.{suffix}"))
    chunks = list(source.chunks(TEXT, 3))
    # The shards of the plain file are good for the compressed one.
    assert [(c.digest, c.start, c.length) for c in chunks] == [
        (c.digest, c.start, c.length) for c in plain.chunks(TEXT, 3)
    ]
    assert source.format_of(source.files[0]) == plain.format_of(plain.files[0])
    (last,) = source.read(chunks[-1:], TEXT)
    assert last.content == ["text 9 é"]


@pytest.mark.parametrize("compression", COMPRESS)
def test_a_broken_compressed_file_is_one_line(tmp_path, compression):
    path = tmp_path / f"d.jsonl{compression}"
    content = b"".join(b'{"text": "row %d"}\n' % row for row in range(5000))
    for broken in (COMPRESS[compression](content)[:-20], b'{"text": "plain"}\n'):
        path.write_bytes(broken)
        assert f"{path}: cannot be read as {compression}: " in mistake(tmp_path, Columns("text", "text"))


def test_a_compressed_file_is_not_held_in_memory(tmp_path):
    content = b'{"text": "%s"}\n' % (b"a" * 1000) * 20_000
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(content))
    source, _ = open_source(str(tmp_path))
    columns = Columns("text", "text")
    tracemalloc.start()
    chunks = list(source.chunks(columns, 1000))
    next(source.read(chunks[-1:], columns))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(chunks) == 20
    assert most < 10e6 < len(content)
