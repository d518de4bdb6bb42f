"""Parquet files, read by the row group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from syllabus.pipeline.sources.columnar import HEAD_ROWS, ColumnarSource, rows_from
from syllabus.pipeline.sources.records import CHUNK_BYTES, Chunk
from syllabus.pipeline.sources.row_groups import RowGroups


class ParquetSource(ColumnarSource):
    """Parquet files."""

    suffixes = (".parquet", ".pq")
    form = "Parquet"

    def _table(self, handle: Any) -> RowGroups:
        return RowGroups(handle)

    def _cut(self, table: RowGroups, chunk: Chunk, names: list[str], chunk_rows: int) -> Iterator[Chunk]:
        first = 0
        for rows in table.pieces(chunk_rows, CHUNK_BYTES, names):
            yield replace(chunk, first_row=first, rows=rows)
            first += rows

    def _tables(self, table: RowGroups, chunks: list[Chunk], names: list[str]) -> Iterator[pa.Table]:
        first, stop = chunks[0].first_row, chunks[-1].first_row + chunks[-1].rows
        ends = np.cumsum(table.rows())
        groups = [i for i, end in enumerate(ends) if end > first and (i == 0 or ends[i - 1] < stop)]
        skipped = int(ends[groups[0] - 1]) if groups and groups[0] else 0
        return rows_from(table.read(groups, names), skipped, chunks)

    def _head(self, table: RowGroups, names: list[str]) -> pa.RecordBatch | None:
        groups = list(range(table.metadata.num_row_groups))
        return next(table.read(groups, names, HEAD_ROWS), None)

    def _count(self, table: RowGroups, size: int) -> tuple[int, bool]:  # noqa: ARG002
        return sum(table.rows()), True

    def _may_lack(self, table: RowGroups, struct: str, field: str) -> bool:
        return table.may_lack(struct, field)
