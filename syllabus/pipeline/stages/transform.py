"""The transform of vectors to unit embeddings by centring or standardising, PCA, normalising; and k-means.

All are fitted in the submitting process on a hash sample of at most 65,536 accepted rows.
"""

import importlib.util
import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from syllabus.pipeline.errors import UserError
from syllabus.pipeline.options import Options
from syllabus.pipeline.runtime.torch_setup import pick_device
from syllabus.pipeline.stages.census import Census
from syllabus.pipeline.stages.plan import Plan
from syllabus.pipeline.stages.rows import AcceptedRows
from syllabus.pipeline.work_directory import WorkDirectory, key_of

SAMPLE = 65_536
DRAWN_ROWS = 131_072
"""Rows whose random numbers are held at once."""


@dataclass(frozen=True)
class Transform:
    """Centring, standardising and PCA of vectors; `centroids` cut the partitions where there is no label."""

    mean: np.ndarray | None = None
    """(d,) float32"""
    deviation: np.ndarray | None = None
    """(d,) float32, 1 for columns without any"""
    components: np.ndarray | None = None
    """(D, d) float32"""
    centroids: np.ndarray | None = None
    """(clusters, D) float32"""
    shares: tuple[float, ...] = ()
    """Share of the sample in each cluster."""

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Return (n, D) float32 unit rows; a row equal to the mean gets the first axis.

        Called with the rows of one chunk, so that the shape of the product is fixed by the plan.
        """
        if self.deviation is not None:
            # A column may be far beyond its mean, in deviations, and float32 then has no number for it.
            vectors = (vectors.astype(np.float64) - self.mean) / self.deviation
        elif self.mean is not None:
            vectors = vectors - self.mean
        if self.components is not None:
            vectors = vectors @ self.components.T
        norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
        with np.errstate(divide="ignore", invalid="ignore"):
            unit = (vectors / norms[:, None]).astype(np.float32)
        unit[norms == 0] = np.eye(1, vectors.shape[1], dtype=np.float32)
        return unit


def check_partitions(options: Options) -> None:
    """Refuse k-means without faiss before anything is embedded: it is an extra of its own."""
    if options.label is None and importlib.util.find_spec("faiss") is None:
        raise UserError(
            "without --label partitions are k-means clusters, and faiss is missing:"
            " pip install 'syllabus[cpu]' or 'syllabus[gpu]'"
        )


def final_dimension(options: Options, dimension: int) -> int:
    """Return the width of the embeddings, for encoder's vectors of `dimension`; refuse more components."""
    if not options.preprocess.startswith("center+pca"):
        return dimension
    wanted = int(options.preprocess.partition(":")[2])
    if wanted > dimension:
        raise UserError(f"preprocess={options.preprocess!r}: {wanted} is above the {dimension} dimensions")
    return wanted


def fit_transform(options: Options, plan: Plan, census: Census, work: WorkDirectory) -> tuple[Transform, str]:
    """Return the transform and its key; an empty one costs nothing."""
    clusters = None if options.label is not None else _clusters(options, census)
    if options.preprocess == "none" and clusters is None:
        return Transform(), "none"
    key = key_of(
        "fit",
        plan=plan.digest,
        label=options.label,
        id=options.id,
        preprocess=options.preprocess,
        clusters=clusters,
        seed=options.seed,
        threads=options.threads_per_worker,
        **({} if clusters is None else _by_gpu(options)),
    )
    if not work.has("fit", key):
        if clusters is not None:
            # Imported before the limits are set: they reach the libraries that are loaded.
            import faiss  # noqa: F401
        with threadpool_limits(options.threads_per_worker):
            sample = _sample(options, census.accepted, census.rows(plan, work))
            _write(work, key, _fit(options, sample, clusters))
    return _read(work, key), key


def _by_gpu(options: Options) -> dict[str, str]:
    """What a key holds where faiss fits k-means on a GPU: other bits than the CPU's."""
    if (device := pick_device(options.device)) == "cpu":
        return {}
    from syllabus.selectors.neighbours import by_faiss_on_gpu  # loads numba

    return {"device": "cuda"} if by_faiss_on_gpu(device) else {}


def _clusters(options: Options, census: Census) -> int:
    wanted = options.clusters or min(1000, max(2, round(math.sqrt(census.accepted / 100))))
    # The sample is drawn row by row: a little fewer than SAMPLE may come.
    most = census.accepted if census.accepted <= SAMPLE else SAMPLE - 2048
    if options.clusters is not None and wanted > most:
        raise UserError(f"clusters={wanted}: is above {most:,}, what {census.accepted:,} examples allow")
    return min(wanted, census.accepted)


def _sample(options: Options, accepted: int, rows: AcceptedRows) -> np.ndarray:
    # Each row is in or out by its own hash: about SAMPLE rows, all of them where there are fewer.
    limit = min(1.0, SAMPLE / accepted) * 2.0**64
    parts = []
    for each in rows.all():
        chosen = mix(each.index.astype(np.uint64), options.seed).astype(np.float64) < limit
        if chosen.any():
            parts.append(rows.vectors(each)[chosen])
    return np.concatenate(parts)


def mix(index: np.ndarray, seed: int) -> np.ndarray:
    """Return (n,) uint64 random numbers of (n,) uint64 `index`, a stream for each seed."""
    from syllabus.selectors.numerics.counter_rng import mix_words  # loads numba

    with np.errstate(over="ignore"):
        return mix_words(index + np.uint64(seed + 1) * np.uint64(0x9E3779B97F4A7C15))


def drawn(
    rows: int, most: int, seed: int, index: np.ndarray | None = None, greatest: bool = False
) -> np.ndarray:
    """Return which of the rows have the least random numbers, as `mix` gives them, the least first.

    Args:
      rows: n.
      most: how many are drawn of them; all where they are fewer.
      seed: of the stream.
      index: (n,) whole numbers that random numbers are made of; by default 0 … n - 1.
      greatest: those of the greatest numbers instead, the greatest first.

    Memory: a block of the rows, and twice what is drawn; a sort of all would take 24 bytes a row.
    """
    numbers, places = np.empty(0, np.uint64), np.empty(0, np.int64)
    for first in range(0, rows, DRAWN_ROWS):
        block = np.arange(first, min(first + DRAWN_ROWS, rows))
        words = mix((block if index is None else index[block]).astype(np.uint64), seed)
        numbers = np.concatenate([numbers, ~words if greatest else words])
        places = np.concatenate([places, block])
        if len(numbers) > most:
            # No two are equal: `mix` is one to one.
            kept = np.argpartition(numbers, most)[:most]
            numbers, places = numbers[kept], places[kept]
    return places[np.argsort(numbers)]


def _fit(options: Options, sample: np.ndarray, clusters: int | None) -> Transform:
    mean = deviation = components = None
    if options.preprocess != "none":
        mean = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    if options.preprocess == "standardise":
        deviation = deviations(sample, mean)
    if options.preprocess.startswith("center+pca"):
        wanted = int(options.preprocess.partition(":")[2])
        if wanted > min(sample.shape):
            raise UserError(
                f"preprocess={options.preprocess!r}: {wanted} is above {min(sample.shape)},"
                f" the smaller of rows and dimensions"
            )
        components = principal_axes(sample, mean, wanted)
    transform = Transform(mean, deviation, components)
    if clusters is None:
        return transform
    vectors = transform.apply(sample)
    # Not above: numba would keep waiting those whose options are wrong.
    from syllabus.selectors import kmeans

    centroids = kmeans.fit(vectors, clusters, seed=options.seed, device=pick_device(options.device))
    counts = np.bincount(kmeans.assign(vectors, centroids), minlength=len(centroids))
    return Transform(mean, deviation, components, centroids, tuple((counts / counts.sum()).tolist()))


def deviations(sample: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return the (d,) float32 standard deviations of (m, d) float32 rows around their (d,) mean.

    A column without any, whatever its mean's last digit, has 1: it stays as far from its mean as it is, which
    is nothing. Sums are float64, block by block.
    """
    squares = np.zeros(sample.shape[1])
    for first in range(0, len(sample), 4096):
        squares += ((sample[first : first + 4096].astype(np.float64) - mean) ** 2).sum(axis=0)
    found = np.sqrt(squares / len(sample))
    constant = (sample.max(axis=0) == sample.min(axis=0)) | (found < np.finfo(np.float32).tiny)
    return np.where(constant, 1.0, np.minimum(found, np.finfo(np.float32).max)).astype(np.float32)


def principal_axes(sample: np.ndarray, mean: np.ndarray | None, wanted: int) -> np.ndarray:
    """Return the (wanted, d) float32 leading principal axes of (m, d) float32 rows around their mean."""
    width = sample.shape[1]
    covariance = np.zeros((width, width))
    for first in range(0, len(sample), 4096):
        block = sample[first : first + 4096].astype(np.float64) - mean
        covariance += block.T @ block
    _, vectors = np.linalg.eigh(covariance)
    leading = vectors[:, ::-1][:, :wanted].T
    # An eigenvector has no sign of its own: its largest entry is positive.
    largest = np.abs(leading).argmax(axis=1)
    return np.asarray(leading * np.sign(leading[np.arange(wanted), largest])[:, None], np.float32)


_FIELDS = ("mean", "deviation", "components", "centroids")


def _write(work: WorkDirectory, key: str, transform: Transform) -> None:
    arrays = [getattr(transform, name) for name in _FIELDS]
    table = pa.table(
        {
            "name": pa.array(_FIELDS),
            "shape": pa.array(
                [None if array is None else list(array.shape) for array in arrays], pa.list_(pa.int64())
            ),
            "values": pa.array(
                [None if array is None else array.tobytes() for array in arrays], pa.large_binary()
            ),
        }
    )
    work.write("fit", key, table, {"shares": list(transform.shares)})


def _read(work: WorkDirectory, key: str) -> Transform:
    arrays = {
        row["name"]: None
        if row["shape"] is None
        else np.frombuffer(row["values"], "<f4").reshape(row["shape"])
        for row in work.read("fit", key).to_pylist()
    }
    return Transform(**arrays, shares=tuple(work.metadata("fit", key)["shares"]))
