"""Sketches, the centred embeddings in 8 bits, read for some examples.

A sketch is what an epoch is ordered by when it is drawn: few bits cost next to nothing there (DESIGN: int8 as
good as float32). It is stored as plain bytes, one a dimension and not compressed: as a list of numbers
the same values took twelve times as long to read, and a drawn tenth of the rows lies in every page.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from syllabus.manifests.errors import ManifestError
from syllabus.manifests.reading.manifest import Manifest

BLOCK_BYTES = 4 << 20


def read_sketches(manifest: Manifest, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int8]:
    """Return the (m, D) int8 sketches of these examples, in the order given.

    Args:
      manifest: one that holds sketches.
      indices: (m,) int64; each must be an accepted example. Repetitions are allowed.

    Raises:
      ManifestError: if there are no sketches, or an index is no accepted example.

    Cost: one pass over the row groups whose statistics admit one of the indices, 4 MB at a time; memory is
    the result, 24 m bytes and two such blocks.
    """
    width = manifest.sketch_dimension
    if width is None:
        raise ManifestError(
            f"sketches/: the manifest at {manifest.location} holds none; it was prepared with sketch_dim=0"
        )
    wanted = np.asarray(indices, np.int64)
    place = np.argsort(wanted, kind="stable")
    wanted = wanted[place]
    found = np.zeros(len(wanted), np.bool_)
    parts = manifest.parts("sketches")
    parts.read(0, 0, ["sketch"])  # compares the width before room is made
    result = np.empty((len(wanted), width), np.int8)
    for rows in parts.blocks(
        parts.find("index", wanted), ["index", "sketch"], max(1, BLOCK_BYTES // (8 + width))
    ):
        index = rows.column("index").to_numpy()
        first, last = np.searchsorted(wanted, [index[0], index[-1] + 1])
        rank = np.searchsorted(index, wanted[first:last])
        found[first:last] = index[rank] == wanted[first:last]
        result[place[first:last]] = _steps(rows.column("sketch"), width)[rank]
    if not found.all():
        missing = np.unique(wanted[~found])
        raise ManifestError(f"sketches/: {missing.size} indices are no accepted examples: {missing[0]}, …")
    return result


def _steps(column: pa.ChunkedArray, width: int) -> npt.NDArray[np.int8]:
    """Return (m, width) int8 without a copy; a block is one chunk."""
    chunk = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    flat = np.frombuffer(chunk.buffers()[1], np.int8)[chunk.offset * width :]
    return flat[: len(chunk) * width].reshape(len(chunk), width)
