"""Sealed Parquet files: no byte of them can change without a word, and any reader reads them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from syllabus.pipeline import sealed_parquet
from syllabus.pipeline.sealed_parquet import Damage, SealedFile, SealedWriter

GROUPS = 3


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_parquet, "BLOCK", 64)
    monkeypatch.setattr(sealed_parquet, "TAIL", 32)


def table(seed: int = 0) -> pa.Table:
    draw = np.random.default_rng(seed)
    columns = {
        # Alike in every row group, since it is packed: all of them have one length.
        "index": np.arange(60) % (60 // GROUPS),
        "word": pa.array([None, "", "alpha", "be"] * 15),
        "vector": pa.array([draw.bytes(12) for _ in range(60)], pa.binary(12)),
    }
    return pa.table(columns)


def sealed(seed: int = 0) -> bytes:
    sink, rows = io.BytesIO(), table(seed)
    writer = SealedWriter(sink, rows.schema)
    for first in range(0, 60, 60 // GROUPS):
        writer.write(rows.slice(first, 60 // GROUPS))
    writer.finish({"shard": "a/b"})
    return sink.getvalue()


def opened(content: bytes) -> pq.ParquetFile:
    file = SealedFile(pa.BufferReader(content), lambda error: error)
    return pq.ParquetFile(file, metadata=file.metadata)


def test_what_was_written_is_read_whole_by_row_group_and_by_column(tmp_path: Path) -> None:
    content, rows = sealed(), table()
    parquet = opened(content)
    assert parquet.read().equals(rows)
    assert parquet.num_row_groups == GROUPS
    packed = [parquet.metadata.row_group(1).column(number).compression for number in range(3)]
    assert packed == ["ZSTD", "ZSTD", "UNCOMPRESSED"]
    for group in (2, 0, 1):
        expected = rows.slice(20 * group, 20)
        assert parquet.read_row_group(group).equals(expected)
        assert parquet.read_row_group(group, columns=["word"]).equals(expected.select(["word"]))
    assert parquet.metadata.metadata[b"shard"] == b"a/b"
    (tmp_path / "plain.parquet").write_bytes(content)
    assert pq.read_table(tmp_path / "plain.parquet").equals(rows)
    assert sealed() == content


def test_no_byte_changes_without_a_word() -> None:
    content = sealed()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        with pytest.raises(Damage):
            opened(bytes(changed)).read()


def test_only_what_is_read_has_to_be_sound() -> None:
    content = bytearray(sealed())
    metadata = opened(bytes(content)).metadata
    content[metadata.row_group(1).column(2).data_page_offset + 60] ^= 1
    parquet = opened(bytes(content))
    for group in (0, 2):
        assert parquet.read_row_group(group).equals(table().slice(20 * group, 20))
    with pytest.raises(Damage, match=r"bytes .* are not what was written"):
        parquet.read_row_group(1)


def test_row_groups_and_pages_are_bound_to_their_place_and_file() -> None:
    content, other = sealed(), sealed(seed=1)
    assert len(content) == len(other)
    groups = [opened(content).metadata.row_group(number) for number in range(GROUPS)]
    first, second, third = (group.column(0).data_page_offset for group in groups)
    assert second - first == third - second
    swapped = content[:first] + content[second:third] + content[first:second] + content[third:]
    vectors = slice(groups[0].column(2).data_page_offset, second)
    spliced = content[: vectors.start] + other[vectors] + content[vectors.stop :]
    for damaged in (swapped, spliced):
        # Sound pages all of them: Parquet alone has no word against either.
        assert not pq.read_table(pa.BufferReader(damaged)).equals(table())
        with pytest.raises(Damage):
            opened(damaged).read()


@pytest.mark.parametrize("cut", [0, 1, 4, 12, 40, -1, -9])
def test_what_is_cut_off_or_added_is_found_at_the_footer(cut: int) -> None:
    content = sealed()
    for damaged in (content[:cut], content + content, b"x" + content, content + b"PAR1"):
        with pytest.raises(Damage):
            SealedFile(pa.BufferReader(damaged), lambda error: error)


def test_a_footer_is_believed_no_number() -> None:
    content = sealed()
    for count in (0, 1 << 31, (1 << 32) - 1):
        size = int.from_bytes(content[-8:-4], "little") + 8
        damaged = content[: -size - 4] + count.to_bytes(4, "little") + content[-size:]
        with pytest.raises(Damage):
            SealedFile(pa.BufferReader(damaged), lambda error: error)
        with pytest.raises(Damage):
            SealedFile(
                pa.BufferReader(content[:-8] + count.to_bytes(4, "little") + b"PAR1"), lambda error: error
            )
