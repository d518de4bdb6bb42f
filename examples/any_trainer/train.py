"""Train any model from a manifest: this one is scikit-learn's, and pyarrow is all that reads the manifest.

    python examples/any_trainer/train.py MANIFEST TRAIN.parquet TEST.parquet --text text --label library

A linear classifier over hashed words learns by `partial_fit`, in equally many steps, from
- one stored subset, again and again (what MILO's easy phase has many of),
- examples drawn by a stored importance, anew in every epoch,
- a random part of the same size, once and for all, or anew in every epoch: what the others have to beat,
and prints the test accuracy of each.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier

BATCH = 64
Epoch = Callable[[int], np.ndarray]  # the epoch's number -> the examples' indices, in the order of training


def main() -> None:
    options = arguments()
    found = read_manifest(options.manifest, options.fraction, options.importance)
    vectorizer = HashingVectorizer(n_features=1 << 16, ngram_range=(1, 2), alternate_sign=False)
    train, test = (
        pq.read_table(path, columns=[options.text, options.label]) for path in (options.train, options.test)
    )
    x, y = vectorizer.transform(train[options.text].to_pylist()), train[options.label].to_numpy()
    x_test, y_test = vectorizer.transform(test[options.text].to_pylist()), test[options.label].to_numpy()
    # `index` numbers the rows of the source, rejected ones included: with one file it is the row itself.
    if len(y) != found["source_rows"]:
        raise SystemExit(f"{options.train} has {len(y)} rows, the manifest's source {found['source_rows']}")
    print(
        f"{found['subset'].size:,} of {found['examples'].size:,} examples an epoch, {options.epochs} epochs"
    )
    for title, epoch_of in choices(found, options.seed).items():
        model = SGDClassifier(loss="log_loss", random_state=options.seed)
        for epoch in range(options.epochs):
            for rows in batches(epoch_of(epoch)):
                model.partial_fit(x[rows], y[rows], classes=np.unique(y))
        print(f"  {title:<34}{model.score(x_test, y_test):.1%}")


def read_manifest(folder: Path, fraction: float, importance: str) -> dict:
    """Return int64 indices of all examples and of one subset, and the importance's probabilities."""
    about = json.loads((folder / "manifest.json").read_text())
    if about["format_version"] != 1:
        raise SystemExit(f"{folder}: format version {about['format_version']}; this script reads 1")
    # Of a fraction, readers compare the budget: k = floor(fraction * total + 1/2), in examples or in weights.
    budget = int(fraction * about.get("weight", {}).get("total", about["counts"]["accepted"]) + 0.5)
    wanted = (ds.field("budget") == budget) & (ds.field("subset") == 0)
    subset = ds.dataset(folder / "subsets").to_table(columns=["index"], filter=wanted)["index"].to_numpy()
    if not len(subset):
        raise SystemExit(f"{folder}: no subset of fraction {fraction} (budget {budget})")
    drawn = ds.dataset(folder / "importances" / importance).to_table(columns=["index", "probability"])
    examples = ds.dataset(folder / "examples").to_table(columns=["index"])["index"].to_numpy()
    return {
        "source_rows": about["counts"]["source_rows"],
        "examples": examples,
        "subset": subset,  # rows lie in their herding order already
        "drawn": drawn["index"].to_numpy(),
        "probability": drawn["probability"].to_numpy(),
    }


def choices(found: dict, seed: int) -> dict[str, Epoch]:
    """Return, by what the table calls it, which examples an epoch trains on."""
    size = found["subset"].size

    def random(number: int) -> np.ndarray:
        return np.random.default_rng([seed, number]).permutation(found["examples"])[:size]

    def weighted(number: int) -> np.ndarray:
        # The largest log p + Gumbel noise: a draw without replacement by p, in random order.
        noise = np.random.default_rng([seed, number]).gumbel(size=found["drawn"].size)
        keys = np.log(np.maximum(found["probability"], 1e-300)) + noise
        return found["drawn"][np.argsort(-keys)[:size]]

    def shuffled(indices: np.ndarray, number: int) -> np.ndarray:
        return np.random.default_rng([seed, number]).permutation(indices)

    return {
        "one stored subset": lambda number: shuffled(found["subset"], number),
        "drawn by importance, every epoch": weighted,
        "random, the same in every epoch": lambda number: shuffled(random(0), number),
        "random, every epoch": random,
    }


def batches(indices: np.ndarray) -> Iterator[np.ndarray]:
    for first in range(0, indices.size, BATCH):
        yield indices[first : first + BATCH]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("manifest", type=Path, help="its directory")
    parser.add_argument(
        "train", type=Path, help="Parquet file: the manifest's source, with a text and a label"
    )
    parser.add_argument("test", type=Path, help="another file like it")
    parser.add_argument("--text", default="text", help="column of the text")
    parser.add_argument("--label", default="label", help="column of the class")
    parser.add_argument(
        "--fraction",
        type=float,
        default=0.1,
        help="of the data in an epoch; one that the manifest has subsets of",
    )
    parser.add_argument("--importance", default="radius", help="one that the manifest stores")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
