"""k-means partitions: centroids from faiss, and an assignment that no thread count or block can change.

Distances come from float32 products; where two centroids are within their error of one another the exact
distance decides, and equal distances go to the smaller centroid number.
"""

import math

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.neighbours.flat_index import flat_index
from syllabus.selectors.numerics.compiled import compiled
from syllabus.selectors.numerics.counter_rng import key_of
from syllabus.selectors.numerics.distances import squared_norms
from syllabus.selectors.numerics.fixed_order_sums import dot, largest_difference, squared_distance_over_4
from syllabus.selectors.numerics.products import product, relative_error
from syllabus.selectors.validation import Seed, Vectors, as_rows, seed_words, whole_number

ITERATIONS = 25
"""Centroids of text embeddings hardly move after 20."""
_BLOCK = 4096
_PURPOSE = 3  # of the random keys
LONGEST = 9e18
"""The largest norm of a row: float32 has no number for the squared distance of two that are longer."""


def fit(
    vectors: Vectors, clusters: int, seed: Seed, iterations: int = ITERATIONS, device: str = "cpu"
) -> NDArray[np.float32]:
    """Return (clusters, d) float32 centroids.

    Args:
      vectors: (n, d) numbers, finite, of norms up to 9e18.
      clusters: 1 <= clusters <= n. With fewer distinct rows than clusters some centroids coincide; `assign`
        then leaves the later ones empty.
      seed: a whole number or a tuple of them, of the k-means++ start.
      iterations: rounds, at least 1.
      device: "cpu", or a GPU such as "cuda:0", used where the installed faiss has one.

    O(n clusters d) a round. Equal vectors, seed, device and threads (the caller's) give equal bits.

    Raises:
      SelectionError: if faiss is not installed, or an argument is out of its bounds.
    """
    rows = as_rows(vectors, "kmeans.fit")
    clusters = whole_number(clusters, "clusters", 1, len(rows), f"[1, n={len(rows)}]", "kmeans.fit")
    iterations = whole_number(iterations, "iterations", 1, 2**31 - 1, "[1, 2^31)", "kmeans.fit")
    key = key_of(seed_words(seed, "kmeans.fit"), _PURPOSE)
    norms = np.sqrt(squared_norms(rows))
    if norms.max() > LONGEST:
        # faiss would end the process: its float32 squared distances become infinite.
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
    settings = faiss.ClusteringParameters()
    settings.niter, settings.seed = iterations, int(key) % 2**31
    # All rows are used: faiss would draw 256 a cluster, and warn below 39.
    settings.min_points_per_centroid, settings.max_points_per_centroid = 1, len(rows)
    means = faiss.Clustering(rows.shape[1], clusters, settings)
    means.train(rows, flat_index(rows.shape[1], True, device))
    centroids = faiss.vector_float_to_array(means.centroids).reshape(clusters, rows.shape[1])
    return np.ascontiguousarray(centroids, np.float32)


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
