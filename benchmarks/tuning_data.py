"""The tasks of `tuning.py`: data, and manifests made by the real job."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import milo_data
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from syllabus.manifests import Manifest

TEST = 5_000
SIDE = 14  # images are halved


@dataclass(frozen=True)
class Task:
    """A data set of vectors.

    Attributes:
        name, noise: of the set, and the share of wrong labels.
        inputs: (rows, d) float32, for training; columns standardised.
        labels: (rows,) int64, with the noise.
        test_inputs, test_labels: clean.
        vectors: (rows, d') float32, what the manifest is made from.
    """

    name: str
    noise: float
    inputs: np.ndarray
    labels: np.ndarray
    test_inputs: np.ndarray
    test_labels: np.ndarray
    vectors: np.ndarray

    @property
    def rows(self) -> int:
        """How many there are for training."""
        return len(self.labels)

    @property
    def classes(self) -> int:
        """How many labels there are."""
        return int(self.labels.max()) + 1

    def manifest(self, cache: Path, shares: Sequence[float]) -> Manifest:
        """Prepare the manifest, once, and keep the CPU seconds that it took in a file beside it."""
        from syllabus.pipeline import Options, prepare

        place = cache / f"{self.name}-{self.noise:g}-{self.rows}"
        if not (place / "seconds").exists():
            place.mkdir(parents=True, exist_ok=True)
            vectors = pa.FixedSizeListArray.from_arrays(self.vectors.ravel(), self.vectors.shape[1])
            labels = [str(label) for label in self.labels]
            pq.write_table(pa.table({"vector": vectors, "label": labels}), place / "data.parquet")
            started = time.process_time()
            prepare(
                Options(
                    source=str(place / "data.parquet"),
                    output=str(place / "manifest"),
                    work_dir=str(place / "work"),
                    embedding="vector",
                    label="label",
                    fraction=tuple(sorted(shares)),
                    importance=("disparity_min", "facility_location"),
                    subsets=4,
                    order="none",
                )
            )
            (place / "seconds").write_text(f"{time.process_time() - started:.1f}")
        return Manifest.open(place / "manifest")

    def preparing(self, cache: Path) -> float:
        """Return the CPU seconds of the job that made the manifest."""
        return float((cache / f"{self.name}-{self.noise:g}-{self.rows}" / "seconds").read_text())


def wordnet(path: Path, rows: int, noise: float) -> Task:
    """Glosses of nouns as LSA vectors of 128 columns, and their 25 lexicographer files."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts, files = milo_data.glosses(path)
    drawn = np.random.default_rng(1).permutation(len(texts))[: rows + TEST]
    texts, labels = [texts[row] for row in drawn], np.unique(files[drawn], return_inverse=True)[1]
    words = TfidfVectorizer(sublinear_tf=True, min_df=3).fit(texts[:rows])
    latent = TruncatedSVD(128, random_state=0).fit(words.transform(texts[:rows]))
    vectors = latent.transform(words.transform(texts)).astype(np.float32)
    vectors[np.linalg.norm(vectors, axis=1) < 1e-6, 0] = 1.0
    return _task("glosses", noise, rows, vectors, labels, vectors[:rows])


def fashion(folder: Path, rows: int, noise: float) -> Task:
    """Fashion-MNIST at half its size."""
    images = [
        milo_data.idx(folder / f"{part}-images-idx3-ubyte.gz", count)
        for part, count in (("train", rows), ("t10k", TEST))
    ]
    labels = [
        milo_data.idx(folder / f"{part}-labels-idx1-ubyte.gz", count)
        for part, count in (("train", rows), ("t10k", TEST))
    ]
    pixels = np.concatenate(images).reshape(-1, SIDE, 2, SIDE, 2).mean((2, 4)).reshape(rows + TEST, -1)
    vectors = milo_data.unit(images[0].reshape(rows, -1))
    return _task("fashion", noise, rows, pixels.astype(np.float32), np.concatenate(labels), vectors)


def _task(
    name: str, noise: float, rows: int, inputs: np.ndarray, labels: np.ndarray, vectors: np.ndarray
) -> Task:
    inputs = (inputs - inputs[:rows].mean(0)) / (inputs[:rows].std(0) + 1e-3 * inputs[:rows].std())
    labels = labels.astype(np.int64)
    return Task(
        name, noise, inputs[:rows], noisy(labels[:rows], noise), inputs[rows:], labels[rows:],
        np.ascontiguousarray(vectors, np.float32),
    )  # fmt: skip


def noisy(labels: np.ndarray, share: float) -> np.ndarray:
    """Return labels of which a share is another class, drawn by seed 0."""
    rng = np.random.default_rng(0)
    wrong = rng.random(len(labels)) < share
    other = (labels + rng.integers(1, labels.max() + 1, len(labels))) % (labels.max() + 1)
    return np.where(wrong, other, labels)
