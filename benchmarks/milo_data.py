"""The data of `milo.py` as vectors, 30,000 rows a set: Fashion-MNIST and the glosses of WordNet's nouns.

Fashion-MNIST: the first 30,000 training images through EfficientNet-Lite0 (the encoder of
`examples/fashion_mnist/`), ten classes. WordNet: 30,000 glosses drawn by seed 0, TF-IDF reduced to 384
components (LSA), 25 classes, the lexicographer files. Vectors are kept in a folder: images take minutes.
The images' pixels as they are make a third set.
"""

import gzip
import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROWS = 30_000
ENCODER = Path(__file__).parents[1] / "examples" / "fashion_mnist" / "encoder.py"


def unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def idx(path: Path, rows: int, skip: int = 0) -> np.ndarray:
    """Return rows of a gzipped idx file of bytes, the first or those after `skip`."""
    with gzip.open(path) as file:
        head = file.read(4)
        shape = [int.from_bytes(file.read(4), "big") for _ in range(head[3])]
        size = int(np.prod(shape[1:]))
        file.seek(skip * size, 1)
        return np.frombuffer(file.read(rows * size), np.uint8).reshape(-1, *shape[1:])


def pixels(folder: Path, skip: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return (30,000, 784) unit rows of pixels and their classes."""
    images = idx(folder / "train-images-idx3-ubyte.gz", ROWS, skip)
    return unit(images.reshape(len(images), -1)), labels(folder, skip)


def labels(folder: Path, skip: int = 0) -> np.ndarray:
    return idx(folder / "train-labels-idx1-ubyte.gz", ROWS, skip).astype(np.int64)


def encoded_images(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return (30,000, 1280) features of the images; their mean cosine is .42."""
    import torch
    from PIL import Image

    module, preprocess = runpy.run_path(str(ENCODER))["factory"]()
    module.eval()
    features = []
    with torch.inference_mode():
        for block in np.array_split(idx(folder / "train-images-idx3-ubyte.gz", ROWS), ROWS // 250):
            batch = [preprocess(Image.fromarray(image).convert("RGB")) for image in block]
            features.append(module(torch.stack(batch)).numpy())
    return unit(np.concatenate(features)), labels(folder)


def glosses(path: Path) -> tuple[list[str], np.ndarray]:
    """Return the first sense of each noun's gloss and its lexicographer file, without noun.Tops (3)."""
    texts, files = [], []
    for line in path.read_text().splitlines():
        head, _, gloss = line.partition(" | ")
        if not line.startswith("  ") and head.split()[1] != "03":
            texts.append(gloss.strip().split('; "')[0])
            files.append(int(head.split()[1]))
    return texts, np.array(files)


def latent_glosses(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return (30,000, 384) LSA vectors of glosses and their classes."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts, files = glosses(path)
    counts = TfidfVectorizer(sublinear_tf=True, min_df=3).fit_transform(texts)
    rows = TruncatedSVD(384, random_state=0).fit_transform(counts).astype(np.float32)
    rows[np.linalg.norm(rows, axis=1) < 1e-6, 0] = 1.0  # glosses of rare words only
    drawn = np.random.default_rng(0).permutation(len(rows))[:ROWS]
    return unit(rows[drawn]), files[drawn]


def words(path: Path) -> tuple[object, np.ndarray, object]:
    """Return word counts of 30,000 other glosses, their classes, and counts of those of `latent_glosses`."""
    from sklearn.feature_extraction.text import HashingVectorizer

    texts, files = glosses(path)
    drawn = np.random.default_rng(0).permutation(len(texts))
    counts = HashingVectorizer(n_features=2**17)
    own, others = drawn[:ROWS], drawn[ROWS : 2 * ROWS]
    return (
        counts.transform([texts[row] for row in others]),
        files[others],
        counts.transform([texts[row] for row in own]),
    )


def kept(
    cache: Path, name: str, make: Callable[[], tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `make` returns, from the cache folder if it is there."""
    path = cache / f"{name}.npz"
    if not path.exists():
        rows, classes = make()
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, rows=rows, classes=classes)
    with np.load(path) as found:
        return found["rows"], found["classes"]
