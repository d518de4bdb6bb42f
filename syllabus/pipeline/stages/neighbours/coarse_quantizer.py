"""The coarse quantizer of an inverted file: centroids, and how many lists a row looks into.

Inverted files (Jégou, Douze and Schmid, "Product quantization for nearest neighbor search", 2011), without
the quantisation: inside a list the search is exact.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from syllabus.pipeline.runtime.torch_setup import pick_device
from syllabus.pipeline.stages.neighbours.vectors import Block, NeighbourSearch
from syllabus.pipeline.stages.transform import drawn
from syllabus.pipeline.work_directory import WorkDirectory
from syllabus.selectors import kmeans
from syllabus.selectors.neighbours import Queries, TopK, by_faiss_on_gpu, search
from syllabus.selectors.numerics.union_find import UnionFind

SAMPLE = 65_536
QUERIES = 1024
TARGET = 0.98
"""Recall that the probes are chosen for on a sample, so that .95 holds on all rows."""
ITERATIONS = 10
"""Of k-means: lists only have to be near, and this runs before all else."""
SCORES = 2**20
"""Pairs of a row and a list that are compared at once."""


@dataclass(frozen=True)
class CoarseQuantizer:
    """The centroids of the lists, and the rows that were drawn to measure the recall."""

    centroids: np.ndarray
    """(lists, D) float32, neighbours in the data next to one another."""
    probes: int
    queries: np.ndarray
    """(m,) ascending positions of the rows that the recall is measured on."""
    query_vectors: np.ndarray
    """(m, D) float32"""

    def ranked(self, vectors: np.ndarray, device: str) -> np.ndarray:
        """Return the (n, probes) int32 nearest lists of each row, its home first."""
        nearest = np.empty((len(vectors), self.probes), np.int32)
        size = max(1, SCORES // len(self.centroids))
        for first in range(0, len(vectors), size):
            block = vectors[first : first + size]
            home, scores = kmeans.assign_with_scores(block, self.centroids, device)
            if self.probes == 1:
                nearest[first : first + size, 0] = home
                continue
            scores[np.arange(len(block)), home] = np.inf
            np.negative(scores, out=scores)
            top = np.argpartition(scores, self.probes - 1, axis=1)[:, : self.probes]
            order = np.argsort(np.take_along_axis(scores, top, axis=1), axis=1, kind="stable")
            nearest[first : first + size] = np.take_along_axis(top, order, axis=1)
        return nearest


def fit_quantizer(knn: NeighbourSearch) -> tuple[CoarseQuantizer, str]:
    """Return the lists and their key; drawn by a seed of their own, since other subsets need no others."""
    vectors, work = knn.vectors, knn.vectors.work
    device = pick_device(vectors.device)
    by_gpu = {"device": "cuda"} if by_faiss_on_gpu(device) else {}
    fewer = {"sample": _sample_rows(knn)} if is_limited(knn) else {}
    key = knn.key("coarse", threads=vectors.threads, **by_gpu, **fewer)
    if not work.has("coarse", key):
        # Imported before the limits are set: they reach the libraries that are loaded.
        import faiss  # noqa: F401

        with threadpool_limits(vectors.threads):
            _write(knn, key, _fit(knn, device))
    return read_quantizer(work, key), key


def read_quantizer(work: WorkDirectory, key: str) -> CoarseQuantizer:
    """Return the lists of a shard."""
    rows = work.read("coarse", key)
    shapes = work.metadata("coarse", key)
    arrays = [
        np.frombuffer(value, kind).reshape(-1, *shapes["width"][number : number + 1])
        for number, (value, kind) in enumerate(
            zip(rows.column("value").to_pylist(), ("<f4", "<f4", "<i8"), strict=True)
        )
    ]
    return CoarseQuantizer(arrays[0], shapes["probes"], arrays[2], arrays[1])


def _write(knn: NeighbourSearch, key: str, coarse: CoarseQuantizer) -> None:
    arrays = (coarse.centroids, coarse.query_vectors, coarse.queries)
    table = pa.table({"value": pa.array([array.tobytes() for array in arrays], pa.large_binary())})
    width = coarse.centroids.shape[1]
    knn.vectors.work.write("coarse", key, table, {"probes": coarse.probes, "width": [width, width]})


def _fit(knn: NeighbourSearch, device: str) -> CoarseQuantizer:
    lists = _list_count(knn)
    sample, queries, query_vectors = _draw(knn)
    # More than 64 rows a list hardly move its centroid.
    fitted = sample[: max(lists, min(len(sample), 64 * lists))]
    fit = kmeans.fit(fitted, lists, 0, ITERATIONS, device, knn.vectors.workers)
    centroids = _chained(fit)
    return CoarseQuantizer(centroids, _probes(knn.k, sample, centroids), queries, query_vectors)


def _draw(knn: NeighbourSearch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows that lists are fitted on, and the positions and vectors of those that measure the recall."""
    vectors = knn.vectors
    queries = np.sort(drawn(vectors.n, QUERIES, 0))
    # From the other end: the queries are the first to be left out of the fit.
    sampled = np.sort(drawn(vectors.n, _sample_rows(knn), 0, greatest=True))
    # Each row goes to its shuffled place as it is read: shuffled afterwards, all would be held twice.
    place = np.argsort(drawn(len(sampled), len(sampled), 1, sampled))
    of_sample, of_queries = (
        np.empty((len(rows), vectors.dimension), np.float32) for rows in (sampled, queries)
    )

    def draw(block: Block) -> None:
        rows = vectors.read(block)
        for chosen, places, kept in ((sampled, place, of_sample), (queries, None, of_queries)):
            inside = slice(*np.searchsorted(chosen, [block.first, block.first + block.rows]))
            kept[inside if places is None else places[inside]] = rows[chosen[inside] - block.first]

    with ThreadPoolExecutor(vectors.workers, initializer=vectors.prepare_worker) as pool:
        for _ in pool.map(draw, vectors.blocks(1)):  # chunk by chunk: a few rows of each are kept
            pass
    return of_sample, queries, of_queries


def is_limited(knn: NeighbourSearch) -> bool:
    """Whether the memory of a worker makes the sample smaller, so that lists and recall depend on it."""
    return _sample_rows(knn) < min(SAMPLE, knn.vectors.n)


def _sample_rows(knn: NeighbourSearch) -> int:
    """How many rows the lists are fitted on: what a quarter of the memory holds, at least one for each."""
    return min(knn.vectors.n, max(_list_count(knn), knn.vectors.most_rows(SAMPLE)))


def _list_count(knn: NeighbourSearch) -> int:
    return max(1, round(math.sqrt(knn.vectors.n)))


def _probes(k: int, sample: np.ndarray, centroids: np.ndarray) -> int:
    """The fewest lists that hold `TARGET` of the k nearest of 512 rows of the sample, seen from the rows.

    The sample is sparser than the data, its neighbours further apart and in more lists: what is enough here
    is enough there.
    """
    count = min(512, len(sample))
    ids = np.arange(len(sample))
    queries = Queries(sample[:count], ids[:count], TopK.empty(count, min(k, len(sample) - 1)))
    search(queries, sample, ids, np.inf, UnionFind(0))
    home = kmeans.assign(sample, centroids)
    scores = _scores(queries.rows, centroids)
    theirs = np.take_along_axis(scores, home[queries.nearest.ids], axis=1)
    before = np.array([(scores[row] > each).sum() for row in range(count) for each in theirs[row]])
    needed = int(np.sort(before)[math.ceil(TARGET * len(before)) - 1]) + 1
    return min(len(centroids), needed)


def _scores(rows: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    # ‖x − c‖² = ‖x‖² + ‖c‖² − 2⟨x, c⟩: the closest has the largest ⟨x, c⟩ − ‖c‖²/2.
    return rows @ centroids.T - np.einsum("ij,ij->i", centroids, centroids) / 2


def _chained(centroids: np.ndarray) -> np.ndarray:
    """Number the lists along a chain of neighbours: those of one worker then probe the same ones."""
    left = np.ones(len(centroids), bool)
    chain = [0]
    for _ in range(len(centroids) - 1):
        left[chain[-1]] = False
        scores = _scores(centroids[chain[-1]][None], centroids)[0]
        chain.append(int(np.argmax(np.where(left, scores, -np.inf))))
    return np.ascontiguousarray(centroids[chain])
