"""Texts that the encoder cut: vectors of beginnings make no copies of them, equal contents do.

Of two texts that are longer than the model reads, only the beginnings are compared. So a row that was cut is
a near-duplicate of the rows with its whole content, by their sha256, and of no others.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from syllabus.pipeline.stages.neighbours.vectors import Vectors
from syllabus.pipeline.stages.rows import digest_words


def copies_of_cut(vectors: Vectors) -> np.ndarray:
    """Return (m, 2) int64: each position that was cut, and the first one of those with its content.

    Memory: 48 bytes a row that was cut.
    """
    positions, digests = contents_of_cut(vectors)
    return np.stack([positions, positions[first_equal(digests)]], axis=1)


def contents_of_cut(vectors: Vectors) -> tuple[np.ndarray, np.ndarray]:
    """Return the (m,) positions that were cut, ascending, and their digests, (m, 2) uint64."""
    positions, digests = [np.empty(0, np.int64)], [np.empty((0, 2), np.uint64)]
    first = 0
    for rows in vectors.rows.all() if vectors.truncated else ():
        if rows.truncated is not None:
            content = rows.content.filter(pa.array(rows.truncated & rows.accepted))
            positions.append(first + np.flatnonzero(rows.truncated[rows.accepted]))
            # Half of a sha256: 128 bits tell any number of texts apart.
            digests.append(digest_words(content)[:, :2])
        first += int(rows.accepted.sum())
    return np.concatenate(positions), np.concatenate(digests)


def first_equal(digests: np.ndarray) -> np.ndarray:
    """Return the (m,) place of the first row that equals each; (m, 2) uint64."""
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    ranked = digests[order]
    # Equal ones keep their order: the first of each run is the first of all.
    starts = np.flatnonzero(np.append(True, (ranked[1:] != ranked[:-1]).any(axis=1))[: len(order)])
    firsts = np.empty(len(order), np.int64)
    firsts[order] = np.repeat(order[starts], np.diff([*starts, len(order)]))
    return firsts
