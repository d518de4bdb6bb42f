"""The tasks of `tuning.py`: data, networks, and manifests made by the real job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import milo_data
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from syllabus.manifests import Manifest

TEST = 5_000


@dataclass(frozen=True)
class Task:
    """A data set with its network.

    Attributes:
        name, noise: of the set, and the share of wrong labels.
        rows: for training.
        vectors: (rows, d) float32, what the manifest is made from.
        labels: (rows,) int64, with the noise.
        inputs: rows -> what the network takes.
        test_inputs, test_targets: clean.
        network: (width, dropout) -> a network.
    """

    name: str
    noise: float
    rows: int
    vectors: np.ndarray
    labels: np.ndarray
    inputs: Callable[[np.ndarray], torch.Tensor]
    test_inputs: torch.Tensor
    test_targets: torch.Tensor
    network: Callable[[int, float], torch.nn.Module]

    def targets(self, rows: np.ndarray) -> torch.Tensor:
        """The labels of some rows."""
        return torch.from_numpy(self.labels[rows])

    def manifest(self, cache: Path, shares: Sequence[float]) -> Manifest:
        """Prepare the manifest, once."""
        from syllabus.pipeline import Options, prepare

        place = cache / f"{self.name}-{self.noise:g}-{self.rows}"
        if not (place / "manifest" / "manifest.json").exists():
            place.mkdir(parents=True, exist_ok=True)
            columns = {
                "vector": pa.FixedSizeListArray.from_arrays(
                    self.vectors.ravel().astype(np.float32), self.vectors.shape[1]
                ),
                "label": [str(label) for label in self.labels],
            }
            pq.write_table(pa.table(columns), place / "data.parquet")
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
        return Manifest.open(place / "manifest")


class BagOfWords(torch.nn.Module):
    """Hashed words, averaged, and one hidden layer."""

    def __init__(self, features: int, classes: int, width: int, dropout: float) -> None:
        super().__init__()
        self.words = torch.nn.EmbeddingBag(features, width, mode="mean", padding_idx=0)
        self.head = torch.nn.Sequential(
            torch.nn.Dropout(dropout),
            torch.nn.Linear(width, width),
            torch.nn.ReLU(),
            torch.nn.Linear(width, classes),
        )

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """(b, words) int64, 0 where there is no word -> (b, classes)."""
        return self.head(self.words(rows))


def wordnet(path: Path, rows: int, noise: float) -> Task:
    """Glosses of nouns and their 25 lexicographer files."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer

    features, longest = 2**14, 24
    texts, files = milo_data.glosses(path)
    drawn = np.random.default_rng(1).permutation(len(texts))[: rows + TEST]
    texts, classes = [texts[row] for row in drawn], np.unique(files[drawn], return_inverse=True)[1]
    counts = TfidfVectorizer(sublinear_tf=True, min_df=3).fit_transform(texts[:rows])
    vectors = TruncatedSVD(128, random_state=0).fit_transform(counts).astype(np.float32)
    vectors[np.linalg.norm(vectors, axis=1) < 1e-6, 0] = 1.0
    hashed = HashingVectorizer(n_features=features - 1, alternate_sign=False, norm=None).transform(texts)
    words = np.zeros((len(texts), longest), np.int64)
    for row in range(len(texts)):
        found = hashed.indices[hashed.indptr[row] : hashed.indptr[row + 1]][:longest] + 1
        words[row, : len(found)] = found
    inputs = torch.from_numpy(words)
    return Task(
        "glosses",
        noise,
        rows,
        vectors,
        noisy(classes[:rows].astype(np.int64), noise),
        lambda chosen: inputs[chosen],
        inputs[rows:],
        torch.from_numpy(classes[rows:].astype(np.int64)),
        lambda width, dropout: BagOfWords(features, int(classes.max()) + 1, width, dropout),
    )


def fashion(folder: Path, rows: int, noise: float) -> Task:
    """Fashion-MNIST and a CNN of two strided layers."""
    images = milo_data.idx(folder / "train-images-idx3-ubyte.gz", rows)
    labels = milo_data.idx(folder / "train-labels-idx1-ubyte.gz", rows).astype(np.int64)
    test = milo_data.idx(folder / "t10k-images-idx3-ubyte.gz", TEST)
    targets = milo_data.idx(folder / "t10k-labels-idx1-ubyte.gz", TEST).astype(np.int64)

    def scaled(pixels: np.ndarray) -> torch.Tensor:
        return (torch.from_numpy(pixels.copy()).float()[:, None] / 255 - 0.286) / 0.353

    def network(width: int, dropout: float) -> torch.nn.Module:
        return torch.nn.Sequential(
            torch.nn.Conv2d(1, 16, 3, stride=2, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(16, 32, 3, stride=2, padding=1),
            torch.nn.ReLU(),
            torch.nn.Flatten(),
            torch.nn.Dropout(dropout),
            torch.nn.Linear(32 * 49, width),
            torch.nn.ReLU(),
            torch.nn.Linear(width, 10),
        )

    return Task(
        "fashion",
        noise,
        rows,
        milo_data.unit(images.reshape(len(images), -1)),
        noisy(labels, noise),
        lambda chosen: scaled(images[chosen]),
        scaled(test),
        torch.from_numpy(targets),
        network,
    )


def noisy(labels: np.ndarray, share: float) -> np.ndarray:
    """Return labels of which a share is another class, drawn by seed 0."""
    rng = np.random.default_rng(0)
    wrong = rng.random(len(labels)) < share
    other = (labels + rng.integers(1, labels.max() + 1, len(labels))) % (labels.max() + 1)
    return np.where(wrong, other, labels)
