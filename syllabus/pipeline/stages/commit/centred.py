"""The centred embeddings in canonical order, chunk by chunk, as several tables of a manifest need them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest

import numpy as np

from syllabus.pipeline.stages.commit.context import CommitContext
from syllabus.pipeline.stages.regroup.buckets import Group, read_references, references


def centred_chunks(
    context: CommitContext, mean: np.ndarray, axes: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (index, centred float64 vectors, on the axes where there are any) of each chunk with rows."""
    for group, index, vectors in _groups(context):
        # Chunk by chunk: groups follow the memory given, and a product's last bits follow its shape.
        stops = np.searchsorted(index, [planned.first_index + planned.chunk.rows for planned in group.chunks])
        for first, stop in zip([0, *stops[:-1]], stops, strict=True):
            if stop > first:
                centred = vectors[first:stop] - mean
                yield index[first:stop], centred if axes is None else centred @ axes.T


def even_sample(context: CommitContext, mean: np.ndarray, most: int) -> np.ndarray:
    """Return (m, d) float32 centred embeddings of evenly spaced examples, at most `most`."""
    every = -(-context.census.accepted // most)
    parts, seen = [], 0
    for _, _, vectors in _groups(context):
        parts.append((vectors[-seen % every :: every] - mean).astype(np.float32))
        seen += len(vectors)
    return np.concatenate(parts)


def _groups(context: CommitContext) -> Iterator[tuple[Group, np.ndarray, np.ndarray]]:
    """Yield each group that has rows, their ascending indices and vectors; the next is read meanwhile."""

    def read(group: Group) -> tuple[np.ndarray, np.ndarray] | None:
        found = [reference for _, reference in references(context.work, group.key)]
        return read_references(context.work, found) if found else None

    with ThreadPoolExecutor(1) as pool:
        coming = [pool.submit(read, group) for group in context.groups[:1]]
        for group, after in zip_longest(context.groups, context.groups[1:]):
            rows = coming.pop().result()
            if after is not None:
                coming.append(pool.submit(read, after))
            if rows is not None:
                yield group, *rows
