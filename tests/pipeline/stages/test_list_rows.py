"""Rows of lists: what was written is read again, from any row group to any place."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from syllabus.pipeline.sealed_parquet import SealedFile, SealedWriter
from syllabus.pipeline.stages.neighbours.list_rows import PIECE, ListRows, pieces


def drawn(rows: int, dimension: int) -> ListRows:
    draw = np.random.default_rng(0)
    probes = draw.integers(0, 4, (rows, 3)).astype("<i4")
    return ListRows(draw.permutation(rows), probes, draw.standard_normal((rows, dimension), np.float32))


@pytest.mark.parametrize("dimension", [1, 50])
def test_row_groups_are_read_to_where_they_belong(dimension: int) -> None:
    rows, sink = drawn(3 * PIECE, dimension), io.BytesIO()
    writer, by_list = SealedWriter(sink, rows.schema), rows.by_list()
    for _, places in by_list:
        rows.write(writer, places)
    writer.finish({"shard": "a/b"})
    file = SealedFile(pa.BufferReader(sink.getvalue()), lambda error: error)
    assert [number for number, _ in by_list] == [0, 1, 2, 3]
    order = np.concatenate([places for _, places in by_list])
    assert (np.diff(rows.probes[order, 0]) >= 0).all()
    assert all((np.diff(places) > 0).all() for _, places in by_list)
    found = ListRows.empty(len(order) + 7, 3, dimension)
    groups = sum(pieces(len(places)) for _, places in by_list)
    assert found.read(file, range(groups), 7) == len(order) + 7
    for name in ("positions", "probes", "vectors"):
        np.testing.assert_array_equal(getattr(found, name)[7:], getattr(rows, name)[order])
    second = found.first(found.read(file, range(1, 2)))
    before = min(PIECE, len(by_list[0][1]))
    np.testing.assert_array_equal(second.vectors, rows.vectors[order][before : before + len(second.vectors)])
    # It is Parquet as well.
    plain = pq.read_table(pa.BufferReader(sink.getvalue()))
    assert b"".join(plain["vector"].to_pylist()) == rows.vectors[order].tobytes()


def test_a_row_group_that_is_larger_than_the_pages_of_parquet_is_one_page() -> None:
    rows, sink = drawn(PIECE, 500), io.BytesIO()
    writer = SealedWriter(sink, rows.schema)
    rows.write(writer, np.arange(PIECE))
    writer.finish({"shard": "a/b"})
    file = SealedFile(pa.BufferReader(sink.getvalue()), lambda error: error)
    *_, vectors = file.fixed_size_values(0)
    assert bytes(vectors) == rows.vectors.tobytes()
    assert file.metadata.row_group(0).column(2).total_compressed_size - len(vectors) < 64
