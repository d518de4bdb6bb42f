"""Classes that no worker holds are selected from in parts; what that loses is measured and said."""

from __future__ import annotations

import io
import itertools
import shutil
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
from syllabus.pipeline.stages.regroup.buckets import Sums, partition_sums
from syllabus.pipeline.stages.select.losses import certify, measure, sampled
from syllabus.pipeline.work_directory import WorkDirectory
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


def test_what_every_bucket_reads_of_a_file_has_no_sums_of_partitions(manifest: Path) -> None:
    work = WorkDirectory(f"{manifest}.work")
    keys = work.keys("regroup")
    assert keys == work.keys("sums")
    for key in keys:
        assert set(work.metadata("regroup", key)) == {"groups", "sums", "extremes"}
        assert [partition for partition, _ in partition_sums(work, key)] == [0, 1, 2]


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
    assert "it does not hold their similarities" in text.getvalue()
    assert all(entry["parts"]["decided"] is None for entry in outcome.document["subsets"])
    least = min(entry["parts"]["gain"]["least"] for entry in outcome.document["subsets"])
    assert least < 0.95
    assert any(
        "keeps" in line and "of the gain over all of it" in line for line in cautions(outcome.document)
    )


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


def test_a_job_that_was_killed_among_its_parts_goes_on(
    source: Path, manifest: Path, united: Path, tmp_path: Path
) -> None:
    for number, (made, options) in enumerate(
        [
            (manifest, {**FEW, "memory_per_worker": SMALL}),
            (united, {**FEW, "objective": "facility_location", "bucket_size": 100}),
        ]
    ):
        work = tmp_path / f"work-{number}"
        shutil.copytree(f"{made}.work", work)
        # What a kill leaves: some buckets are done, no partition is.
        shards = sorted(path for stage in ("parts", "subsets") for path in (work / stage).rglob("*.parquet"))
        for path in shards[::2]:
            path.unlink()
        for stage in ("order", "sums"):
            for path in (work / stage).rglob("*.parquet"):
                path.unlink()
        run(source, tmp_path / f"m-{number}", **options, work_dir=str(work))
        assert len(shards) > 6
        assert digests(tmp_path / f"m-{number}") == digests(made)


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


def isotropic(n: int, width: int, seed: int) -> np.ndarray:
    """Rows without a common direction: what graph cut resembles is chance, another in each part."""
    rows = np.random.default_rng(seed).normal(size=(n, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def kept_of_greedy(rows: np.ndarray, indices: np.ndarray) -> float:
    f = GraphCut(rows)
    random = random_value(f, len(indices), 200, 0)
    return (f.value(indices) - random) / (maximize(f, len(indices)).objective - random)


@pytest.mark.parametrize(("kind", "least"), [("isotropic", 0.8), ("around centres", 0.95)])
def test_parts_resemble_the_whole_and_what_is_stored_is_what_they_keep(
    kind: str, least: float, tmp_path: Path
) -> None:
    rows = isotropic(1200, 24, 1) if kind == "isotropic" else rows_around(20, 1200)
    source = tmp_path / "a.parquet"
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
    pq.write_table(pa.table({"vector": vectors, "label": ["one"] * len(rows)}), source)
    options = {**FEW, "subsets": 1, "optimizer": "lazy", "bucket_size": 200, "order": "none"}
    run(source, tmp_path / "m", **options)
    subsets = table(tmp_path / "m", "subsets")
    for entry in document(tmp_path / "m")["subsets"]:
        chosen = subsets.filter(pa.compute.equal(subsets.column("fraction"), entry["fraction"]))
        kept = kept_of_greedy(rows, chosen.column("index").to_numpy())
        parts = [np.arange(part, len(rows), 6) for part in range(6)]
        alone = [own[maximize(GraphCut(rows[own]), round(entry["fraction"] * 200)).indices] for own in parts]
        stored = entry["parts"]["gain"]["least"]
        # All rows are drawn: what is stored is a bound, and near.
        assert entry["parts"]["sample"] == len(rows)
        assert kept - 0.1 < stored <= kept + 0.01
        assert kept > least
        lost = 1 - kept_of_greedy(rows, np.concatenate(alone))
        assert 1 - kept < (0.5 * lost if kind == "isotropic" else lost + 0.01)


def test_a_certificate_is_below_what_any_set_may_reach() -> None:
    """By brute force: no set of as many rows is better than the certificate says."""
    for seed in range(30):
        rows = isotropic(10, 3, seed)
        trade_off = (0.0, 0.4, 1.5)[seed % 3]
        f = GraphCut(rows, trade_off)
        sets = [np.array(each) for each in itertools.combinations(range(10), 4)]
        values = np.array([f.value(each) for each in sets])
        best, random = float(values.max()), float(values.mean())
        tried = sets[seed * 7 % len(sets)]
        chosen = np.isin(np.arange(10), tried)
        found = certify(f, 10, chosen, rows[tried].sum(axis=0, dtype=np.float64), 4)
        assert found is not None
        # Where the set is worse than a random one, the bound makes less of it.
        margin, reach = f.value(tried) - random, best - random
        bound_of_best = margin / found["gain"] if found["gain"] else np.inf
        assert bound_of_best >= reach - 1e-6


def test_a_certificate_needs_something_to_tell() -> None:
    rows = isotropic(300, 4, 0)
    f, none = GraphCut(rows), np.zeros(300, np.bool_)
    assert certify(f, 3000, none, np.zeros(4), 30) is None
    assert certify(f, 300, ~none, rows.sum(axis=0, dtype=np.float64), 300) is None
    same = GraphCut(np.tile(rows[:1], (300, 1)))
    chosen = np.arange(300) < 30
    found = certify(same, 300, chosen, 30 * rows[0].astype(np.float64), 30)
    assert found is not None
    assert found["gain"] is None
    assert found["decided"] == 0


def sums_of(sums: Sums) -> dict[int, np.ndarray]:
    found = sums.table(5).to_pydict()
    totals = [np.frombuffer(each, "<i8") for each in found["sum"]]
    return dict(zip(found["partition"], totals, strict=True))


def test_sums_do_not_depend_on_how_chunks_are_grouped() -> None:
    rows = isotropic(900, 5, 2)
    partitions = np.random.default_rng(0).integers(0, 3, 900).astype(np.int32)
    together, apart = Sums((2, 1, 4)), [Sums((2, 1, 4)) for _ in range(2)]
    chunks = np.split(np.arange(900), 9)
    for number in (3, 1, 8, 0, 2, 7, 5, 4, 6):
        own = chunks[number]
        together.add(partitions[own], rows[own])
        apart[number % 2].add(partitions[own], rows[own])
    found = sums_of(together)
    assert list(found) == [0, 2]
    for partition, total in found.items():
        both = sum(sums_of(each)[partition] for each in apart)
        assert both.tolist() == total.tolist()
        own = rows[partitions == partition]
        assert total * Sums.UNIT == pytest.approx(own.sum(axis=0, dtype=np.float64), abs=1e-7)


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
