"""Flat indexes of faiss, which compare all rows with all queries: in main memory, or on a GPU.

Where the device is a GPU and the installed faiss has one, k-means is fitted there and lists are searched
there. faiss's float32 products only find candidates; exact cosines decide, as everywhere.
"""

import importlib.util
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.neighbours.top_k import TopK, offer_candidates

_LEAST, _MOST = 32, 2048  # candidates of a query; faiss finds no more on a GPU
_QUERIES = 8192  # at once: a GPU holds their products with a block of rows
_of_thread = threading.local()  # faiss's resources may not be used by two threads at once


def faiss_has_gpu() -> bool:
    """Return whether faiss is installed, was built for GPUs, and sees one."""
    if importlib.util.find_spec("faiss") is None:
        return False
    import faiss

    return hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0


def by_faiss_on_gpu(device: str) -> bool:
    """Return whether faiss works on `device`, a name such as "cuda:1", and that is a GPU."""
    return device.startswith("cuda") and faiss_has_gpu()


def flat_index(dimension: int, by_distance: bool, device: str) -> Any:
    """Return an empty index of rows of `dimension` float32, by L2 distance or by inner product."""
    import faiss

    index = (faiss.IndexFlatL2 if by_distance else faiss.IndexFlatIP)(dimension)
    if not by_faiss_on_gpu(device):
        return index
    if not hasattr(_of_thread, "resources"):
        _of_thread.resources = faiss.StandardGpuResources()
    return faiss.index_cpu_to_gpu(_of_thread.resources, int(device.partition(":")[2] or 0), index)


def search_flat(
    queries: NDArray[np.float32],
    query_ids: NDArray[np.int64],
    nearest: TopK,
    rows: NDArray[np.float32],
    ids: NDArray[np.int64],
    low: float,
    error: float,
    parents: NDArray[np.int64],
    device: str,
) -> NDArray[np.int64]:
    """Offer the rows of the largest products to each query; return the places of queries left untouched.

    A query is left where the candidates may not be all that matter: another row may be among its nearest, or
    within `low`, which joins groups.

    Args:
      queries: (m, d) unit rows.
      query_ids: (m,) their names.
      nearest: of the queries; written to.
      rows: (r, d) unit rows.
      ids: (r,) their names.
      low: cosine from which pairs are united in `parents`.
      error: of a product.
      parents: of a `UnionFind`.
      device: of the index.
    """
    index = flat_index(rows.shape[1], False, device)
    index.add(rows)
    count = min(len(rows), max(_LEAST, 2 * nearest.ids.shape[1]), _MOST)
    left = [np.empty(0, np.int64)]
    for start in range(0, len(queries), _QUERIES):
        at = slice(start, start + _QUERIES)
        products, places = index.search(queries[at], count)
        untouched = offer_candidates(
            products, places, queries[at], query_ids[at], rows, ids,
            TopK(nearest.ids[at], nearest.cosines[at]), error, low, parents, count == len(rows),
        )  # fmt: skip
        left.append(start + untouched)
    return np.concatenate(left)
