"""Agreement with the neighbours where labels are numbers or lists, against its definition."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from job_sources import document, table
from jobs import run

from syllabus.manifests import validate
from syllabus.selectors.neighbours import neighbours

QUICK = {"subsets": 1, "importance": (), "order": "none", "sketch_dim": 0}


@pytest.fixture
def source(tmp_path):
    """150 vectors near a curve, with their place on it, and lists of one to three classes or none."""
    draw = np.random.default_rng(2)
    place = draw.uniform(0, 1, 150)
    vectors = np.stack([np.cos(place), np.sin(place), 0.05 * draw.standard_normal(150)], axis=1)
    lists = [[name for name in "abc" if draw.random() < 0.6] for _ in range(150)]
    lists[7] = ["a", "a", "b"]
    columns = {"vector": list(vectors.astype(np.float32)), "label": place, "tags": lists}
    (tmp_path / "s").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "s" / "a.parquet", row_group_size=40)
    unit = vectors.astype(np.float32) / np.linalg.norm(vectors.astype(np.float32), axis=1)[:, None]
    return tmp_path / "s", neighbours(unit.astype(np.float32), 6)[0], place, lists


def test_numbers(source, tmp_path) -> None:
    folder, ids, place, _ = source
    run(folder, tmp_path / "m", bins=4, neighbours=6, **QUICK)
    found = np.array(table(tmp_path / "m", "examples")["neighbour_agreement"])
    distance = place - place[ids].mean(axis=1)
    assert np.allclose(found, distance / distance.std(), rtol=1e-5, atol=1e-6)
    section = document(tmp_path / "m")["neighbours"]["agreement"]
    assert (section["kind"], section["zero_share"]) == ("number", None)
    assert section["median"] == pytest.approx(np.median(np.abs(found)))
    assert validate(tmp_path / "m").problems == []


def test_lists(source, tmp_path) -> None:
    folder, ids, _, lists = source
    run(folder, tmp_path / "m", label="tags", neighbours=6, **QUICK)
    found = np.array(table(tmp_path / "m", "examples")["neighbour_agreement"])
    sets = [set(each) for each in lists]
    assert any(not each for each in sets)

    def jaccard(a: set[str], b: set[str]) -> float:
        return len(a & b) / len(a | b) if a | b else 1.0

    expected = [np.mean([jaccard(sets[row], sets[other]) for other in ids[row]]) for row in range(150)]
    assert np.allclose(found, expected, rtol=1e-6)
    section = document(tmp_path / "m")["neighbours"]["agreement"]
    assert section["kind"] == "list"
    assert section["zero_share"] == (found == 0).mean()
