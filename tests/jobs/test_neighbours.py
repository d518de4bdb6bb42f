"""The neighbours stage in the job: planted duplicates, suspect labels, test data, what a rerun reuses."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from job_sources import digests, document, sentences, table
from rich.console import Console

from syllabus.manifests import validate
from syllabus.pipeline import Options, UserError, prepare
from syllabus.pipeline.outcome import Outcome
from syllabus.pipeline.stages.neighbours import all_pairs as exact
from syllabus.pipeline.stages.neighbours import inverted_lists, list_rows, stage
from syllabus.pipeline.stages.plan import make_plan, plan_holdout
from syllabus.selectors.neighbours import neighbours

CLASSES = 4


def run(source: Path, output: Path, **options: object) -> Outcome:
    given = {
        "embedding": "vector",
        "label": "label",
        "subsets": 1,
        "importance": (),
        "order": "none",
        **options,
    }
    if "text" in given:
        given = {**given, "embedding": None, "encoder": "hashing"}
    kept = {name: value for name, value in given.items() if value is not None}
    return prepare(Options(source=str(source), output=str(output), **kept), Console(quiet=True))


def stages(outcome: Outcome) -> dict[str, tuple[int, int]]:
    return {each.stage: (each.reused, each.new) for each in outcome.stages}


def write(path: Path, vectors: np.ndarray, labels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"vector": list(vectors), "label": labels, "other": np.arange(len(labels)) % 3}
    pq.write_table(pa.table(columns), path, row_group_size=611)


@pytest.fixture(scope="module")
def planted() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """2,000 vectors in classes, with copies, exact and jittered; labels, 40 of them wrong; true groups."""
    draw = np.random.default_rng(3)
    labels = draw.integers(0, CLASSES, 2000)
    vectors = 3 * draw.standard_normal((CLASSES, 24))[labels] + draw.standard_normal((2000, 24))
    groups = np.arange(2000)
    sources = draw.choice(1500, 60, replace=False)
    for number, copy in enumerate(range(1600, 1900)):
        original = sources[number % 60]
        jitter = 0.05 * draw.standard_normal(24) if number >= 150 else 0
        vectors[copy], labels[copy], groups[copy] = vectors[original] + jitter, labels[original], original
    wrong = draw.choice(np.setdiff1d(np.arange(1500), sources), 40, replace=False)
    labels[wrong] = (labels[wrong] + 1) % CLASSES
    return vectors.astype(np.float32), labels, groups


@pytest.fixture(scope="module")
def made(planted, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("planted")
    vectors, labels, _ = planted
    write(root / "s" / "a.parquet", vectors[:1100], labels[:1100])
    write(root / "s" / "b.parquet", vectors[1100:], labels[1100:])
    run(root / "s", root / "m", duplicate_threshold=0.99)
    return root


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors.astype(np.float64), axis=1)[:, None]).astype(np.float32)


def pairs_of(groups: np.ndarray) -> set[tuple[int, int]]:
    order = np.argsort(groups, kind="stable")
    cuts = np.flatnonzero(np.diff(groups[order])) + 1
    return {
        (int(a), int(b))
        for part in np.split(order, cuts)
        for a in part
        for b in part
        if a < b and len(part) > 1
    }


def test_planted_duplicates_are_found(made: Path, planted) -> None:
    assert validate(made / "m").problems == []
    found = pairs_of(np.array(table(made / "m", "examples")["duplicate_group"]))
    right = pairs_of(planted[2])
    assert len(found & right) / len(right) >= 0.95
    assert len(found & right) / len(found) >= 0.95
    figures = document(made / "m")["neighbours"]["duplicates"]
    assert figures["threshold"] == 0.99
    assert abs(figures["examples"] - 360) < 18


def test_suspect_labels_agree_with_few(made: Path, planted) -> None:
    vectors, labels, _ = planted
    rows = table(made / "m", "examples")
    ids, _, groups = neighbours(unit(vectors), 10, 0.99)
    agreement = (labels[ids] == labels[:, None]).mean(axis=1).astype(np.float32)
    assert np.array_equal(rows["neighbour_agreement"], agreement)
    assert np.array_equal(rows["duplicate_group"], groups)
    shares = document(made / "m")["neighbours"]["agreement"]
    assert shares == {
        "kind": "class",
        "median": float(np.median(agreement)),
        "zero_share": float((agreement == 0).mean()),
    }
    assert shares["zero_share"] > 0.01


def test_the_same_bytes_whatever_the_blocks_and_workers(made: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(exact, "BLOCK_ROWS", 300)
    monkeypatch.setattr(exact, "PART_PAIRS", 2)
    monkeypatch.setattr(exact, "LEAST_PARTS", 1)
    outcome = run(made / "s", tmp_path / "m", duplicate_threshold=0.99, workers=2)
    assert stages(outcome)["neighbours"] == (0, 2)
    assert digests(tmp_path / "m") == digests(made / "m")


def test_a_filter_that_lets_few_rows_through_makes_few_blocks(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("syllabus.pipeline.stages.plan.CHUNK_ROWS", 50)
    monkeypatch.setattr(exact, "BLOCK_ROWS", 100)
    monkeypatch.setattr(exact, "PART_PAIRS", 1)
    draw = np.random.default_rng(1)
    vectors = draw.standard_normal((1000, 8)).astype(np.float32)
    write(tmp_path / "s.parquet", vectors, np.arange(1000) % 10)
    outcome = run(tmp_path / "s.parquet", tmp_path / "m", where=("label=3",), label="other")
    # 100 rows of 20 chunks are one block; blocks of 100 source rows would be 10, in 55 pairs.
    assert stages(outcome)["neighbours"] == (0, 1)
    _, _, groups = neighbours(unit(vectors[3::10]), 10, 0.95)
    rows = table(tmp_path / "m", "examples")
    assert np.array_equal(rows["duplicate_group"], 3 + 10 * groups)


def test_lists_find_what_the_exact_search_finds(made: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(stage, "EXACT_ROWS", 1000)
    ran = [run(made / "s", tmp_path / "m1", duplicate_threshold=0.99)]
    # Several blocks, few groups, and lists of several row groups: nothing that is found depends on them.
    for module, name, value in (
        (inverted_lists, "ROUTED_ROWS", 900),
        (inverted_lists, "GROUPS", 3),
        (list_rows, "PIECE", 40),
    ):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(inverted_lists, "PIECE", 40)
    ran.append(run(made / "s", tmp_path / "m2", duplicate_threshold=0.99, workers=2))
    assert digests(tmp_path / "m1") == digests(tmp_path / "m2")
    assert validate(tmp_path / "m1").problems == []
    assert not [*(tmp_path / "m1.work" / "cells").rglob("*.parquet")]
    figures = ran[0].document["neighbours"]
    assert (figures["method"], figures["lists"]) == ("ivf", 45)
    assert figures["probes"] < 45
    assert 0.95 <= figures["recall"] < 1
    exactly, by_lists = (table(made / "m", "examples"), table(tmp_path / "m1", "examples"))
    assert np.mean(np.array(exactly["duplicate_group"]) == np.array(by_lists["duplicate_group"])) > 0.99
    difference = np.array(exactly["neighbour_agreement"]) - np.array(by_lists["neighbour_agreement"])
    assert np.abs(difference).mean() < 0.02


@pytest.mark.parametrize("bins", [None, 3])
def test_an_example_alone_in_its_list_has_no_agreement(tmp_path: Path, monkeypatch, bins) -> None:
    monkeypatch.setattr(stage, "EXACT_ROWS", 1000)
    draw = np.random.default_rng(0)
    vectors = draw.standard_normal((120, 64))[draw.integers(0, 120, 3000)]
    vectors += 0.05 * draw.standard_normal(vectors.shape)
    vectors[:45] = draw.standard_normal((45, 64))  # far from all, and few: one list is enough for the others
    vectors = vectors[draw.permutation(3000)]
    write(tmp_path / "s" / "a.parquet", vectors.astype(np.float32), draw.integers(0, 3, 3000))
    outcome = run(tmp_path / "s", tmp_path / "m", bins=bins)
    assert outcome.document["neighbours"]["probes"] == 1
    column = table(tmp_path / "m", "examples")["neighbour_agreement"]
    assert 0 < column.null_count < 10
    known = np.array(column.drop_null())
    assert np.isfinite(known).all()
    figures = outcome.document["neighbours"]["agreement"]
    assert figures["median"] == np.median(np.abs(known))
    assert figures["zero_share"] == (np.mean(known == 0) if bins is None else None)
    assert validate(tmp_path / "m").problems == []


def test_too_low_a_recall_widens_the_search(made: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(stage, "EXACT_ROWS", 1000)
    monkeypatch.setattr("syllabus.pipeline.stages.neighbours.coarse_quantizer.TARGET", 0.5)
    routed = {}

    def kept(graph: stage.NeighbourGraph) -> None:
        assert graph.lists is not None
        routed[graph.lists.coarse.probes] = set(map(graph.lists.list_shard_key, graph.lists.blocks()))

    monkeypatch.setattr(stage.NeighbourGraph, "discard_routed", kept)
    outcome = run(made / "s", tmp_path / "m")
    assert outcome.document["neighbours"]["recall"] >= 0.95
    assert len(routed) >= 2
    assert len(set().union(*routed.values())) == sum(map(len, routed.values()))


def test_a_rerun_searches_again_only_what_changed(made: Path, tmp_path: Path) -> None:
    work = str(made / "m.work")

    def rerun(name: str, **options: object) -> Outcome:
        return run(made / "s", tmp_path / name, work_dir=work, duplicate_threshold=0.99, **options)

    assert stages(rerun("seed", seed=5, fraction=0.2, trade_off=0.3))["neighbours"] == (1, 0)
    other = rerun("label", label="other")
    assert stages(other)["neighbours"] == (1, 0)
    assert other.document["neighbours"]["agreement"] != document(made / "m")["neighbours"]["agreement"]
    clusters = rerun("clusters", label=None)
    assert stages(clusters)["neighbours"] == (1, 0)
    assert clusters.document["neighbours"]["agreement"] is None
    assert set(table(tmp_path / "clusters", "examples")["neighbour_agreement"].to_pylist()) == {None}
    assert stages(rerun("k", neighbours=5))["neighbours"] == (0, 1)


def test_no_search_leaves_nulls(made: Path, tmp_path: Path) -> None:
    outcome = run(made / "s", tmp_path / "m", neighbours=0)
    assert "neighbours" not in outcome.document
    rows = table(tmp_path / "m", "examples")
    assert rows["duplicate_group"].null_count == rows["neighbour_agreement"].null_count == 2000
    assert validate(tmp_path / "m").problems == []


def test_fewer_examples_than_neighbours(tmp_path: Path) -> None:
    for n in (1, 4):
        write(tmp_path / f"s{n}" / "a.parquet", np.eye(8, dtype=np.float32)[:n], np.zeros(n, int))
        outcome = run(tmp_path / f"s{n}", tmp_path / f"m{n}", fraction=1.0)
        expected = None if n == 1 else {"kind": "class", "median": 1.0, "zero_share": 0.0}
        assert outcome.document["neighbours"]["agreement"] == expected
        assert table(tmp_path / f"m{n}", "examples")["duplicate_group"].to_pylist() == list(range(n))
        assert validate(tmp_path / f"m{n}").problems == []


def test_recased_text_is_a_duplicate(tmp_path: Path) -> None:
    draw = random.Random(0)
    words = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "lmnrst"]
    texts = [" ".join(draw.choices(words, k=draw.randint(8, 20))) for _ in range(600)]
    copies = [text.upper() if number % 2 else text.title() for number, text in enumerate(texts[:60])]
    rows = [{"text": text, "label": draw.choice("ab")} for text in texts + copies]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run(tmp_path / "s.jsonl", tmp_path / "m", text="text")
    found = pairs_of(np.array(table(tmp_path / "m", "examples")["duplicate_group"]))
    right = {(row, 600 + row) for row in range(60)}
    assert len(found & right) / len(right) >= 0.95
    assert len(found & right) / len(found) >= 0.95


def test_test_data_that_the_training_data_hold(tmp_path: Path) -> None:
    texts = sentences(400, 1)
    train = [{"text": text, "label": "ab"[number % 2]} for number, text in enumerate(texts)]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in train))
    tested = [{"text": text} for text in [*sentences(50, 2), None, texts[7], texts[9].upper()]]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tested))
    options = {"text": "text", "holdout": str(tmp_path / "t.jsonl"), "duplicate_threshold": 0.99}
    outcome = run(tmp_path / "s.jsonl", tmp_path / "m", **options)
    found = outcome.document["holdout"]
    assert (found["rows"], found["near_duplicates"], found["share"]) == (52, 2, 2 / 52)
    places = [(pair["source_file"], pair["source_row"], pair["index"]) for pair in found["pairs"]]
    assert places == [("t.jsonl", 51, 7), ("t.jsonl", 52, 9)]
    assert all(pair["cosine"] >= 0.99 for pair in found["pairs"])
    assert validate(tmp_path / "m").problems == []
    # The comparison needs no search among the examples, and is reused.
    again = run(
        tmp_path / "s.jsonl", tmp_path / "m2", work_dir=str(tmp_path / "m.work"), neighbours=0, **options
    )
    assert (stages(again)["holdout"], stages(again)["neighbours"]) == ((53, 0), (1, 0))
    assert again.document["holdout"] == found


def test_test_data_of_another_width_are_refused_before_anything_is_embedded(tmp_path: Path) -> None:
    write(tmp_path / "s.parquet", np.eye(4, dtype=np.float32), np.zeros(4, int))
    write(tmp_path / "t.parquet", np.eye(3, dtype=np.float32), np.zeros(3, int))
    with pytest.raises(UserError, match=r"holdout .*t\.parquet: vectors have 3 values; the data have 4"):
        run(tmp_path / "s.parquet", tmp_path / "m", holdout=str(tmp_path / "t.parquet"))
    assert not (tmp_path / "m.work" / "embed").exists()


def test_test_data_are_not_in_the_source(tmp_path: Path) -> None:
    write(tmp_path / "s" / "a.parquet", np.eye(4, dtype=np.float32), np.zeros(4, int))
    with pytest.raises(ValueError, match=r"holdout=.*a\.parquet'.* has files in common with the source"):
        run(tmp_path / "s", tmp_path / "m", holdout=str(tmp_path / "s" / "a.parquet"))


def test_lists_without_faiss_are_refused_before_anything_is_embedded(made, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(stage, "EXACT_ROWS", 1000)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # noqa: ARG005
    with pytest.raises(UserError, match=r"neighbours=10: 2,000 rows .* faiss is missing: pip install"):
        run(made / "s", tmp_path / "m")
    assert not (tmp_path / "m.work" / "embed").exists()


def test_a_star_stands_for_the_same_columns_in_test_data(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("y,a,b\n0,1,2\n1,3,4\n")
    (tmp_path / "t.csv").write_text("more,b,a,y\n9,2,1,0\n")
    (tmp_path / "u.csv").write_text("b,c\n2,1\n")
    options = {
        "source": str(tmp_path / "s.csv"),
        "output": str(tmp_path / "m"),
        "embedding": "*",
        "label": "y",
    }
    data = make_plan(Options(**options))
    plan = plan_holdout(Options(**options, holdout=str(tmp_path / "t.csv")), data)
    assert plan.columns.content == "a,b"
    with pytest.raises(UserError, match=r"holdout.*u\.csv: column 'a' is unknown"):
        plan_holdout(Options(**options, holdout=str(tmp_path / "u.csv")), data)
