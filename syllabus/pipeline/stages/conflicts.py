"""Equal contents under other labels, counted: at most one of their labels can be right."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from syllabus.pipeline.stages.rows import digest_words


class ConflictingLabels:
    """Counts the examples whose content is also there under another label; memory: 8 bytes an example.

    Contents are told apart by their sha256. A second look at the examples is needed only if the first finds
    digests that agree in 8 bytes. There are at most `rows` of them.
    """

    def __init__(self, rows: int) -> None:
        self._seen, self._count = np.empty(rows, np.uint64), 0

    def add(self, content: pa.Array) -> None:
        """Take the digests of more contents, binary(32)."""
        stop = self._count + len(content)
        self._seen[self._count : stop] = _starts(content)
        self._count = stop

    def count(self, again: Iterable[tuple[pa.Array, pa.Array]]) -> int:
        """Return the number of such examples; `again` gives the digests and label texts of all once more.

        It is asked once: what was taken is sorted in its place.
        """
        seen = self._seen[: self._count]
        seen.sort()
        repeated = np.unique(seen[1:][seen[1:] == seen[:-1]])
        if not len(repeated):
            return 0
        held: dict[bytes, tuple[str | None, int, bool]] = {}
        for content, labels in again:
            rows = np.flatnonzero(np.isin(_starts(content), repeated))
            pairs = zip(content.take(rows).to_pylist(), labels.take(rows).to_pylist(), strict=True)
            for digest, label in pairs:
                first, examples, mixed = held.get(digest, (label, 0, False))
                held[digest] = first, examples + 1, mixed or label != first
        return sum(examples for _, examples, mixed in held.values() if mixed)


def _starts(content: pa.Array) -> np.ndarray:
    """The first 8 bytes of each digest, (n,) uint64."""
    return digest_words(content)[:, 0].copy()
