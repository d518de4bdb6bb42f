"""Covers of near-duplicates in the job, thresholds that mean nothing, and what a trainer makes of them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from job_sources import digests, document, table
from jobs import run
from rich.console import Console
from small_manifest import write_small_manifest

from syllabus.manifests import Manifest, validate
from syllabus.pipeline.options import Options
from syllabus.pipeline.reporting.describe import print_description
from syllabus.pipeline.stages.neighbours import cover
from syllabus.selectors.neighbours import greedy_cover
from syllabus.trainer import Curriculum

COVER = ("one_per_duplicate_group",)
FEW = {"subsets": 1, "importance": (), "order": "none"}


def write(path: Path, vectors: np.ndarray, labels: list | np.ndarray) -> Path:
    pq.write_table(pa.table({"vector": list(vectors.astype(np.float32)), "label": labels}), path)
    return path


def unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float32)
    return (rows / np.linalg.norm(rows.astype(np.float64), axis=1)[:, None]).astype(np.float32)


def described(root: Path) -> str:
    console = Console(width=1000, file=io.StringIO())
    print_description(console, Manifest.open(root))
    return console.file.getvalue()


@pytest.fixture(scope="module")
def narrow(tmp_path_factory) -> Path:
    """A table of few columns: a cosine of .95 is nothing special, and joins most rows."""
    root, draw = tmp_path_factory.mktemp("narrow"), np.random.default_rng(0)
    labels = draw.integers(0, 10, 3000)
    vectors = 1.1 * draw.standard_normal((10, 8))[labels] + 0.6 * draw.standard_normal((3000, 8))
    write(root / "s.parquet", vectors[:2500], labels[:2500])
    write(root / "t.parquet", vectors[2500:], labels[2500:])
    run(root / "s.parquet", root / "m", holdout=str(root / "t.parquet"), **FEW)
    return root


@pytest.fixture(scope="module")
def chain(tmp_path_factory) -> Path:
    """A hundred frames of a slow turn, the ends opposite, beside 300 random rows."""
    root, draw = tmp_path_factory.mktemp("chain"), np.random.default_rng(0)
    angle = np.linspace(0, np.pi, 100)
    frames = np.stack([np.cos(angle), np.sin(angle)], 1) @ np.linalg.qr(draw.standard_normal((16, 2)))[0].T
    labels = ["pan"] * 100 + [f"c{row % 3}" for row in range(300)]
    write(root / "s.parquet", np.concatenate([frames, draw.standard_normal((300, 16))]), labels)
    run(root / "s.parquet", root / "m", relative_threshold=0.0, **FEW)
    return root


@pytest.fixture(scope="module")
def planted() -> tuple[np.ndarray, np.ndarray]:
    """Rows of which half are near copies, and a fifth of the labels wrong."""
    draw = np.random.default_rng(4)
    labels = draw.integers(0, 5, 1200)
    vectors = 2.5 * draw.standard_normal((5, 32))[labels] + draw.standard_normal((1200, 32))
    of = draw.integers(0, 1200, 1200)
    copies = vectors[of] + 0.1 * draw.standard_normal((1200, 32))
    labels = np.concatenate([labels, labels[of]])
    wrong = draw.random(2400) < 0.2
    labels[wrong] = draw.integers(0, 5, wrong.sum())
    order = draw.permutation(2400)
    return np.concatenate([vectors, copies])[order], labels[order]


@pytest.fixture(scope="module")
def noisy(planted, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("noisy")
    run(write(root / "s.parquet", *planted), root / "m", **FEW)
    return root


def test_auto_is_plain_fresh_where_the_threshold_is_in_the_midst(narrow: Path) -> None:
    found = document(narrow / "m")["neighbours"]["duplicates"]
    assert found["share"] > 0.4
    assert found["separation"]["against"] == ["crowded"]
    curriculum = Curriculum(narrow / "m", 0.1, 5, seed=0)
    assert (curriculum.schedule, curriculum.filters, curriculum.n) == ("fresh", (), 2500)
    assert np.array_equal(curriculum.indices(3), Curriculum(narrow / "m", 0.1, 5, "fresh", seed=0).indices(3))
    assert validate(narrow / "m").problems == []


def test_a_threshold_that_separates_nothing_is_told_in_describe_and_of_the_holdout(narrow: Path) -> None:
    said = described(narrow / "m")
    assert "warning: cosine ≥ 0.95 does not tell copies from neighbours here: " in said
    assert "of the examples have others just beyond it" in said
    first, largest = (document(narrow / "m")["neighbours"]["duplicates"]["largest"][n] for n in (0, 1))
    assert first["examples"] >= largest["examples"]
    assert (
        f"{first['examples']:,} with index {first['index']}, least cosine {first['least_cosine']:.3f}" in said
    )
    (line,) = [line for line in said.splitlines() if line.startswith("holdout: ")]
    assert line.endswith("that says nothing of copies, see the warning on near-duplicates")
    assert "%" not in line


def test_a_chain_keeps_a_frame_for_every_frame_near_it(chain: Path) -> None:
    curriculum = Curriculum(chain / "m", 0.1, 5, "fresh", seed=0, filters=COVER)
    kept = curriculum.examples[curriculum.examples < 100]
    # Eighteen degrees are a cosine of .951, and the half circle has 180: ten frames.
    assert (len(kept), curriculum.left_out) == (10, {"one_per_duplicate_group": 90})
    (largest,) = document(chain / "m")["neighbours"]["duplicates"]["largest"]
    assert (largest["index"], largest["examples"], largest["labels"]) == (0, 100, 1)
    assert largest["least_cosine"] == pytest.approx(-1, abs=1e-6)
    assert "100 with index 0, least cosine -1.000, 1 label: pan" in described(chain / "m")
    assert Curriculum(chain / "m", 0.1, 5, seed=0).n == 400


def test_a_filter_without_vectors_is_the_cover_by_brute_force(noisy: Path, planted) -> None:
    rows, labels = unit(planted[0]), planted[1]
    threshold = document(noisy / "m")["neighbours"]["duplicates"]["cover"]["threshold"]
    agreement = np.array(table(noisy / "m", "examples")["neighbour_agreement"])
    covers = greedy_cover(rows, labels, threshold, agreement == 0)
    assert (agreement == 0).mean() > 0.05
    column = np.array(table(noisy / "m", "examples")["duplicate_of"])
    assert np.array_equal(column, np.where(covers < 0, np.arange(2400), covers))
    both = Curriculum(noisy / "m", 0.1, 5, "fresh", seed=0, filters=(*COVER, "drop_suspects"))
    assert np.array_equal(both.examples, np.flatnonzero(covers == np.arange(2400)))
    # Every row that is left out has one that is kept, of its label, as near as the threshold.
    alone = Curriculum(noisy / "m", 0.1, 5, "fresh", seed=0, filters=COVER).examples
    for row in np.setdiff1d(np.arange(2400), alone):
        near = alone[(labels[alone] == labels[row])]
        assert (rows[near].astype(np.float64) @ rows[row]).max() >= threshold - 2e-6


def test_a_suspect_stands_for_nobody(tmp_path: Path) -> None:
    # Two of another label, within .95 of one another, each nearer to twenty of the first.
    vectors = np.zeros((40, 8))
    vectors[:20, 0], vectors[20:38] = 1, np.random.default_rng(0).standard_normal((18, 8))
    vectors[38:, 0], vectors[38, 1], vectors[39, 1] = 1, 0.14, -0.14
    labels = ["a"] * 20 + ["c"] * 18 + ["b"] * 2
    run(write(tmp_path / "s.parquet", vectors, labels), tmp_path / "m", relative_threshold=0.0, **FEW)
    rows = table(tmp_path / "m", "examples")
    assert rows["neighbour_agreement"].to_pylist()[38:] == [0, 0]
    assert rows["duplicate_group"].to_pylist()[38:] == [0, 0]
    assert rows["duplicate_of"].to_pylist() == [0] * 20 + list(range(20, 40))


def test_auto_leaves_out_planted_copies_and_wrong_labels(noisy: Path) -> None:
    curriculum = Curriculum(noisy / "m", 0.1, 5, seed=0)
    assert curriculum.filters == ("drop_suspects", "one_per_duplicate_group")
    assert "wrong labels" in curriculum.reason
    assert curriculum.reason.endswith(": left out)")
    # An epoch of half the rows would see what is left too often.
    assert Curriculum(noisy / "m", 0.5, 5, seed=0).filters == ("drop_suspects",)
    # Rows of a class are nearer than .95; the copies lie apart from them.
    assert "others just beyond it; copies are those of 0.98" in described(noisy / "m")


def test_the_same_bytes_whatever_the_bundles_workers_and_memory(
    noisy: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(cover, "BUNDLE_PAIRS", 50)
    monkeypatch.setattr("syllabus.pipeline.stages.neighbours.vectors.READ_ROWS", 500)
    monkeypatch.setattr("syllabus.pipeline.stages.plan.CHUNK_ROWS", 700)
    outcome = run(noisy / "s.parquet", tmp_path / "m", workers=2, memory_per_worker=0.1, **FEW)
    (made,) = [each.new for each in outcome.stages if each.stage == "cover"]
    assert made > 10
    assert digests(tmp_path / "m") == digests(noisy / "m")


def test_a_rerun_covers_nothing_again_and_other_labels_do(noisy: Path, tmp_path: Path) -> None:
    def shards(**options: object) -> tuple[int, int]:
        outcome = run(
            noisy / "s.parquet",
            tmp_path / "m",
            work_dir=str(noisy / "m.work"),
            overwrite=True,
            **{**FEW, **options},
        )
        return next((each.reused, each.new) for each in outcome.stages if each.stage == "cover")

    assert shards(seed=3) == (2, 0)
    assert shards(relative_threshold=30.0) == (1, 1)
    assert shards(label=None) == (1, 1)
    assert document(tmp_path / "m")["neighbours"]["duplicates"]["largest"][0]["labels"] is None


def test_groups_too_large_to_be_compared_stay_and_are_counted(
    noisy: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(cover, "LARGEST_ROWS", 2)
    run(noisy / "s.parquet", tmp_path / "m", **FEW)
    found = document(tmp_path / "m")["neighbours"]["duplicates"]["cover"]
    before = document(noisy / "m")["neighbours"]["duplicates"]["cover"]
    assert found["not_compared"] > 100
    assert 0 < found["left_out"] < before["left_out"]
    assert "not_compared" in found["separation"]["against"]
    assert validate(tmp_path / "m").problems == []
    assert Curriculum(tmp_path / "m", 0.1, 5, seed=0).filters == ("drop_suspects",)


def test_lists_that_are_not_equal_stand_for_nothing(tmp_path: Path) -> None:
    vectors = np.repeat(np.eye(8), 4, axis=0)
    labels = [["a", "b"], ["a"], ["a", "b"], []] * 8
    run(write(tmp_path / "s.parquet", vectors, labels), tmp_path / "m", **FEW)
    covers = np.array(table(tmp_path / "m", "examples")["duplicate_of"])
    # The empty list agrees with no other: it stands for nobody, as no suspect does.
    assert np.array_equal(covers - 4 * np.repeat(np.arange(8), 4), [0, 1, 0, 3] * 8)


def test_without_neighbours_there_is_no_column_and_no_option(noisy: Path, tmp_path: Path) -> None:
    run(noisy / "s.parquet", tmp_path / "m", neighbours=0, **FEW)
    assert "duplicate_of" not in table(tmp_path / "m", "examples").column_names
    assert "relative_threshold" not in document(tmp_path / "m")["options"]
    with pytest.raises(ValueError, match=r"relative_threshold=9.0: is of no use with neighbours=0"):
        Options(source="s", output="o", embedding="v", neighbours=0, relative_threshold=9.0)
    with pytest.raises(ValueError, match=r"0.5 is neither 0 nor at least 1"):
        Options(source="s", output="o", embedding="v", relative_threshold=0.5)


def test_a_manifest_of_an_earlier_version_is_left_alone(tmp_path: Path) -> None:
    one = write_small_manifest(tmp_path / "m", n=1500, neighbours=True)
    del one.description["neighbours"]["duplicates"]["cover"]
    old = Manifest(one.store, one.description)
    curriculum = Curriculum(old, 0.01, 5, seed=0)
    assert (curriculum.schedule, "one_per_duplicate_group" in curriculum.filters) == ("fresh", False)
    assert "a manifest of an earlier version does not show that they are copies" in curriculum.reason
