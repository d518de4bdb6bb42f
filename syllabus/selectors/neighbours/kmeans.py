"""k-means partitions: centroids by faiss, and an assignment that no thread count or block can change.

Centroids are fitted by Lloyd's rounds as `faiss.Clustering` does; faiss looks for the nearest ones block by
block, so that several threads do it and show in no bit.

In `assign` distances come from float32 products; where two centroids are within their error of one another
the exact distance decides, and equal distances go to the smaller centroid number.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.neighbours.flat_index import by_faiss_on_gpu, flat_index
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.counter_rng import key_of
from syllabus.selectors.numerics.distances import squared_norms
from syllabus.selectors.numerics.fixed_order_sums import dot, largest_difference, squared_distance_over_4
from syllabus.selectors.numerics.products import product, relative_error
from syllabus.selectors.validation import Seed, Vectors, as_rows, seed_words, whole_number

ITERATIONS = 25
"""Centroids of text embeddings hardly move after 20."""
_BLOCK = 4096
"""Rows that are compared at once, as many as in faiss's own products: their last bits may depend on it."""
_ASIDE = 1 / 1024
"""How far two halves of a cluster are moved apart, in terms of its centroid."""
_PURPOSE = 3  # of the random keys
LONGEST = 9e18
"""The largest norm of a row: float32 has no number for the squared distance of two that are longer."""


def fit(
    vectors: Vectors,
    clusters: int,
    seed: Seed,
    iterations: int = ITERATIONS,
    device: str = "cpu",
    workers: int = 1,
) -> NDArray[np.float32]:
    """Return (clusters, d) float32 centroids.

    Args:
      vectors: (n, d) numbers, finite, of norms up to 9e18.
      clusters: 1 <= clusters <= n. With fewer distinct rows than clusters some centroids coincide; `assign`
        then leaves the later ones empty.
      seed: a whole number or a tuple of them, of the rows that are drawn to start from.
      iterations: rounds, at least 1.
      device: "cpu", or a GPU such as "cuda:0", used where the installed faiss has one.
      workers: threads that look for the nearest centroids, at least 1; they show in no bit.

    O(n clusters d) a round; memory beside the rows: 2 clusters d numbers, and 16 MB a worker. Equal vectors,
    seed, device and threads of faiss (the caller's) give equal bits.

    Raises:
      SelectionError: if faiss is not installed, or an argument is out of its bounds.
    """
    rows = as_rows(vectors, "kmeans.fit")
    clusters = whole_number(clusters, "clusters", 1, len(rows), f"[1, n={len(rows)}]", "kmeans.fit")
    iterations = whole_number(iterations, "iterations", 1, 2**31 - 1, "[1, 2^31)", "kmeans.fit")
    workers = whole_number(workers, "workers", 1, 2**31 - 1, "[1, 2^31)", "kmeans.fit")
    key = key_of(seed_words(seed, "kmeans.fit"), _PURPOSE)
    norms = np.sqrt(squared_norms(rows))
    if norms.max() > LONGEST:
        # faiss's squared distances, float32, would become infinite.
        row = int(norms.argmax())
        raise SelectionError(
            f"kmeans.fit: row {row} has norm {norms[row]:.3g}; at most {LONGEST:.3g}: divide the rows"
        )
    try:
        # In an extra of its own: its CPU and GPU builds exclude each other.
        import faiss
    except ImportError:
        raise SelectionError(
            "kmeans.fit: faiss is missing; pip install 'syllabus[cpu]' or 'syllabus[gpu]'"
        ) from None
    if clusters == len(rows):
        return rows.copy()  # nothing is left to move an empty cluster by
    library: Any = faiss  # whose stubs leave out its random numbers
    start = np.empty(len(rows), np.int32)
    library.rand_perm(library.swig_ptr(start), len(rows), int(key) % 2**31 + 1)
    centroids = rows[start[:clusters]]
    index = flat_index(rows.shape[1], True, device)
    if by_faiss_on_gpu(device):
        workers = 1  # what an index there works with may not be used by two threads at once
    # The number of threads that faiss may use is each thread's own.
    limit = (faiss.omp_get_max_threads(),)
    with ThreadPoolExecutor(workers, initializer=faiss.omp_set_num_threads, initargs=limit) as pool:
        for _ in range(iterations):
            index.reset()
            index.add(centroids)
            blocks = (rows[first : first + _BLOCK] for first in range(0, len(rows), _BLOCK))
            found = pool.map(lambda block: index.search(block, 1)[1][:, 0], blocks)
            labels = np.concatenate(list(found))
            centroids = np.zeros_like(centroids)
            sizes = np.zeros(clusters, np.float32)
            _average(rows, labels, centroids, sizes)
            _fill_empty(centroids, sizes, len(rows), library.RandomGenerator(1234))
    return centroids


@compiled
def _average(rows: np.ndarray, labels: np.ndarray, centroids: np.ndarray, sizes: np.ndarray) -> None:
    """Write the mean of the rows of each label, and their number: float32 sums in the order of the rows."""
    # Element by element: an operation on whole rows would take a second to compile.
    for i in range(rows.shape[0]):
        label = labels[i]
        sizes[label] += np.float32(1)
        for j in range(rows.shape[1]):
            centroids[label, j] += rows[i, j]
    for c in range(centroids.shape[0]):
        if sizes[c] > 0:
            scale = np.float32(1) / sizes[c]
            for j in range(centroids.shape[1]):
                centroids[c, j] *= scale


def _fill_empty(centroids: NDArray[np.float32], sizes: NDArray[np.float32], n: int, draw: Any) -> None:
    """Give each empty cluster half of another one, drawn by its size: its centroid, a little aside."""
    aside = np.where(np.arange(centroids.shape[1]) % 2 == 0, 1 + _ASIDE, 1 - _ASIDE)
    left = np.float32(n - len(centroids))
    # A list: where few rows differ, millions are looked at.
    shares = ((sizes - 1) / left).tolist()
    for empty in np.flatnonzero(sizes == 0):
        other = 0
        while draw.rand_float() >= shares[other]:
            other = (other + 1) % len(centroids)
        centroids[empty] = centroids[other] * aside
        centroids[other] = centroids[other] * (2 - aside)
        sizes[empty] = sizes[other] / 2
        sizes[other] -= sizes[empty]
        for each in (empty, other):
            shares[each] = float((sizes[each] - 1) / left)


def assign(vectors: Vectors, centroids: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the number of the closest centroid of each row, (n,) int32; ties to the smallest number.

    Args:
      vectors: (n, d) numbers, finite.
      centroids: (clusters, d) float32.
    """
    rows = as_rows(vectors, "kmeans.assign")
    centres = as_rows(centroids, "kmeans.assign")
    if rows.shape[1] != centres.shape[1]:
        raise SelectionError(
            f"kmeans.assign: vectors have {rows.shape[1]} columns, centroids {centres.shape[1]}; not equal"
        )
    labels = np.empty(len(rows), np.int32)
    for start in range(0, len(rows), _BLOCK):
        labels[start : start + _BLOCK] = assign_with_scores(rows[start : start + _BLOCK], centres)[0]
    return labels


def assign_with_scores(
    rows: NDArray[np.float32], centroids: NDArray[np.float32], device: str = "cpu"
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return what `assign` does, and the (n, clusters) float32 <x, c> - ‖c‖²/2, largest for the closest c.

    One product of all rows with all centroids: 4 n clusters bytes.

    Args:
      rows: (n, d) finite, contiguous.
      centroids: (clusters, d) finite, contiguous.
      device: of the product, which only bounds: it shows in the scores' last digits, never in the labels.
    """
    half = squared_norms(centroids) / 2
    labels = np.empty(len(rows), np.int32)
    scores = product(rows, centroids, device)
    relative = relative_error(rows.shape[1], by_torch=device != "cpu")
    _closest(scores, rows, centroids, half, math.sqrt(2 * half.max()), relative, labels)
    scores -= half.astype(np.float32)
    return labels, scores


@compiled
def _closest(
    products: np.ndarray,
    rows: np.ndarray,
    centroids: np.ndarray,
    half: np.ndarray,
    longest: float,
    relative: float,
    labels: np.ndarray,
) -> None:
    # ‖x - c‖² = ‖x‖² + ‖c‖² - 2<x, c>: the closest has the largest <x, c> - ‖c‖²/2. longest: the largest ‖c‖;
    # relative: the error of a product.
    for i in range(rows.shape[0]):
        best = largest_difference(products[i], half)
        error = relative * longest * (np.sqrt(dot(rows[i], rows[i])) + longest)
        reach = best - 2.0 * error
        least = np.inf
        for c in range(centroids.shape[0]):
            if products[i, c] - half[c] >= reach:
                value = squared_distance_over_4(rows[i], centroids[c])
                if value < least:
                    least = value
                    labels[i] = c
