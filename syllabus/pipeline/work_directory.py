"""The work directory: shards under keys that say everything that determines them.

A stage's shard is found by the sha256 of the stage's name and version, its inputs and the options that
it reads. A rerun, after a crash or with other options, finds what is already there and makes the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from syllabus.manifests.errors import first_line
from syllabus.manifests.storage import Store
from syllabus.pipeline.errors import JobError

VERSIONS = {
    "embed": 2,
    "rows": 3,
    "census": 3,
    "fit": 1,
    "neighbours": 2,
    "coarse": 1,
    "cells": 2,
    "truth": 2,
    "holdout": 2,
    "cover": 1,
    "guide": 1,
    "regroup": 2,
    "subsets": 1,
    "ranking": 1,
    "order": 1,
}
"""Raised when a stage's code would write other bytes for the same key."""


def key_of(stage: str, **inputs: Any) -> str:
    """Return the key of a shard: `inputs` are JSON values, in which order does not matter but in lists."""
    document = {"stage": stage, "version": VERSIONS[stage], **inputs}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def digest_of(values: list[str]) -> str:
    """Return one digest of many keys, in their order."""
    return hashlib.sha256("\n".join(values).encode()).hexdigest()


class WorkDirectory:
    """The shards of all stages, by stage and key."""

    def __init__(self, location: str) -> None:
        self.store = Store(location)

    @staticmethod
    def path(stage: str, key: str, suffix: str = ".parquet") -> str:
        """Return a shard's path below the work directory."""
        return f"{stage}/{key[:2]}/{key}{suffix}"

    def keys(self, stage: str) -> set[str]:
        """Return the keys of the shards of a stage that are there, from one listing."""
        names = (path.rpartition("/")[2] for path in self.store.files(stage))
        return {name.partition(".")[0] for name in names if not name.startswith(".")}

    def has(self, stage: str, key: str, suffix: str = ".parquet") -> bool:
        """Whether a shard is there."""
        return self.store.exists(self.path(stage, key, suffix))

    def write(self, stage: str, key: str, table: pa.Table, metadata: dict[str, Any] | None = None) -> None:
        """Write a shard of one row group; `metadata` travels in its footer."""
        with self.writer(stage, key, table.schema, metadata) as writer:
            writer.write_table(table, row_group_size=max(1, table.num_rows))

    @contextmanager
    def writer(
        self, stage: str, key: str, schema: pa.Schema, metadata: dict[str, Any] | None = None
    ) -> Iterator[pq.ParquetWriter]:
        """Yield the writer of a shard, which appears when the block ends well."""
        # Vectors and digests do not compress, and the shards are read more often than they are moved.
        plain = {"compression": "none", "use_dictionary": False, "write_statistics": False}
        with self.store.writing(self.path(stage, key)) as sink:
            parquet = pq.ParquetWriter(sink, schema, **plain)
            try:
                yield parquet
                if metadata is not None:
                    parquet.add_key_value_metadata({"note": json.dumps(metadata)})
                parquet.close()
            except BaseException:
                # Into the temporary file, which goes away: closed now, it does not try again when collected.
                with suppress(Exception):
                    parquet.close()
                raise

    def read(self, stage: str, key: str, columns: list[str] | None = None) -> pa.Table:
        """Return a shard, or some of its columns."""
        with self._opened(stage, key) as parquet:
            return parquet.read(columns=columns)

    def metadata(self, stage: str, key: str) -> dict[str, Any]:
        """Return the metadata of a shard, reading no more than the footer."""
        with self._opened(stage, key) as parquet:
            return metadata_of(parquet)

    @contextmanager
    def _opened(self, stage: str, key: str) -> Iterator[pq.ParquetFile]:
        try:
            with self.store.open(self.path(stage, key)) as file:
                yield pq.ParquetFile(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise self._damaged(self.path(stage, key), error) from None

    def _damaged(self, path: str, error: Exception) -> JobError:
        return JobError(
            f"{self.store.url(path)}: cannot be read: {first_line(error)}; delete it and run again"
        )

    def write_json(self, stage: str, key: str, value: Any) -> None:
        """Write a small shard as JSON."""
        self.store.write(self.path(stage, key, ".json"), json.dumps(value).encode())

    def read_json(self, stage: str, key: str) -> Any:
        """Return a shard written by `write_json`."""
        path = self.path(stage, key, ".json")
        try:
            return json.loads(self.store.read(path))
        except ValueError as error:
            raise self._damaged(path, error) from None


def metadata_of(parquet: pq.ParquetFile) -> dict[str, Any]:
    """Return the metadata in a shard's footer; the key in the file is ``note``."""
    return json.loads((parquet.schema_arrow.metadata or parquet.metadata.metadata)[b"note"])  # type: ignore[no-any-return]


def vectors_column(vectors: np.ndarray) -> pa.Array:
    """Return (n, d) float32 as a column of fixed-size binary: no levels, read back without a copy."""
    rows = np.ascontiguousarray(vectors, dtype="<f4")
    kind = pa.binary(rows.shape[1] * 4)
    return pa.Array.from_buffers(kind, len(rows), [None, pa.py_buffer(rows)])


def vectors_of(column: pa.ChunkedArray) -> np.ndarray:
    """Return the (n, d) float32 vectors of such a column, read-only where it is one chunk."""
    parts = []
    for chunk in column.chunks:
        width = chunk.type.byte_width // 4
        flat = np.frombuffer(chunk.buffers()[1], "<f4", count=(chunk.offset + len(chunk)) * width)
        parts.append(flat[chunk.offset * width :].reshape(len(chunk), width))
    if not parts:
        return np.zeros((0, column.type.byte_width // 4), np.float32)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
