"""The centred embeddings in canonical order, chunk by chunk, as several tables of a manifest need them."""

from collections.abc import Iterator

import numpy as np

from syllabus.pipeline.stages.commit.context import CommitContext
from syllabus.pipeline.stages.regroup.buckets import read_references, references


def centred_chunks(
    context: CommitContext, mean: np.ndarray, axes: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (index, centred float64 vectors, on the axes where there are any) of each chunk with rows."""
    for group in context.groups:
        found = [reference for _, reference in references(context.work, group.key)]
        if not found:
            continue
        index, vectors = read_references(context.work, found)
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
    for _, centred in centred_chunks(context, mean):
        parts.append(centred[-seen % every :: every].astype(np.float32))
        seen += len(centred)
    return np.concatenate(parts)
