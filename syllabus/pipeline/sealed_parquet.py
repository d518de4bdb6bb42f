"""Sealed Parquet files: of what is read every byte is checked, before anything makes sense of it.

    row groups | (bytes, XXH3) of each of their blocks | sha256 of these and of the footer | count | footer

The seal lies in front of the footer, where readers of Parquet look for nothing: any of them reads the file.
Parquet's own checksums would leave out the headers of pages and the footer, and would say nothing of a page
that belongs into another file. XXH3 of 64 bits checks 10 GB a second on a core, zlib's crc32 1.4: vectors
are read again by every part of a job that compares them.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from xxhash import xxh3_64, xxh3_64_intdigest

BLOCK = 1 << 16
"""Bytes that one checksum is of, at most: a read of less reads and checks this much."""
KEPT = 1 << 20
"""Bytes of a read that are kept for the next one: the columns of a small row group share a block."""
TAIL = 1 << 16
"""Bytes that are read first, from the end; most footers are shorter."""
MOST_BYTES = 2**31 - 1
"""Of a page."""
_MAGIC = b"PAR1"
_PAIR = np.dtype([("bytes", "<u4"), ("hash", "<u8")])
_SEALED = 32 + 4


class Damage(ValueError):
    """A sealed file is not what was written; the message says what is wrong with it."""


class SealedWriter:
    """Writes row groups, each in blocks of its own, and at last what they are checked by."""

    def __init__(self, sink: Any, schema: pa.Schema) -> None:
        self._sink, self._blocks = sink, _Blocks(sink)
        # Vectors and digests do not compress, and are read more often than they are moved.
        packed = {_leaf(field): "zstd" for field in schema if not pa.types.is_fixed_size_binary(field.type)}
        plain = {"compression": packed or "none", "use_dictionary": False, "write_statistics": False}
        if not packed:
            plain["data_page_size"] = MOST_BYTES  # a row group is one page, see `fixed_size_values`
        self._parquet = pq.ParquetWriter(self._blocks, schema, **plain)

    def write(self, table: pa.Table) -> None:
        """Write a table as one row group."""
        self._parquet.write_table(table, row_group_size=max(1, table.num_rows))
        self._blocks.cut()

    def finish(self, metadata: dict[str, str]) -> None:
        """Write the seal and the footer, in which `metadata` travels."""
        self._parquet.add_key_value_metadata(metadata)
        end = self._close()
        start = len(end) - int.from_bytes(end[-8:-4], "little") - 8
        self._blocks.write(end[:start])
        self._blocks.cut()
        pairs, footer = np.array(self._blocks.pairs, _PAIR).tobytes(), end[start:]
        digest = hashlib.sha256(pairs + footer).digest()
        self._sink.write(pairs + digest + len(self._blocks.pairs).to_bytes(4, "little") + footer)

    def abandon(self) -> None:
        """End without a footer; a writer that is left open would try to write one when it is collected."""
        with suppress(Exception):
            self._close()

    def _close(self) -> bytes:
        """Close the writer of Parquet; return what it writes then, the footer last."""
        held = io.BytesIO()
        self._blocks.sink, self._blocks.counts = held, False
        self._parquet.close()
        self._blocks.sink, self._blocks.counts = self._sink, True
        return held.getvalue()


def _leaf(field: pa.Field) -> str:
    """The name that Parquet gives to a column, or to the elements of one of lists."""
    return f"{field.name}.list.element" if pa.types.is_nested(field.type) else field.name


class _Blocks:
    """A sink that cuts what passes into blocks, and takes the checksum of each."""

    closed = False

    def __init__(self, sink: Any) -> None:
        self.sink = sink
        self.counts = True
        self.pairs: list[tuple[int, int]] = []
        """Bytes and checksum of each block."""
        self._size, self._hash = 0, xxh3_64()

    def write(self, data: Any) -> int:
        """Pass the data on."""
        view = memoryview(data)
        for start in range(-self._size, len(view), BLOCK) if self.counts else ():
            piece = view[max(0, start) : start + BLOCK]
            self._hash.update(piece)
            self._size += len(piece)
            if self._size == BLOCK:
                self.cut()
        self.sink.write(data)
        return len(view)

    def cut(self) -> None:
        """End the block."""
        if self._size:
            self.pairs.append((self._size, self._hash.intdigest()))
            self._size = 0
            self._hash.reset()

    def flush(self) -> None:
        """Leave it to the sink."""

    def close(self) -> None:
        """Leave it to the sink."""


class SealedFile:
    """The verified footer of a sealed file, and its row groups, of which every block read is verified.

    For pyarrow it is a file, as far as it asks for one. `fail` makes of what is found what is raised.
    """

    closed = False

    def __init__(self, file: Any, fail: Callable[[Exception], Exception]) -> None:
        self._file, self._fail = file, fail
        self._place = 0
        self._kept: tuple[int, pa.Buffer] = (0, pa.py_buffer(b""))
        self.size = file.size()
        footer = self._footer()
        self.metadata = pq.read_metadata(pa.BufferReader(footer))

    def _footer(self) -> bytes:
        """Read the footer and the seal, whose blocks must be all that lies before them."""
        tail = self._file.read_at(min(TAIL, self.size), self.size - min(TAIL, self.size))
        if tail[-4:] != _MAGIC:
            raise Damage("it has no end" if self.size else "it is empty")
        footer = int.from_bytes(tail[-8:-4], "little") + 8
        tail = self._more(tail, footer + _SEALED)
        count = int.from_bytes(tail[-footer - 4 : -footer], "little")
        tail = self._more(tail, footer + _SEALED + count * _PAIR.itemsize)
        stop = len(tail) - footer - _SEALED
        start = stop - count * _PAIR.itemsize
        pairs, digest, end = tail[start:stop], tail[stop : stop + 32], tail[-footer:]
        if hashlib.sha256(pairs + end).digest() != digest:
            raise Damage("its footer is not the one that was written")
        blocks = np.frombuffer(pairs, _PAIR)
        self._starts = np.concatenate([[0], np.cumsum(blocks["bytes"], dtype=np.int64)])
        self._hashes = blocks["hash"].tolist()
        if self._starts[-1] != self.size - len(tail) + start:
            raise Damage("it is longer or shorter than what was written")
        return end

    def _more(self, tail: bytes, wanted: int) -> bytes:
        if wanted > self.size:
            raise Damage("its footer is not the one that was written")
        if wanted <= len(tail):
            return tail
        return bytes(self._file.read_at(wanted - len(tail), self.size - wanted)) + tail

    def read_buffer(self, size: int) -> pa.Buffer:
        """Return `size` bytes of the row groups, whose blocks are verified."""
        start, stop = self._place, self._place + size
        first, kept = self._kept
        if not first <= start <= stop <= first + len(kept):
            try:
                first, kept = self._verified(start, stop)
            except (Damage, OSError) as error:
                raise self._fail(error) from None
        if len(kept) <= KEPT:
            self._kept = first, kept
        self._place = stop
        return kept.slice(start - first, size)

    def _verified(self, start: int, stop: int) -> tuple[int, pa.Buffer]:
        """Read whole blocks from `start` to `stop`; return where they begin, and what they hold."""
        low = int(np.searchsorted(self._starts, start, "right")) - 1
        high = int(np.searchsorted(self._starts, stop, "left"))
        if high >= len(self._starts):
            raise Damage("its footer is not the one that was written")
        bounds = self._starts[low : high + 1].tolist()
        self._file.seek(bounds[0])
        found = self._file.read_buffer(bounds[-1] - bounds[0])
        view = memoryview(found)
        for expected, (first, end) in zip(self._hashes[low:high], pairwise(bounds), strict=True):
            if xxh3_64_intdigest(view[first - bounds[0] : end - bounds[0]]) != expected:
                raise Damage(f"bytes {first:,} to {end - 1:,} are not what was written")
        return bounds[0], found

    def fixed_size_values(self, group: int) -> list[pa.Buffer]:
        """Return the values of each column of a row group as they lie in the file, none of them aligned.

        Of a file that has only fixed-size binary without nulls, of at most 20,000 rows a row group: there a
        column is one page, which ends with its values.
        """
        rows = self.metadata.row_group(group)
        columns = [rows.column(number) for number in range(rows.num_columns)]
        first = columns[0].data_page_offset
        stops = [each.data_page_offset + each.total_compressed_size - first for each in columns]
        self.seek(first)
        held = self.read_buffer(stops[-1])
        sizes = [rows.num_rows * self.metadata.schema.column(number).length for number in range(len(columns))]
        return [held.slice(stop - size, size) for stop, size in zip(stops, sizes, strict=True)]

    def read_all(self) -> None:
        """Verify every block."""
        self.seek(0)
        while left := int(self._starts[-1]) - self._place:
            self.read_buffer(min(left, KEPT))

    def read(self, size: int) -> bytes:
        """As `read_buffer`."""
        return bytes(self.read_buffer(size))

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        self._place = place + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self.size}[whence]
        return self._place

    def tell(self) -> int:
        """Return the place."""
        return self._place

    def seekable(self) -> bool:
        """Whether there is random access."""
        return True

    readable = seekable

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Leave it to whoever opened the file."""
