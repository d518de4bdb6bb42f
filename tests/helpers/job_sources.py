"""Small data sets on disk for the tests of the pipeline, and what is compared of a manifest."""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron".split()


def sentences(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(3, 20))) + f" {seed}-{row}" for row in range(count)]


def write_texts(path: Path, count: int, seed: int = 0) -> Path:
    """JSON lines with the columns text, label (a, b, c) and key."""
    draw = random.Random(seed + 1000)
    rows = [
        {"text": text, "label": draw.choice("aabc"), "key": f"{seed}/{row}"}
        for row, text in enumerate(sentences(count, seed))
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_embeddings(
    path: Path, count: int, seed: int = 0, dimension: int = 24, classes: int = 3
) -> np.ndarray:
    """Parquet with the columns vector, label and key, in row groups of an odd size; returns the vectors."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, classes, count)
    centres = np.random.default_rng(99).standard_normal((classes, dimension))
    vectors = (centres[labels] + draw.standard_normal((count, dimension))).astype(np.float32)
    keys = [f"{seed}/{row}" for row in range(count)]
    table = pa.table({"vector": list(vectors), "label": labels, "key": keys})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=777)
    return vectors


def write_parts(folder: Path, files: int, rows: int) -> Path:
    """As many such files of `rows` rows each, of different seeds; returns the folder."""
    for number in range(files):
        write_embeddings(folder / f"part-{number}.parquet", rows, seed=number)
    return folder


def digests(manifest: Path) -> dict[str, str]:
    """The sha256 of every file of a manifest."""
    return {
        str(path.relative_to(manifest)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(manifest.rglob("*"))
        if path.is_file()
    }


def table(manifest: Path, name: str) -> pa.Table:
    return pq.read_table(manifest / name)


def document(manifest: Path) -> dict[str, Any]:
    return json.loads((manifest / "manifest.json").read_text())


def add_weights(path: Path, weights: np.ndarray, name: str = "words") -> None:
    """Append a column to a Parquet file."""
    rows = pq.read_table(path)
    pq.write_table(rows.append_column(name, pa.array(weights)), path, row_group_size=200)


SIZES = {"weight": "words", "fraction": (0.05, 0.3), "subsets": 2, "neighbours": 0, "importance": "radius"}
"""Options of a small job whose budgets count words."""
