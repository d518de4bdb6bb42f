"""Classes that no worker holds are selected from in parts; what that loses is measured and said."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import pytest
from job_sources import digests, document, table, write_embeddings
from jobs import run
from rich.console import Console

from syllabus.manifests import Manifest, validate
from syllabus.pipeline import Options, prepare
from syllabus.pipeline.reporting.advice import cautions
from syllabus.pipeline.reporting.describe import print_description
from syllabus.pipeline.stages.select.losses import measure, sampled
from syllabus.selectors import FacilityLocation, GraphCut, maximize, random_value

ROWS, WIDTH = 900, 12
FEW = {"fraction": (0.1, 0.3), "subsets": 2, "neighbours": 0}
SMALL = 100.5 * WIDTH * 4 / 1e9
"""GB of 100 vectors."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "a.parquet"
    write_embeddings(path, ROWS, seed=3, dimension=WIDTH)
    return path


@pytest.fixture(scope="module")
def manifest(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("manifest") / "m"
    run(source, output, **FEW, memory_per_worker=SMALL)
    return output


def test_a_class_that_no_worker_holds_is_cut_and_its_loss_is_in_the_manifest(manifest: Path) -> None:
    assert validate(str(manifest)).problems == []
    described = document(manifest)
    assert described["buckets"] == {"examples": 100, "memory_per_worker": SMALL}
    assert described["orders"]["herding"]["memory_per_worker"] == SMALL
    for entry, most in zip(described["subsets"], (0.1, 0.3), strict=True):
        found = entry["parts"]
        assert found["partitions"] == 3
        assert found["most"] >= 3
        assert 200 < found["sample"] < 400
        assert 0.5 < found["gain"]["least"] <= found["gain"]["mean"] <= 1 + 1e-9
        assert 0 <= found["decided"] <= 1
        assert entry["fraction"] == most
    text = io.StringIO()
    print_description(Console(file=text, width=200), Manifest.open(manifest))
    assert "buckets of at most 100 examples" in text.getvalue()
    assert "0.1: 3 partitions in up to" in text.getvalue()


def test_the_bytes_do_not_depend_on_workers(source: Path, manifest: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "m", **FEW, memory_per_worker=SMALL, workers=3)
    assert digests(tmp_path / "m") == digests(manifest)


def test_what_fits_says_nothing_of_parts(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "m", **FEW)
    described = document(tmp_path / "m")
    assert "buckets" not in described
    assert all("parts" not in entry for entry in described["subsets"])
    assert table(tmp_path / "m", "subsets").num_rows == 2 * (90 + 270)


def test_the_job_warns_before_and_after(source: Path, tmp_path: Path) -> None:
    text = io.StringIO()
    options = Options(
        source=str(source), output=str(tmp_path / "m"), embedding="vector", label="label",
        objective="facility_location", memory_per_worker=SMALL, **FEW,
    )  # fmt: skip
    outcome = prepare(options, Console(file=text, width=1000))
    assert "holds 100 vectors of 12 dimensions of a bucket" in text.getvalue()
    assert all(entry["parts"]["decided"] is None for entry in outcome.document["subsets"])
    least = min(entry["parts"]["gain"]["least"] for entry in outcome.document["subsets"])
    assert least < 0.9
    assert any("keeps" in line and "of greedy's gain" in line for line in cautions(outcome.document))


@pytest.fixture(scope="module")
def united(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest by facility location of three classes in three buckets each."""
    output = tmp_path_factory.mktemp("united") / "m"
    run(source, output, **FEW, objective="facility_location", bucket_size=100)
    return output


def test_facility_location_is_chosen_from_what_all_buckets_keep(united: Path, source: Path) -> None:
    assert validate(str(united)).problems == []
    described = document(united)
    subsets, examples = table(united, "subsets"), table(united, "examples").to_pydict()
    vectors = np.stack(pq.read_table(source).column("vector").to_numpy())
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    partitions = np.array(examples["partition"])
    for entry in described["subsets"]:
        assert entry["parts"]["gain"]["least"] > 0.75
        assert entry["upper_bound"] is None
        chosen = subsets.filter(pa.compute.equal(subsets.column("fraction"), entry["fraction"]))
        for subset, value in ((0, 0.0), (1, 0.0)):
            rows = chosen.filter(pa.compute.equal(chosen.column("subset"), subset)).to_pydict()
            greedy = random = 0.0
            for partition in range(3):
                own = np.flatnonzero(partitions == partition)
                f = FacilityLocation(vectors[own])
                picked = [i for i, p in zip(rows["index"], rows["partition"], strict=True) if p == partition]
                value += f.value(np.searchsorted(own, picked))
                greedy += maximize(f, len(picked)).objective
                random += random_value(f, len(picked), 20, 0)
                ranks = [r for r, p in zip(rows["rank"], rows["partition"], strict=True) if p == partition]
                assert sorted(ranks) == list(range(len(picked)))
            # Every row is served here: the gains are those of all rows.
            assert sum(rows["gain"]) == pytest.approx(value, rel=1e-6)
            assert (value - random) / (greedy - random) > 0.6
            assert entry["greedy"] == pytest.approx(greedy, rel=5e-3)


def test_the_union_does_not_depend_on_workers(united: Path, source: Path, tmp_path: Path) -> None:
    options = {**FEW, "objective": "facility_location", "bucket_size": 100}
    run(source, tmp_path / "m", **options, workers=2)
    assert digests(tmp_path / "m") == digests(united)
    again = run(source, tmp_path / "n", **options, work_dir=str(tmp_path / "m.work"))
    assert [stage.new for stage in again.stages if stage.stage == "select"] == [0]


def test_a_used_work_directory_gives_what_an_unused_one_does(
    united: Path, source: Path, tmp_path: Path
) -> None:
    options = {**FEW, "objective": "facility_location", "bucket_size": 100}
    # Of all buckets still, but with room for a few neighbours of each row alone.
    options["memory_per_worker"] = 1.3e-4
    run(source, tmp_path / "used", **options, work_dir=f"{united}.work")
    run(source, tmp_path / "unused", **options)
    assert digests(tmp_path / "used") == digests(tmp_path / "unused") != digests(united)


def rows_around(centres: int, n: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(centres, 8))[rng.integers(0, centres, n)] + 0.5 * rng.normal(size=(n, 8))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_parts_lose_nothing_of_graph_cut_and_much_of_facility_location() -> None:
    rows = rows_around(20, 1200)
    alike, redundant = (measure(f, rows, 0.02, 6, (0,)) for f in (GraphCut, FacilityLocation))
    assert alike is not None
    assert redundant is not None
    assert alike["parts"] == redundant["parts"] == 6
    assert 0.95 < alike["gain"] <= 1 + 1e-9
    assert redundant["gain"] < 0.8
    assert "decided" not in redundant
    assert alike["decided"] > 0.5


def test_what_is_too_small_is_not_measured() -> None:
    rows = rows_around(20, 1200)
    assert measure(GraphCut, rows[:127], 0.5, 6, (0,)) is None
    assert measure(GraphCut, rows, 0.001, 6, (0,)) is None
    assert measure(GraphCut, rows, 1.0, 6, (0,)) is None


def test_the_sample_is_drawn_row_by_row() -> None:
    index = np.arange(100_000)
    chosen = sampled(index, 100_000, 7)
    assert abs(int(chosen.sum()) - 4096) < 6 * 64
    assert np.array_equal(sampled(index[::-1], 100_000, 7)[::-1], chosen)
    assert sampled(index[:4000], 4000, 7).all()
