"""Orders of data too large for one worker: buckets ordered apart and interleaved."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_sources import digests, document, table, write_embeddings
from rich.console import Console

from syllabus.manifests import Manifest, validate
from syllabus.pipeline import Options, prepare
from syllabus.pipeline.reporting.describe import print_description
from syllabus.pipeline.stages.order import interleaved
from syllabus.pipeline.stages.order.stage import ORDER_SHARE, parts_of
from syllabus.selectors import herding

COUNT, BUCKET = 3000, 500


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=12), capacity=st.integers(1, 100))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_parts_are_as_full_as_a_worker_may_hold(sizes, capacity) -> None:
    counts = {(number % 3, number): size for number, size in enumerate(sizes)}
    parts = parts_of(counts, capacity)
    assert parts_of(dict(reversed(counts.items())), capacity) == parts
    number = max(parts.values()) + 1
    held = [[counts[bucket] for bucket in counts if parts[bucket] == part] for part in range(number)]
    assert sum(map(len, held)) == len(sizes)
    assert all(sum(part) <= capacity or len(part) == 1 for part in held)
    # No two parts would have gone into one.
    assert all(sum(one) + sum(other) > capacity for one, other in itertools.combinations(held, 2))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    folder = tmp_path_factory.mktemp("vectors")
    vectors = write_embeddings(folder / "a.parquet", COUNT, seed=5)
    return folder, (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def run(source: Path, output: Path, **options: object) -> Manifest:
    given = {
        "embedding": "vector",
        "label": "label",
        "subsets": 2,
        "fraction": 0.3,
        "importance": (),
        "bucket_size": BUCKET,
        # 800 vectors of 24 dimensions: two of the smaller buckets, but not a subset.
        "memory_per_worker": ORDER_SHARE * 800 * 24 * 4 / 1e9,
    }
    prepare(Options(source=str(source), output=str(output), **{**given, **options}), Console(quiet=True))
    assert validate(output).problems == []
    return Manifest.open(output)


def test_a_job_above_the_memory_of_a_worker_interleaves_and_says_so(source, tmp_path, monkeypatch) -> None:
    read = interleaved.read_references
    held = []

    def watched(work, found):
        index, vectors = read(work, found)
        held.append(len(index))
        return index, vectors

    monkeypatch.setattr(interleaved, "read_references", watched)
    manifest = run(source[0], tmp_path / "m")
    about = document(tmp_path / "m")["orders"]["herding"]
    assert about["interleaved"] == len(held) > 3
    assert sum(held) == COUNT
    assert max(held) <= 800
    order = manifest.order("herding")
    true = herding.discrepancy(source[1], order)
    # Of 128 prefixes, so a little less than the whole truth.
    assert 0.6 * true.l2 <= about["discrepancy"]["l2"] <= true.l2 * (1 + 1e-6)
    assert len(about["curve"]) == 128
    assert about["curve"][-1] == pytest.approx(0, abs=1e-3)
    random = [herding.discrepancy(source[1], np.random.default_rng(s).permutation(COUNT)) for s in range(5)]
    least, greatest = (extreme(each.l2 for each in random) for extreme in (min, max))
    assert 0.7 * least <= about["random"]["l2"] <= 1.4 * greatest
    assert about["discrepancy"]["l2"] < 0.5 * about["random"]["l2"]
    shown = io.StringIO()
    print_description(Console(file=shown, width=120), manifest)
    assert f"herding ({len(held)} parts interleaved)" in shown.getvalue()


def test_subsets_are_interleaved_too_where_one_is_too_large(source, tmp_path) -> None:
    apart, together = run(source[0], tmp_path / "a"), run(source[0], tmp_path / "b", memory_per_worker=1.0)
    assert apart.description["subsets"][0]["interleaved"] is True
    assert "interleaved" not in together.description["subsets"][0]
    for number in range(2):
        chosen = apart.subset(0.3, number)
        assert sorted(chosen) == sorted(together.subset(0.3, number))
        rows = source[1][chosen]
        random = herding.discrepancy(rows, np.random.default_rng(0).permutation(len(rows)))
        assert herding.discrepancy(rows, np.arange(len(rows))).l2 < 0.6 * random.l2
    columns = [table(tmp_path / name, "subsets").sort_by([("subset", "ascending"), ("index", "ascending")])
               for name in "ab"]  # fmt: skip
    assert columns[0].drop("position").equals(columns[1].drop("position"))


def test_workers_leave_no_trace_in_an_interleaved_order(source, tmp_path) -> None:
    run(source[0], tmp_path / "a")
    run(source[0], tmp_path / "b", workers=2)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
