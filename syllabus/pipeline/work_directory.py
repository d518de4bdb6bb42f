"""The work directory: shards under keys that say everything that determines them.

A stage's shard is found by the sha256 of the stage's name and version, its inputs and the options that
it reads. A rerun, after a crash or with other options, finds what is already there and makes the rest.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from syllabus.manifests.errors import first_line
from syllabus.manifests.storage import Store
from syllabus.pipeline.errors import JobError, ShardError
from syllabus.pipeline.sealed_parquet import Damage, SealedFile, SealedWriter

VERSIONS = {
    "embed": 2,
    "rows": 3,
    "census": 4,
    "fit": 2,
    "neighbours": 2,
    "coarse": 3,
    "cells": 4,
    "truth": 2,
    "holdout": 2,
    "cover": 1,
    "guide": 1,
    "regroup": 3,
    "subsets": 2,
    "parts": 2,
    "ranking": 1,
    "order": 2,
}
"""Raised when a stage's code would write other bytes for the same key."""
FORMAT = 3
"""Of all shards: since 2 they carry their names and what they are checked by; since 3 that is XXH3."""


def key_of(stage: str, **inputs: Any) -> str:
    """Return the key of a shard: `inputs` are JSON values, in which order does not matter but in lists."""
    document = {"stage": stage, "version": VERSIONS[stage], "format": FORMAT, **inputs}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def digest_of(values: list[str]) -> str:
    """Return one digest of many keys, in their order."""
    return hashlib.sha256("\n".join(values).encode()).hexdigest()


class WorkDirectory:
    """The shards of all stages, by stage and key: each carries its name, and is checked when it is read.

    What is no sound shard of its name is removed by whoever finds it, so that it is made again, and the
    `ShardError` says which it was.
    """

    def __init__(self, location: str) -> None:
        self.store = Store(location)

    @staticmethod
    def path(stage: str, key: str, suffix: str = ".parquet") -> str:
        """Return a shard's path below the work directory."""
        return f"{stage}/{key[:2]}/{key}{suffix}"

    def keys(self, stage: str) -> set[str]:
        """Return the keys of the shards of a stage that are there, from one listing."""
        try:
            names = [path.rpartition("/")[2] for path in self.store.files(stage)]
        except OSError as error:
            raise self._unreadable(stage, error) from None
        return {name.partition(".")[0] for name in names if not name.startswith(".")}

    def has(self, stage: str, key: str, suffix: str = ".parquet") -> bool:
        """Whether a shard is there."""
        path = self.path(stage, key, suffix)
        try:
            return self.store.is_file(path)
        except OSError as error:
            raise self._unreadable(path, error) from None

    def write(self, stage: str, key: str, table: pa.Table, metadata: dict[str, Any] | None = None) -> None:
        """Write a shard of one row group; `metadata` travels in its footer."""
        with self.writer(stage, key, table.schema, metadata) as writer:
            writer.write(table)

    @contextmanager
    def writer(
        self, stage: str, key: str, schema: pa.Schema, metadata: dict[str, Any] | None = None
    ) -> Iterator[SealedWriter]:
        """Yield the writer of a shard, which appears when the block ends well."""
        path = self.path(stage, key)
        self._make_way(path)
        with self.store.writing(path) as sink:
            parquet = SealedWriter(sink, schema)
            try:
                yield parquet
                parquet.finish({"shard": f"{stage}/{key}", "note": json.dumps(metadata)})
            except BaseException:
                parquet.abandon()
                raise

    def read(self, stage: str, key: str, columns: list[str] | None = None) -> pa.Table:
        """Return a shard, or some of its columns."""
        with self.open(stage, key) as parquet:
            return parquet.read(columns=columns)

    def pieces(self, stage: str, key: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield a shard's row groups, or some of their columns."""
        with self.open(stage, key) as parquet:
            for number in range(parquet.num_row_groups):
                yield parquet.read_row_group(number, columns=columns)

    def metadata(self, stage: str, key: str) -> dict[str, Any]:
        """Return the metadata of a shard, reading no more than the footer."""
        with self.sealed(stage, key) as sealed:
            return _note(sealed.metadata)

    def check(self, stage: str, key: str, whole: bool = False) -> None:
        """Read the footer of a shard, which says that nothing is missing, or with `whole` all of it.

        Raises:
          ShardError: it is damaged, or another's.
        """
        with self.sealed(stage, key) as sealed:
            if whole:
                sealed.read_all()

    @contextmanager
    def open(self, stage: str, key: str) -> Iterator[pq.ParquetFile]:
        """Yield a shard, for reading some of its row groups."""
        with self.sealed(stage, key) as sealed:
            yield pq.ParquetFile(sealed, metadata=sealed.metadata)

    @contextmanager
    def sealed(self, stage: str, key: str) -> Iterator[SealedFile]:
        """Yield a shard as the bytes that it is made of, checked as they are read."""
        path = self.path(stage, key)
        with self._opened(path) as file:
            try:
                sealed = SealedFile(file, lambda error: self._failed(path, error))
                _check_name(sealed.metadata.metadata.get(b"shard", b"").decode(), f"{stage}/{key}")
            except (Damage, OSError) as error:
                raise self._failed(path, error) from None
            yield sealed

    @contextmanager
    def _opened(self, path: str) -> Iterator[Any]:
        try:
            # A pipe would be waited for.
            if self.store.is_local and not self.store.is_file(path) and self.store.exists(path):
                raise Damage("it is no file")
            file = self.store.open(path)
        except (Damage, OSError) as error:
            raise self._failed(path, error) from None
        with file:
            yield file

    def reject(self, stage: str, key: str, reason: str) -> JobError:
        """Return the error of a shard that is whole, and yet cannot be of its name; it is removed."""
        return self._failed(self.path(stage, key), Damage(reason))

    def _failed(self, path: str, error: Exception) -> JobError:
        """Return the error that says why a shard is not read; one that is damaged is removed."""
        url = self.store.url(path)
        if isinstance(error, FileNotFoundError):
            return ShardError(f"{url}: is not there any more")
        if isinstance(error, OSError) and error.errno != errno.EIO:
            return self._unreadable(path, error)
        try:
            self._remove(path)
        except OSError as other:
            return JobError(f"{url}: is damaged: {error}; cannot be removed: {first_line(other)}")
        return ShardError(f"{url}: is damaged: {first_line(error)}")

    def _unreadable(self, path: str, error: OSError) -> JobError:
        return JobError(
            f"{self.store.url(path)}: cannot be read: {first_line(error)}; mend that or delete it"
        )

    def remove(self, stage: str, key: str) -> None:
        """Remove a shard; one that is not there is no error."""
        self._remove(self.path(stage, key))

    def _remove(self, path: str) -> None:
        if self.store.is_local:
            place = Path(self.store.path(path))
            # Never what a directory holds: it is none of ours.
            place.rmdir() if place.is_dir() and not place.is_symlink() else place.unlink(missing_ok=True)
        else:
            self.store.delete(path)

    def _make_way(self, path: str) -> None:
        """Remove an empty directory that has the name of a file to be written."""
        if self.store.is_local and Path(self.store.path(path)).is_dir():
            self._remove(path)

    def write_json(self, stage: str, key: str, value: Any) -> None:
        """Write a small shard as JSON."""
        path = self.path(stage, key, ".json")
        self._make_way(path)
        document = {"shard": f"{stage}/{key}", "sha256": _digest_of_note(stage, key, value), "value": value}
        self.store.write(path, json.dumps(document).encode())

    def read_json(self, stage: str, key: str) -> Any:
        """Return a shard written by `write_json`."""
        path = self.path(stage, key, ".json")
        with self._opened(path) as file:
            try:
                return _value_of(bytes(file.read()), stage, key)
            except (ValueError, OSError) as error:
                raise self._failed(path, error) from None


def _check_name(found: str, expected: str) -> None:
    if found != expected:
        raise Damage(f"it is the shard {found[:120]}" if found else "it carries no name")


def _note(metadata: pq.FileMetaData) -> dict[str, Any]:
    return json.loads(metadata.metadata[b"note"])  # type: ignore[no-any-return]


def metadata_of(parquet: pq.ParquetFile | SealedFile) -> dict[str, Any]:
    """Return the metadata in a shard's footer."""
    return _note(parquet.metadata)


def _digest_of_note(stage: str, key: str, value: Any) -> str:
    return digest_of([stage, key, json.dumps(value)])


def _value_of(content: bytes, stage: str, key: str) -> Any:
    try:
        document = json.loads(content)
        found, digest, value = (document[name] for name in ("shard", "sha256", "value"))
    except (ValueError, RecursionError, TypeError, KeyError):
        raise Damage("it is no note of this version" if content else "it is empty") from None
    _check_name(str(found), f"{stage}/{key}")
    if digest != _digest_of_note(stage, key, value):
        raise Damage("it is not what was written")
    return value


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
