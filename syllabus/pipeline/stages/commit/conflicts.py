"""Equal contents under other labels, counted: at most one of their labels can be right."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from syllabus.pipeline.stages.rows import digest_words


class ConflictingLabels:
    """Counts the examples whose content is also there under another label; memory: 8 bytes an example.

    Contents are told apart by their sha256. A second look at the examples is needed only if the first finds
    digests that agree in 8 bytes.
    """

    def __init__(self) -> None:
        self._seen: list[np.ndarray] = []

    def add(self, content: pa.Array) -> None:
        """Take the digests of more contents, binary(32)."""
        self._seen.append(_starts(content))

    def count(self, again: Iterable[tuple[pa.Array, pa.Array]]) -> int:
        """Return the number of such examples; `again` gives the digests and label texts of all once more."""
        seen = np.sort(np.concatenate(self._seen)) if self._seen else np.empty(0, np.uint64)
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
