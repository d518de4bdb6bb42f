"""Budgets in the units of a column: what subsets cost, what is recorded of it, and what a rerun reuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from job_sources import SIZES, add_weights, digests, document, table, write_embeddings, write_texts
from jobs import run

from syllabus.manifests import Manifest, allocate, budget, export, validate
from syllabus.pipeline import Options
from syllabus.pipeline.source_check import source_problems
from syllabus.pipeline.stages.order.stage import ORDER_SHARE, Ordering
from syllabus.pipeline.stages.regroup import stage as regroup
from syllabus.pipeline.stages.regroup.buckets import Reference, read_references, read_weights, references
from syllabus.pipeline.stages.regroup.stage import HELD
from syllabus.pipeline.stages.select.selecting import Selecting
from syllabus.pipeline.stages.select.subsets import bucket_budgets
from syllabus.pipeline.work_directory import WorkDirectory
from syllabus.selectors import (
    GraphCut,
    explore_within,
    maximize,
    maximize_within,
    random_value,
    random_value_within,
)

ROWS = 600


@pytest.fixture(scope="module")
def weights() -> np.ndarray:
    return np.random.default_rng(5).lognormal(3, 1, ROWS).astype(np.int64) + 1


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, weights: np.ndarray) -> Path:
    folder = tmp_path_factory.mktemp("weighted")
    for number, part in enumerate(np.split(weights, 3)):
        path = folder / f"{number}.parquet"
        write_embeddings(path, len(part), seed=5 + number, dimension=12)
        add_weights(path, part)
    return folder


@pytest.fixture(scope="module")
def manifest(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of three classes in about three buckets each."""
    output = tmp_path_factory.mktemp("manifest") / "m"
    run(source, output, **SIZES, bucket_size=80)
    return output


def test_a_weighted_manifest_is_sound(source: Path, manifest: Path, weights: np.ndarray) -> None:
    assert validate(str(manifest)).problems == []
    assert source_problems(str(manifest), str(source)) == []
    described, examples = document(manifest), table(manifest, "examples").to_pydict()
    assert examples["weight"] == weights.tolist()
    assert described["weight"] == {"column": "words", "total": weights.sum()}
    partition = np.array(examples["partition"])
    assert [each["weight"] for each in described["partitions"]] == [
        weights[partition == number].sum() for number in range(3)
    ]
    opened = Manifest.open(manifest)
    for entry in described["subsets"]:
        assert entry["budget"] == budget(entry["fraction"], int(weights.sum()))
        assert sum(entry["partitions"]) == entry["budget"]
        assert entry["empty_partitions"] == []
        for number in range(2):
            index = opened.subset(entry["fraction"], number)
            assert len(np.unique(index)) == len(index) == entry["rows"][number]
            assert weights[index].sum() == entry["weights"][number] <= entry["budget"]


@pytest.mark.parametrize("rule", ["proportional", "equal", "sqrt"])
@pytest.mark.parametrize("optimizer", ["stochastic", "lazy"])
def test_no_share_is_exceeded_and_what_is_left_buys_nothing(
    source: Path,
    weights: np.ndarray,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    rule: str,
    optimizer: str,
) -> None:
    shared = tmp_path_factory.getbasetemp() / "weighted.work"
    options = {"optimizer": optimizer, "budgets": rule, "work_dir": str(shared), "bucket_size": 80}
    subsets = 1 if optimizer == "lazy" else 2
    run(source, tmp_path / "m", **{**SIZES, "subsets": subsets, "order": "none"}, **options)
    assert validate(str(tmp_path / "m")).problems == []
    described = document(tmp_path / "m")
    assert [entry["count"] for entry in described["subsets"]] == [subsets] * 2
    members = members_of(WorkDirectory(str(shared)))
    units = {bucket: int(weights[index].sum()) for bucket, index in members.items()}
    opened = Manifest.open(tmp_path / "m")
    for entry in described["subsets"]:
        shares = bucket_budgets(units, entry["fraction"], rule)
        sizes = [sum(held for (p, _), held in units.items() if p == number) for number in range(3)]
        assert entry["partitions"] == allocate(entry["budget"], sizes, rule).tolist()
        for number in range(subsets):
            chosen = opened.subset(entry["fraction"], number)
            for bucket, index in members.items():
                mine = np.isin(index, chosen)
                left = shares[bucket] - weights[index[mine]].sum()
                assert left >= 0
                assert mine.all() or left < weights[index[~mine]].min()


def members_of(work: WorkDirectory) -> dict[tuple[int, int], np.ndarray]:
    """The indices of each bucket, from the shards; weights travel with them."""
    found: dict[tuple[int, int], list[Reference]] = {}
    for key in sorted(work.keys("regroup")):
        for bucket, reference in references(work, key):
            found.setdefault(bucket, []).append(reference)
    for held in found.values():
        assert sum(reference.units for reference in held) == read_weights(work, held).sum()
    return {bucket: read_references(work, held)[0] for bucket, held in sorted(found.items())}


def test_a_bucket_holds_what_the_selectors_choose(source: Path, weights: np.ndarray, tmp_path: Path) -> None:
    """One bucket a class: the picks, their gains and the figures are those of the selectors with costs."""
    run(source, tmp_path / "m", **{**SIZES, "fraction": 0.1}, seed=3)
    rows, described = table(tmp_path / "m", "subsets").to_pandas(), document(tmp_path / "m")
    vectors = np.stack(table(source, "").column("vector").to_numpy())
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    unit = (vectors / norms[:, None]).astype(np.float32)
    partition = table(tmp_path / "m", "examples").column("partition").to_numpy()
    shares = allocate(budget(0.1, int(weights.sum())), np.bincount(partition, weights).astype(int))
    greedy = random = 0.0
    own, best, chance = np.zeros(2), np.zeros(2), np.zeros(2)
    for number, share in enumerate(shares):
        index = np.flatnonzero(partition == number)
        function, costs = GraphCut(unit[index], trade_off=0.4), weights[index]
        expected = explore_within(function, costs, int(share), 2, seed=(3, 0, number, 0), power=0)
        for subset, selection in enumerate(expected):
            mine = rows[(rows.partition == number) & (rows.subset == subset)].sort_values("rank")
            assert mine["index"].tolist() == index[selection.indices].tolist()
            assert mine.gain.tolist() == selection.gains.tolist()
            own[subset] += selection.objective
            best[subset] += maximize(function, len(mine)).objective
            chance[subset] += random_value(function, len(mine), draws=20, seed=(3, 0, number, 0))
        greedy += maximize_within(function, costs, int(share)).objective
        random += random_value_within(function, costs, int(share), draws=20, seed=(3, 0, number, 0))
    assert described["subsets"][0]["greedy"] == pytest.approx(greedy)
    assert described["subsets"][0]["random"] == pytest.approx(random)
    gains = (own - chance) / (best - chance)
    expected = {"least": pytest.approx(gains.min()), "mean": pytest.approx(gains.mean())}
    assert described["subsets"][0]["normalised_gain"] == expected
    assert 0.5 < gains.min() <= gains.max() <= 1


@pytest.mark.parametrize(
    "options",
    [{"objective": "graph_cut"}, {"objective": "facility_location", "optimizer": "lazy", "subsets": 1}],
)
def test_equal_weights_choose_what_examples_would(tmp_path: Path, options: dict[str, object]) -> None:
    vectors = np.random.default_rng(1).standard_normal((300, 8)).astype(np.float32)
    rows = {"vector": list(vectors), "label": [number % 3 for number in range(300)], "words": [7] * 300}
    (tmp_path / "s").mkdir()
    pq.write_table(pa.table(rows), tmp_path / "s" / "a.parquet")
    given = {"fraction": (0.1, 0.5), "subsets": 3, "neighbours": 0, "importance": "radius", **options}
    run(tmp_path / "s", tmp_path / "plain", **given)
    run(tmp_path / "s", tmp_path / "heavy", **given, weight="words")
    plain, heavy = (table(tmp_path / name, "subsets") for name in ("plain", "heavy"))
    assert heavy.column("budget").to_pylist() == [7 * each for each in plain.column("budget").to_pylist()]
    assert heavy.drop(["budget"]).equals(plain.drop(["budget"]))
    light, full = (document(tmp_path / name) for name in ("plain", "heavy"))
    assert light["importances"] == full["importances"]
    assert "weight" not in light["options"]
    for one, other in zip(light["subsets"], full["subsets"], strict=True):
        assert other["rows"] == [one["budget"]] * other["count"]
        for name in ("greedy", "random", "normalised_gain", "jaccard", "covered"):
            assert one[name] == pytest.approx(other[name])


@pytest.mark.parametrize(("workers", "held"), [(2, HELD), (1, 10**7)], ids=["workers", "small groups"])
def test_the_same_bytes_however_it_runs(
    source: Path,
    manifest: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    held: int,
) -> None:
    monkeypatch.setattr(regroup, "HELD", held)
    run(source, tmp_path / "m", **SIZES, bucket_size=80, workers=workers)
    assert digests(tmp_path / "m") == digests(manifest)


def test_subsets_too_large_for_a_worker_are_interleaved(source: Path, manifest: Path, tmp_path: Path) -> None:
    """How many rows a subset has is known once it is chosen: whether it is ordered in parts, too."""
    # More than 0.3 of the examples would be; of the units it is more rows.
    most = budget(0.3, ROWS) + 5
    run(
        source,
        tmp_path / "m",
        **SIZES,
        bucket_size=80,
        memory_per_worker=ORDER_SHARE * (most + 0.5) * 48 / 1e9,
    )
    described = document(tmp_path / "m")["subsets"]
    assert [max(entry["rows"]) > most for entry in described] == [False, True]
    assert ["interleaved" in entry for entry in described] == [False, True]
    assert validate(str(tmp_path / "m")).problems == []
    for name in ("index", "rank", "gain"):
        ours, theirs = (
            sorted(table(at, "subsets").column(name).to_pylist()) for at in (tmp_path / "m", manifest)
        )
        assert ours == theirs


def test_an_order_in_parts_is_not_taken_for_a_whole_one() -> None:
    """A subset of 60 of 600 examples fits where 100 do; one of a tenth of the units may not."""

    def key(weight: str | None, vectors: int) -> str:
        given = {"source": "/s", "output": "/m", "embedding": "v", "label": "l", "weight": weight}
        options = Options(**given, memory_per_worker=ORDER_SHARE * vectors * 48 / 1e9)
        return Ordering(Selecting(options, "groups"), 600, 12).subset_key(0, 0)

    assert key(None, 101) == key(None, 700)
    assert key("words", 101) != key("words", 700)
    assert key("words", 701) == key("words", 800)


def test_what_a_rerun_reuses(tmp_path: Path) -> None:
    source, work = tmp_path / "s", str(tmp_path / "w")
    write_texts(source / "a.jsonl", 200)
    rows = (source / "a.jsonl").read_text().splitlines()
    lengths = [f', "words": {len(row.split())}, "bytes": {len(row)}}}' for row in rows]
    (source / "a.jsonl").write_text(
        "\n".join(row[:-1] + more for row, more in zip(rows, lengths, strict=True))
    )

    def again(name: str, **options: object) -> tuple[int, int]:
        given = {**SIZES, "text": "text", "fraction": 0.2, "work_dir": work, **options}
        stages = {stage.stage: stage for stage in run(source, tmp_path / name, **given).stages}
        return stages["embed"].counters.get("encoded", 0), stages["select"].new

    assert again("plain", weight=None)[0] == 200
    assert again("words")[0] == 0
    assert again("bytes", weight="bytes")[0] == 0
    for name, weight in (("plain", None), ("words", "words"), ("bytes", "bytes")):
        assert again(f"{name} again", weight=weight) == (0, 0)
        assert digests(tmp_path / name) == digests(tmp_path / f"{name} again")
    assert document(tmp_path / "bytes")["weight"]["column"] == "bytes"
    assert "weight" not in document(tmp_path / "plain")


def test_draws_of_an_importance_have_about_as_many_rows(manifest: Path) -> None:
    described = document(manifest)
    uniform = [each["mean"] for each in described["importances"]["radius"]["inclusion_ess"]]
    # Of more rows, nearer to uniform, as it is with examples.
    assert described["importances"]["radius"]["ess"]["mean"] < uniform[0] < uniform[1] <= 1


def test_a_subset_is_exported_whole(manifest: Path, tmp_path: Path) -> None:
    rows = export(Manifest.open(manifest), 0.3, 1, "csv", str(tmp_path / "out.csv"))
    assert rows.num_rows == document(manifest)["subsets"][1]["rows"][1]
