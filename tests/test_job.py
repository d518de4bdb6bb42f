"""The whole job: the same bytes however it runs, what a rerun reuses, and what the stages leave out."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from job_sources import digests, document, sentences, table, write_embeddings, write_texts
from jobs import run
from PIL import Image

from syllabus.manifests import Manifest, allocate, budget, validate
from syllabus.pipeline import JobError, Options, UserError
from syllabus.pipeline.job import Outcome
from syllabus.selectors import DisparityMin, GraphCut, explore, maximize

HERE = Path(__file__).parent


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
    "options",
    [{"workers": 2}, {"workers": 3, "memory_per_worker": 0.002}, {"work_dir": "elsewhere"}],
    ids=["two workers", "many small groups", "another work directory"],
)
def test_the_same_bytes_however_it_runs(
    embeddings: Path,
    manifest: Path,
    tmp_path: Path,
    options: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
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
    environment = {**os.environ, "TOY_SECONDS": "0.4", "PYTHONPATH": str(HERE)}
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
    environment["TOY_SECONDS"] = "0"
    again = subprocess.run(
        [*command, "--output", str(tmp_path / "m")],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{64 * left} rows are there from an earlier run, {64 * (6 - left)} are new" in again.stderr
    subprocess.run(
        [*command, "--output", str(tmp_path / "quiet")], env=environment, capture_output=True, check=True
    )
    assert digests(tmp_path / "m") == digests(tmp_path / "quiet")


def test_bad_records_are_rejected_by_name(tmp_path: Path) -> None:
    rows = [
        json.dumps({"text": text, "label": "ab"[row % 2], "key": str(row)}).encode()
        for row, text in enumerate(sentences(500, 4))
    ]
    rows[10] = b'{"text": null, "label": "a", "key": "10"}'
    rows[11] = b'{"text": "caf\xe9", "label": "a", "key": "11"}'
    rows[12] = b'{"text": "no class", "label": null, "key": "12"}'
    rows[13] = b'{"text": "taken", "label": "b", "key": "7"}'
    rows[14] = b'{"text": "half a record'
    rows[15] = b'{"text": "", "label": "b", "key": "15"}'
    source = tmp_path / "s" / "t.jsonl"
    source.parent.mkdir()
    source.write_bytes(b"\n".join(rows))
    run(tmp_path / "s", tmp_path / "m", text="text", id="key", subsets=1, max_reject_rate=0.02)
    found = {row["source_row"]: row["reason"] for row in table(tmp_path / "m", "rejects").to_pylist()}
    assert found == {
        10: "null text",
        11: "invalid UTF-8",
        12: "missing label",
        13: "duplicate id",
        14: "unreadable record",
        15: "zero vector",
    }
    counts = document(tmp_path / "m")["counts"]
    assert counts["accepted"] + counts["rejected"] == counts["source_rows"] == 500
    assert counts["rejected"] == len(found) == sum(counts["reasons"].values())
    index = table(tmp_path / "m", "examples").column("index").to_pylist()
    assert index == [row for row in range(500) if row not in found]
    with pytest.raises(
        JobError, match=r"6 of 500 rows are bad \(1.20%; max_reject_rate is 1.00%\).*t.jsonl row 10: null"
    ):
        run(tmp_path / "s", tmp_path / "strict", text="text", id="key", subsets=1)
    assert not (tmp_path / "strict").exists()


def test_of_a_duplicate_id_the_first_accepted_row_stays(tmp_path: Path) -> None:
    """Across files and units, and where the first of them is a reject for another reason."""
    write_texts(tmp_path / "s" / "a.jsonl", 50, 1)
    lines = (tmp_path / "s" / "a.jsonl").read_text().splitlines()
    broken = json.loads(lines[3]) | {"text": None}
    (tmp_path / "s" / "a.jsonl").write_text("\n".join([*lines[:3], json.dumps(broken), *lines[4:]]))
    (tmp_path / "s" / "b.jsonl").write_text("\n".join([lines[3], lines[3], lines[5]]))
    run(tmp_path / "s", tmp_path / "m", text="text", id="key", subsets=1, max_reject_rate=1)
    rejects = [
        (row["source_file"], row["source_row"], row["reason"])
        for row in table(tmp_path / "m", "rejects").to_pylist()
    ]
    assert rejects == [
        ("a.jsonl", 3, "null text"),
        ("b.jsonl", 1, "duplicate id"),
        ("b.jsonl", 2, "duplicate id"),
    ]


def test_broken_vectors_are_rejected(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "s" / "a.parquet", 400, seed=5)
    rows = pq.read_table(tmp_path / "s" / "a.parquet").to_pydict()
    rows["vector"][3][7] = float("nan")
    rows["vector"][4] = rows["vector"][4][:10]
    rows["vector"][5] = None
    rows["vector"][6] = [0.0] * 24
    import pyarrow as pa

    pq.write_table(pa.table(rows), tmp_path / "s" / "a.parquet")
    run(tmp_path / "s", tmp_path / "m", subsets=1, max_reject_rate=0.5)
    found = {
        row["source_row"]: (row["reason"], row["detail"])
        for row in table(tmp_path / "m", "rejects").to_pylist()
    }
    assert found == {
        3: ("NaN vector", "value 7 is nan"),
        4: ("wrong width", "10 values; expected 24"),
        5: ("null vector", "column vector is null"),
        6: ("zero vector", "a vector of norm 0 has no direction"),
    }


def test_broken_images_are_rejected(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for number in range(60):
        folder = tmp_path / "s" / ("cats", "dogs")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / f"{number:02d}.png")
    whole = (tmp_path / "s" / "cats" / "08.png").read_bytes()
    (tmp_path / "s" / "cats" / "08.png").write_bytes(whole[:40])
    (tmp_path / "s" / "dogs" / "11.png").write_bytes(b"no image at all")
    options = {"embedding": None, "image": "image", "label": "folder", "encoder": "toy_encoder:pixels"}
    run(tmp_path / "s", tmp_path / "m", subsets=1, max_reject_rate=0.1, **options)
    rejects = [(row["source_file"], row["reason"]) for row in table(tmp_path / "m", "rejects").to_pylist()]
    assert rejects == [("cats/08.png", "unreadable image"), ("dogs/11.png", "unreadable image")]
    rows = table(tmp_path / "m", "examples").to_pydict()
    assert len(rows["index"]) == 58
    assert {
        (file.split("/")[0], label) for file, label in zip(rows["source_file"], rows["label"], strict=True)
    } == {
        ("cats", "cats"),
        ("dogs", "dogs"),
    }
    assert validate(str(tmp_path / "m")).problems == []


def test_mistakes_are_found_before_any_work(embeddings: Path, manifest: Path, tmp_path: Path) -> None:
    before = digests(manifest)
    with pytest.raises(UserError, match="holds a committed manifest; give another"):
        run(embeddings, manifest)
    with pytest.raises(UserError, match=r"runner='DaskRunner' is refused: it silently loses data"):
        run(embeddings, tmp_path / "m", runner="DaskRunner")
    with pytest.raises(
        UserError,
        match=r"^bucket_size=16384: 10,500 × 24 vectors take 0.001 GB in one worker; .* is 0.0001 GB",
    ):
        run(embeddings, tmp_path / "m", memory_per_worker=0.0001)
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


def test_a_unit_without_an_accepted_row(tmp_path: Path) -> None:
    for number, text in enumerate(sentences(30, 8)):
        path = tmp_path / "s" / f"{number:02d}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"text": None if number == 7 else text}) + "\n")
    run(tmp_path / "s", tmp_path / "m", text="text", label=None, subsets=1, max_reject_rate=0.1)
    assert validate(str(tmp_path / "m")).problems == []
    assert Manifest.open(tmp_path / "m").n == 29


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


def test_long_duplicate_ids_keep_to_the_format(tmp_path: Path) -> None:
    lines = [
        json.dumps({"text": text, "key": "k" * 400 if row < 2 else str(row)})
        for row, text in enumerate(sentences(40, 10))
    ]
    (tmp_path / "s.jsonl").write_text("\n".join(lines))
    run(
        tmp_path / "s.jsonl",
        tmp_path / "m",
        text="text",
        label=None,
        id="key",
        subsets=1,
        max_reject_rate=0.1,
    )
    assert validate(str(tmp_path / "m")).problems == []


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"fraction": (0.1, 0.1004)}, "fraction=0.1004: of 500 examples is 50, and so is 0.1"),
        ({"fraction": 0.0001}, "fraction=0.0001: of 500 examples is less than one"),
        ({"preprocess": "center+pca:25"}, r"preprocess='center\+pca:25': 25 is above the 24 dimensions"),
        ({"label": None, "clusters": 501}, "clusters=501: is above 500, what 500 examples allow"),
        ({"ess": 0.0001}, r"importance=radius:0.0001: partition '0': .* out of reach"),
        ({"embedding": "vektor"}, r"column 'vektor' is unknown; did you mean 'vector'\?"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, options: dict[str, object], line: str) -> None:
    write_embeddings(tmp_path / "s" / "a.parquet", 500)
    with pytest.raises(UserError, match=line):
        run(tmp_path / "s", tmp_path / "m", **{"subsets": 1, **options})
    assert not (tmp_path / "m" / "manifest.json").exists()


def test_clusters_without_faiss_are_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_embeddings(tmp_path / "s" / "a.parquet", 60)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"faiss is missing: pip install 'syllabus\[cpu\]'"):
        run(tmp_path / "s", tmp_path / "m", label=None)
    assert not (tmp_path / "m.work").exists()
    monkeypatch.setitem(sys.modules, "faiss", None)
    run(tmp_path / "s", tmp_path / "m", preprocess="center", subsets=1)  # which asks for no cluster


def test_a_file_that_changes_during_the_job_leaves_no_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written anew between plan and embed, its rows must not lie under the keys of those before."""
    from syllabus.pipeline import job

    source, planned = tmp_path / "s" / "a.parquet", job.make_plan
    write_embeddings(source, 300, seed=1)

    def and_then_changed(options: Options) -> object:
        plan = planned(options)
        write_embeddings(source, 300, seed=2)
        return plan

    monkeypatch.setattr(job, "make_plan", and_then_changed)
    with pytest.raises(UserError, match=r"a.parquet: has changed since the job began; run again"):
        run(tmp_path / "s", tmp_path / "m", subsets=1)
    assert not list((tmp_path / "m.work" / "embed").rglob("*.parquet"))
    monkeypatch.undo()
    run(tmp_path / "s", tmp_path / "m", subsets=1)
    run(tmp_path / "s", tmp_path / "fresh", subsets=1)
    assert digests(tmp_path / "m") == digests(tmp_path / "fresh")


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "s" / "a.parquet", 300)
    run(tmp_path / "s", tmp_path / "m", subsets=1)
    for stage in ("regroup", "rows"):
        shard = next((tmp_path / "m.work" / stage).rglob("*.parquet"))
        whole = shard.read_bytes()
        shard.write_bytes(whole[:50])
        shutil.rmtree(tmp_path / "m.work" / "census", ignore_errors=True)
        with pytest.raises(JobError, match=rf"{shard.name}: cannot be read: .*; delete it and run again"):
            run(tmp_path / "s", tmp_path / "m", subsets=1, overwrite=True)
        shard.write_bytes(whole)
