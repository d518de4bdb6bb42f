"""The fingerprint of a data set: one sha256 over its accepted rows, recomputable in a stream.

The rows of one block, those whose index divided by `block_rows` is the same, have one digest; the
fingerprint is the digest of the blocks' digests. ``docs/manifest-format.md`` gives the bytes.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from syllabus.manifests.errors import ManifestError

BLOCK_ROWS = 8192
DIGEST_BYTES = 32


class Fingerprint:
    """A digest of rows given in index order, in pieces of any size, taken block by block.

    Memory: the rows of one block. Cost: one pass of sha256 over ids, labels and 57 bytes a row.

    >>> fingerprint = Fingerprint()
    >>> fingerprint.update(np.arange(2), pa.array(["a", "b"]), None, np.zeros((2, 32), np.uint8))
    >>> len(fingerprint.blocks), fingerprint.hexdigest()[:8]
    (1, '527d8907')
    """

    def __init__(self, block_rows: int = BLOCK_ROWS) -> None:
        if block_rows < 1:
            raise ManifestError(f"fingerprint: block_rows = {block_rows} is below 1")
        self.block_rows = block_rows
        self._done: list[str] = []
        self._block = -1
        self._last = -1
        self._pieces: list[_Piece] = []

    def update(
        self,
        index: npt.NDArray[np.integer[Any]],
        ids: pa.StringArray | pa.ChunkedArray,
        labels: pa.StringArray | pa.ChunkedArray | None,
        content: pa.FixedSizeBinaryArray | pa.ChunkedArray | npt.NDArray[np.uint8],
    ) -> None:
        """Add the next rows.

        Args:
          index: (rows,) integers ≥ 0, strictly ascending, above all given before.
          ids: (rows,) strings without nulls.
          labels: (rows,) strings, null where a row has no label; None where no row has one.
          content: sha256 of each row's content, (rows, 32) uint8 or fixed-size binary of 32 bytes.

        Raises:
          ManifestError: if the rows are out of order, or the columns differ in length or type.
        """
        rows = np.ascontiguousarray(index, dtype="<i8")
        digests = _digests(content)
        names = _strings(ids, "ids")
        kinds = pa.nulls(len(rows), pa.string()) if labels is None else _strings(labels, "labels")
        for name, length in (("ids", len(names)), ("labels", len(kinds)), ("content", len(digests))):
            if length != len(rows):
                raise ManifestError(f"fingerprint: {name} has {length} rows, index has {len(rows)}")
        if names.null_count:
            raise ManifestError(f"fingerprint: {names.null_count} ids are null")
        if not len(rows):
            return
        steps = np.diff(rows, prepend=self._last)
        if (steps <= 0).any():
            row = int(rows[int((steps <= 0).argmax())])
            raise ManifestError(f"fingerprint: index {row} does not come after the one before it")
        self._last = int(rows[-1])
        blocks = rows // self.block_rows
        starts = np.flatnonzero(np.diff(blocks, prepend=blocks[0] - 1))
        for start, stop in zip(starts.tolist(), [*starts.tolist()[1:], len(rows)], strict=True):
            if int(blocks[start]) != self._block:
                self._done, self._pieces = self.blocks, []
                self._block = int(blocks[start])
            length = stop - start
            self._pieces.append(
                _Piece(
                    rows[start:stop],
                    names.slice(start, length),
                    kinds.slice(start, length),
                    digests[start:stop],
                )
            )

    @property
    def blocks(self) -> list[str]:
        """The hexadecimal digests of the blocks so far, the one in hand included; empty blocks have none."""
        return self._done + ([self._digest()] if self._pieces else [])

    def hexdigest(self) -> str:
        """Return the hexadecimal fingerprint of the rows so far."""
        return combine(self.blocks)

    def as_section(self) -> dict[str, Any]:
        """Return the section ``fingerprint`` of ``manifest.json``."""
        return {"sha256": self.hexdigest(), "block_rows": self.block_rows, "blocks": self.blocks}

    def _digest(self) -> str:
        rows = sum(len(piece.index) for piece in self._pieces)
        digest = hashlib.sha256(struct.pack("<QQ", self._block, rows))
        # Column after column, so that no loop over rows is needed.
        for column in zip(*(piece.columns() for piece in self._pieces), strict=True):
            for data in column:
                digest.update(data)
        return digest.hexdigest()


def combine(blocks: Iterable[str]) -> str:
    """Return the fingerprint of a data set from the hexadecimal digests of its blocks."""
    return hashlib.sha256(b"".join(bytes.fromhex(block) for block in blocks)).hexdigest()


@dataclass(frozen=True, eq=False)
class _Piece:
    """The rows of one block that came in one update."""

    index: npt.NDArray[np.int64]
    ids: pa.StringArray
    labels: pa.StringArray
    content: npt.NDArray[np.uint8]

    def columns(self) -> Sequence[Any]:
        """The columns as buffers, in the order in which they are digested."""
        valid = self.labels.is_valid().to_numpy(zero_copy_only=False).astype(np.uint8)
        # A null slot may hide bytes in Arrow's buffers.
        labels = pc.fill_null(self.labels, "")
        return (self.index, *_lengths_and_bytes(self.ids), valid, *_lengths_and_bytes(labels), self.content)


def _lengths_and_bytes(strings: pa.StringArray) -> tuple[npt.NDArray[np.uint32], memoryview]:
    _, offsets, data = strings.buffers()
    if not len(strings):
        return np.empty(0, "<u4"), memoryview(b"")
    bounds = np.frombuffer(offsets, np.int32)[strings.offset : strings.offset + len(strings) + 1]
    content = memoryview(data)[bounds[0] : bounds[-1]] if data is not None else memoryview(b"")
    return np.diff(bounds).astype("<u4"), content


def _strings(values: Any, name: str) -> pa.StringArray:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if not isinstance(values, pa.Array) or not (
        pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    ):
        raise ManifestError(
            f"fingerprint: {name} is {getattr(values, 'type', type(values).__name__)}, not string"
        )
    return values.cast(pa.string())


def _digests(content: Any) -> npt.NDArray[np.uint8]:
    if isinstance(content, pa.ChunkedArray):
        content = content.combine_chunks()
    if isinstance(content, pa.Array):
        if content.type != pa.binary(DIGEST_BYTES) or content.null_count:
            raise ManifestError(
                f"fingerprint: content is {content.type} with {content.null_count} nulls, "
                f"not {DIGEST_BYTES} bytes a row"
            )
        flat = np.frombuffer(content.buffers()[1] or b"", np.uint8)
        first = content.offset * DIGEST_BYTES
        content = flat[first : first + len(content) * DIGEST_BYTES].reshape(-1, DIGEST_BYTES)
    array = np.asarray(content)
    if array.ndim != 2 or array.shape[1] != DIGEST_BYTES or array.dtype != np.uint8:
        raise ManifestError(
            f"fingerprint: content has shape {array.shape} and type {array.dtype}; expected (rows, 32) uint8"
        )
    return np.ascontiguousarray(array)
