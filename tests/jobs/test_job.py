"""The whole job: the same bytes however it runs, what it chooses, and what a rerun reuses."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from job_sources import digests, document, sentences, table, write_embeddings, write_texts
from jobs import run
from rich.console import Console

from syllabus.manifests import Manifest, allocate, budget, validate
from syllabus.pipeline import JobError, Options, UserError, prepare
from syllabus.pipeline.outcome import Outcome
from syllabus.pipeline.stages.regroup import stage as regroup
from syllabus.pipeline.stages.regroup.stage import HELD
from syllabus.selectors import DisparityMin, GraphCut, explore, maximize

HELPERS = Path(__file__).parents[1] / "helpers"


def encoded(outcome: Outcome) -> int:
    return next(stage.counters.get("encoded", 0) for stage in outcome.stages if stage.stage == "embed")


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embeddings")
    write_embeddings(folder / "a.parquet", 9000, seed=1)
    write_embeddings(folder / "b" / "c.parquet", 1500, seed=2)
    return folder


@pytest.fixture(scope="module")
def manifest(embeddings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("manifest") / "m"
    run(embeddings, output, bucket_size=1000, subsets=3, fraction=(0.02, 0.1))
    return output


def test_a_manifest_is_valid_and_whole(manifest: Path) -> None:
    assert validate(str(manifest)).problems == []
    opened = Manifest.open(manifest)
    assert opened.n == 10_500
    assert opened.fractions == (0.02, 0.1)
    assert sorted(opened.importances) == ["disparity_min", "radius"]
    assert np.array_equal(np.sort(opened.order("herding")), np.arange(10_500))
    figures = document(manifest)["orders"]["herding"]
    assert figures["discrepancy"]["l2"] < 0.7 * figures["random"]["l2"]


def test_indices_count_all_rows_in_canonical_order(manifest: Path) -> None:
    rows = table(manifest, "examples").to_pydict()
    assert rows["index"] == list(range(10_500))
    assert rows["source_file"][8999:9001] == ["a.parquet", "b/c.parquet"]
    assert rows["source_row"][8999:9001] == [8999, 0]


def test_budgets_are_exact_whatever_the_buckets(manifest: Path) -> None:
    opened = Manifest.open(manifest)
    sizes = opened.partition_sizes
    for fraction in opened.fractions:
        k = budget(fraction, opened.n)
        for subset in range(3):
            index = opened.subset(fraction, subset)
            assert len(np.unique(index)) == k
            picked = np.bincount(opened.partitions()[index], minlength=len(sizes))
            assert np.array_equal(picked, allocate(k, sizes))


def test_a_bucket_holds_what_the_selectors_choose(tmp_path: Path) -> None:
    """One bucket a class: the pipeline's picks are those of the selectors on the class's vectors."""
    vectors = write_embeddings(tmp_path / "s" / "a.parquet", 600, seed=3)
    run(tmp_path / "s", tmp_path / "m", subsets=2, seed=7)
    rows = table(tmp_path / "m", "examples").to_pydict()
    unit = vectors / np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1))[:, None].astype(np.float64)
    for partition, label in enumerate(["0", "1", "2"]):
        index = np.flatnonzero(np.array(rows["label"]) == label)
        assert set(np.array(rows["partition"])[index]) == {partition}
        own = unit[index].astype(np.float32)
        subsets = table(tmp_path / "m", "subsets").to_pandas()
        for number in range(2):
            mine = subsets[(subsets.partition == partition) & (subsets.subset == number)].sort_values("rank")
            expected = explore(
                GraphCut(own, trade_off=0.4), len(mine), 2, seed=(7, 0, partition, 0), epsilon=0.01
            )
            assert mine["index"].tolist() == index[expected[number].indices].tolist()
            assert mine.gain.tolist() == expected[number].gains.tolist()
        radius = table(tmp_path / "m", "importances/radius").to_pandas()
        mine = radius[radius.partition == partition].sort_values("rank")
        assert (
            mine["index"].tolist()
            == index[maximize(DisparityMin(own), len(own), optimizer="naive").indices].tolist()
        )


@pytest.mark.parametrize(
    ("options", "held"),
    [({"workers": 2}, HELD), ({"workers": 4}, 10**9), ({"work_dir": "elsewhere"}, HELD)],
    ids=["two workers", "four workers, many small groups", "another work directory"],
)
def test_the_same_bytes_however_it_runs(
    embeddings: Path,
    manifest: Path,
    tmp_path: Path,
    options: dict[str, object],
    held: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(regroup, "HELD", held)
    run(embeddings, tmp_path / "m", bucket_size=1000, subsets=3, fraction=(0.02, 0.1), **options)
    assert digests(tmp_path / "m") == digests(manifest)


def test_the_same_bytes_with_texts_and_no_labels(tmp_path: Path) -> None:
    write_texts(tmp_path / "s" / "a.jsonl", 700)
    options = {"text": "text", "label": None, "clusters": 4, "preprocess": "center+pca:12", "subsets": 2}
    run(tmp_path / "s", tmp_path / "m1", **options)
    run(tmp_path / "s", tmp_path / "m2", workers=2, **options)
    assert digests(tmp_path / "m1") == digests(tmp_path / "m2")
    assert validate(str(tmp_path / "m1")).problems == []
    assert [part["label"] for part in document(tmp_path / "m1")["partitions"]] == [None] * 4
    assert abs(document(tmp_path / "m1")["encoder"]["mean_cosine"]) < 0.1


def test_what_a_rerun_reuses(tmp_path: Path) -> None:
    source, work = tmp_path / "s", str(tmp_path / "w")
    for name, seed in (("b", 1), ("d", 2)):
        write_texts(source / f"{name}.jsonl", 300, seed)

    def again(name: str, **options: object) -> Outcome:
        return run(source, tmp_path / name, text="text", id="key", work_dir=work, subsets=2, **options)

    assert encoded(again("first")) == 600
    assert encoded(again("same")) == 0
    assert digests(tmp_path / "first") == digests(tmp_path / "same")
    for name, options in (
        ("trade-off", {"trade_off": 0.3}),
        ("seed", {"seed": 5}),
        ("fraction", {"fraction": (0.2,)}),
        ("labels", {"label": None, "clusters": 3}),
        ("preprocess", {"preprocess": "center"}),
    ):
        assert encoded(again(name, **options)) == 0, name
        assert digests(tmp_path / name) != digests(tmp_path / "first"), name
    (source / "d.jsonl").rename(source / "a.jsonl")
    assert encoded(again("renamed")) == 0
    write_texts(source / "c.jsonl", 120, 3)
    assert encoded(again("added")) == 120
    assert Manifest.open(tmp_path / "added").n == 720
    rows = table(tmp_path / "added", "examples").to_pydict()
    assert rows["source_file"][299:301] == ["a.jsonl", "b.jsonl"]
    assert rows["id"][299:301] == ["2/299", "1/0"]


def test_a_selection_that_is_there_is_not_made_again(embeddings: Path, tmp_path: Path) -> None:
    options = {"subsets": 2, "work_dir": str(tmp_path / "w")}
    run(embeddings, tmp_path / "m1", **options)
    stages = {stage.stage: stage for stage in run(embeddings, tmp_path / "m2", **options).stages}
    assert stages["select"].new == 0
    stages = {
        stage.stage: stage for stage in run(embeddings, tmp_path / "m3", trade_off=0.1, **options).stages
    }
    # Three classes' subsets and the orders of two subsets; vectors, rankings and the full order are there.
    assert stages["select"].new == 3 + 2


def test_killed_in_the_middle_of_embed(tmp_path: Path) -> None:
    source = tmp_path / "s"
    for seed in range(6):
        write_texts(source / f"{seed}.jsonl", 64, seed)
    command = [
        sys.executable,
        "-m",
        "syllabus.pipeline",
        "prepare",
        "--source",
        str(source),
        "--text",
        "text",
    ]
    command += ["--label", "label", "--encoder", "toy_encoder:factory", "--subsets", "2"]
    environment = {**os.environ, "TOY_SECONDS": "0.4", "PYTHONPATH": str(HELPERS)}
    shards = tmp_path / "m.work" / "embed"
    with subprocess.Popen(
        [*command, "--output", str(tmp_path / "m")],
        env=environment,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as job:
        deadline = time.monotonic() + 120
        while len(list(shards.rglob("*.parquet"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        job.send_signal(signal.SIGKILL)
    left = len(list(shards.rglob("*.parquet")))
    assert 2 <= left < 6
    assert not (tmp_path / "m").exists()
    # In this process: another one takes seconds to start.
    options = {"text": "text", "encoder": "toy_encoder:factory", "subsets": 2}
    said = io.StringIO()
    again = Options(source=str(source), output=str(tmp_path / "m"), label="label", **options)
    prepare(again, Console(file=said, width=200))
    assert f"{64 * left} rows are there from an earlier run, {64 * (6 - left)} are new" in said.getvalue()
    run(source, tmp_path / "quiet", **options)
    assert digests(tmp_path / "m") == digests(tmp_path / "quiet")


def test_mistakes_are_found_before_any_work(embeddings: Path, manifest: Path, tmp_path: Path) -> None:
    before = digests(manifest)
    with pytest.raises(UserError, match="holds a committed manifest; give another"):
        run(embeddings, manifest)
    with pytest.raises(UserError, match=r"runner='DaskRunner' is refused: it silently loses data"):
        run(embeddings, tmp_path / "m", runner="DaskRunner")
    with pytest.raises(
        UserError,
        match=r"^memory_per_worker=1e-06: a bucket of 16 examples of 24 dimensions does not fit; give more",
    ):
        run(embeddings, tmp_path / "m", memory_per_worker=1e-6)
    with pytest.raises(UserError, match=r"label='key': has at least 8,192 values for 10,500 examples"):
        run(embeddings, tmp_path / "m", label="key")
    assert digests(manifest) == before
    assert not (tmp_path / "m").exists()


def test_overwrite_replaces_a_manifest(embeddings: Path, manifest: Path, tmp_path: Path) -> None:
    shutil.copytree(manifest, tmp_path / "m")
    run(embeddings, tmp_path / "m", subsets=1, overwrite=True)
    assert validate(str(tmp_path / "m")).problems == []
    assert Manifest.open(tmp_path / "m").subset_count(0.1) == 1


def test_every_way_of_choosing_subsets(embeddings: Path, tmp_path: Path) -> None:
    gains = {}
    for optimizer in ("stochastic", "lazier", "lazy"):
        run(
            embeddings,
            tmp_path / optimizer,
            objective="facility_location",
            optimizer=optimizer,
            subsets=1,
            fraction=(0.02,),
            bucket_size=1000,
            work_dir=str(tmp_path / "w"),
        )
        gains[optimizer] = document(tmp_path / optimizer)["subsets"][0]["normalised_gain"]["mean"]
    assert gains["lazy"] == 1.0
    assert 0.5 < gains["stochastic"] < gains["lazier"]


def test_a_table_that_is_read_another_way_is_not_reused(tmp_path: Path) -> None:
    """The same bytes, but commas part the cells of a .csv and not those of a .tsv."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "a.csv").write_text("text\n" + "".join(f"{text}, twice\n" for text in sentences(60, 9)))
    options = {
        "text": "text",
        "label": None,
        "subsets": 1,
        "max_reject_rate": 1,
        "work_dir": str(tmp_path / "w"),
    }
    with pytest.raises(JobError, match="60 of 60 rows are bad"):
        run(tmp_path / "s", tmp_path / "m", **options)
    (tmp_path / "s" / "a.csv").rename(tmp_path / "s" / "a.tsv")
    run(tmp_path / "s", tmp_path / "m", **options)
    assert Manifest.open(tmp_path / "m").n == 60
