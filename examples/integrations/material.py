"""What the examples beside this file share: a small real text data set, its manifest, and a tiny classifier.

The texts are the docstrings of some packages of Python's standard library, the class is the package. The
manifest is made on first use, with hashed words as the encoder: no weights, no download, some seconds.
"""

from __future__ import annotations

import ast
import functools
import re
import zlib
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from syllabus.manifests import Manifest

DATA = Path(__file__).parent / "data"
PACKAGES = "asyncio email http importlib logging multiprocessing unittest xml".split()
BUCKETS, LENGTH = 1 << 12, 32  # tokens are hashed words; of a text the first 32


def prepared() -> Manifest:
    """Return the manifest of the texts, made from them if it is not there."""
    source, output = DATA / "train.parquet", DATA / "manifest"
    if not (output / "manifest.json").exists():
        from syllabus.pipeline import prepare
        from syllabus.pipeline.options import Options

        DATA.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(texts()), source)
        columns = {"text": "text", "label": "package", "id": "id"}
        prepare(Options(source=source, output=output, encoder="hashing", fraction=[0.2], seed=0, **columns))
    return Manifest.open(output)


@functools.cache
def opened(path: str) -> Manifest:
    """Open a manifest once a process, whatever the number of runs on it."""
    return Manifest.open(path)


def texts() -> list[dict[str, str]]:
    """Return rows of (id, text, package), each text once, without importing what it documents."""
    rows: dict[str, dict[str, str]] = {}
    library = Path(ast.__file__).parent
    for package in PACKAGES:
        for path in sorted((library / package).rglob("*.py")):
            module = path.relative_to(library).with_suffix("").as_posix()
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                    text = " ".join((ast.get_docstring(node) or "").split())
                    if len(text) >= 20:
                        name = f"{module}:{node.name}:{node.lineno}"
                        rows.setdefault(text, {"id": name, "text": text, "package": package})
    return list(rows.values())


def tokenised() -> datasets.Dataset:
    """Return the texts as people have them when they train: shuffled, with other columns, tokenised."""
    datasets.disable_progress_bars()
    rows = datasets.Dataset.from_parquet(str(DATA / "train.parquet"), cache_dir=str(DATA / "cache"))
    return rows.shuffle(seed=1).map(tokens, remove_columns=["text", "package"])


def tokens(row: dict[str, str]) -> dict[str, object]:
    """Return the model's inputs for one row: hashed words, 0 where a text is shorter, and the class."""
    words = [
        1 + zlib.crc32(word.encode()) % (BUCKETS - 1) for word in re.findall(r"\w+", row["text"].lower())
    ]
    padded = (words + [0] * LENGTH)[:LENGTH]
    return {"tokens": padded, "labels": PACKAGES.index(row["package"])}


class Classifier(nn.Module):
    """The mean of word vectors, and a linear layer; takes and gives what Hugging Face's models do."""

    def __init__(self, classes: int = len(PACKAGES)) -> None:
        super().__init__()
        self.words = nn.EmbeddingBag(BUCKETS, 32, mode="mean", padding_idx=0)
        self.head = nn.Linear(32, classes)

    def forward(self, tokens: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the mean loss and the (batch, classes) scores of (batch, 32) tokens."""
        scores = self.head(self.words(tokens))
        return {"loss": nn.functional.cross_entropy(scores, labels), "logits": scores}


def columns(dataset: datasets.Dataset) -> datasets.Dataset:
    """Return the columns that a loader turns into tensors; take the ids before they are gone."""
    return dataset.select_columns(["tokens", "labels"]).with_format("torch")


@torch.no_grad()
def accuracy(model: nn.Module, dataset: datasets.Dataset) -> float:
    """Return the share of the data set that the model gets right."""
    everything = columns(dataset)[:]
    right = model(**everything)["logits"].argmax(1) == everything["labels"]
    return right.double().mean().item()
