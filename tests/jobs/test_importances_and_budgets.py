"""What a manifest says of its choices: importances of every function and map, budgets, figures shown."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from job_sources import digests, document, table, write_embeddings
from jobs import run
from rich.console import Console

from syllabus.manifests import Manifest, allocate, budget, validate
from syllabus.pipeline import Options, UserError, prepare
from syllabus.pipeline.reporting.describe import print_description
from syllabus.selectors import FacilityLocation, GraphCut, inclusion_probabilities, maximize
from syllabus.selectors.importances import (
    effective_sample_size,
    published_probabilities,
    tempered_probabilities,
)

IMPORTANCES = ("radius", "radius:0.50", "facility_location", "facility_location:0.3", "graph_cut")
NAMES = ["facility_location", "facility_location-0.3", "graph_cut", "radius", "radius-0.5"]
SIZES = {"subsets": 2, "fraction": (0.05, 0.3), "importance": IMPORTANCES, "budgets": "equal"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chosen")
    write_embeddings(folder / "a.parquet", 500, seed=11)
    return folder


@pytest.fixture(scope="module")
def manifest(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("manifest") / "m"
    run(source, output, **SIZES)
    return output


def partition_vectors(source: Path, manifest: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """The indices and unit vectors of each partition."""
    vectors = np.stack(table(source, "a.parquet").column("vector").to_numpy())
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    unit = (vectors / norms[:, None]).astype(np.float32)
    partition = table(manifest, "examples").column("partition").to_numpy()
    return [(np.flatnonzero(partition == p), unit[partition == p]) for p in range(partition.max() + 1)]


def test_importances_of_every_function_stand_side_by_side(source: Path, manifest: Path) -> None:
    assert validate(str(manifest)).problems == []
    described = document(manifest)["importances"]
    assert sorted(described) == NAMES
    assert {name: each["map"] for name, each in described.items()} == {
        name: "tempered" if "-" in name else "published" for name in NAMES
    }
    functions = {"facility_location": FacilityLocation, "graph_cut": lambda x: GraphCut(x, trade_off=0.4)}
    for name in NAMES:
        rows = table(manifest, f"importances/{name}").to_pydict()
        for number, (index, vectors) in enumerate(partition_vectors(source, manifest)):
            mine = np.array(rows["partition"]) == number
            score, gain = np.array(rows["score"])[mine], np.array(rows["gain"])[mine]
            if (base := name.partition("-")[0]) in functions:
                greedy = maximize(functions[base](vectors), len(index))
                assert np.array(rows["index"])[mine].tolist() == index[greedy.indices].tolist()
                assert gain.tolist() == score.tolist() == greedy.gains.tolist()
            ess = float(name.partition("-")[2] or 0)
            expected = tempered_probabilities(score, ess) if ess else published_probabilities(score)
            assert np.array(rows["probability"])[mine].tolist() == expected.tolist()
            if ess:
                assert effective_sample_size(expected) == pytest.approx(ess, abs=0.001)


def test_sample_sizes_of_draws_are_recorded(manifest: Path) -> None:
    sizes = np.bincount(table(manifest, "examples").column("partition").to_numpy())
    for name in NAMES:
        rows = table(manifest, f"importances/{name}")
        partition, p = (rows.column(column).to_numpy() for column in ("partition", "probability"))
        recorded = document(manifest)["importances"][name]
        for entry, fraction in zip(recorded["inclusion_ess"], (0.05, 0.3), strict=True):
            shares = allocate(budget(fraction, 500), sizes, "equal")
            found = [
                effective_sample_size(inclusion_probabilities(p[partition == part], int(k)) / k)
                for part, k in enumerate(shares)
            ]
            assert entry == {
                "fraction": fraction,
                "mean": pytest.approx(np.mean(found)),
                "least": pytest.approx(min(found)),
                "greatest": pytest.approx(max(found)),
            }
        # A draw of more is nearer to uniform.
        few, many = (entry["mean"] for entry in recorded["inclusion_ess"])
        assert recorded["ess"]["mean"] <= few + 1e-9 <= many + 2e-9


def test_the_budgets_of_partitions_are_recorded_and_shown(manifest: Path) -> None:
    for entry in document(manifest)["subsets"]:
        assert sum(entry["partitions"]) == entry["budget"]
        for subset in range(2):
            rows = table(manifest, "subsets").to_pydict()
            mine = (np.array(rows["subset"]) == subset) & (np.array(rows["budget"]) == entry["budget"])
            assert np.bincount(np.array(rows["partition"])[mine]).tolist() == entry["partitions"]
    shown = io.StringIO()
    print_description(Console(file=shown, width=80), Manifest.open(manifest))
    lines = [line.split() for line in shown.getvalue().splitlines()]
    subsets = document(manifest)["subsets"]
    sizes = [f"{part['examples']:,}" for part in document(manifest)["partitions"]]
    expected = [[str(n), size, *(str(e["partitions"][n]) for e in subsets)] for n, size in enumerate(sizes)]
    assert [line for line in lines if line and line[0] in "012"][:3] == expected
    assert ["name", "mean", "least", "most", "0.05", "0.3", "map"] in lines
    row = next(line for line in lines if line and line[0] == "radius-0.5")
    assert row[1:4] == ["0.500"] * 3
    assert row[-1] == "tempered"
    assert max(map(len, shown.getvalue().splitlines()[2:])) <= 80


def test_new_importances_leave_what_is_there(source: Path, manifest: Path, tmp_path: Path) -> None:
    work = str(tmp_path / "w")
    run(source, tmp_path / "m1", **{**SIZES, "importance": "radius"}, work_dir=work)
    outcome = run(source, tmp_path / "m2", **SIZES, work_dir=work)
    stage = next(each for each in outcome.stages if each.stage == "select")
    # Two more rankings of three classes; the regrouped vectors, subsets and orders are there.
    assert stage.new == 6
    assert digests(tmp_path / "m2") == digests(manifest)
    outcome = run(source, tmp_path / "m3", **{**SIZES, "importance": "graph_cut:0.9"}, work_dir=work)
    assert next(each for each in outcome.stages if each.stage == "select").new == 0


def test_what_the_subsets_take_is_said_before_the_work(source: Path, tmp_path: Path) -> None:
    shown = io.StringIO()
    options = Options(
        source=str(source), output=str(tmp_path / "m"), embedding="vector", label="label",
        fraction=(0.1, 0.5), subsets=3,
    )  # fmt: skip
    prepare(options, Console(file=shown, width=200))
    (line,) = [line for line in shown.getvalue().splitlines() if line.startswith("subsets: ")]
    assert line.startswith(
        "subsets: 3 of 50, 250 rows each, 900 rows in all, under 0.1 MB, if no row is rejected"
    )
    assert shown.getvalue().index(line) == 0
    assert table(tmp_path / "m", "subsets").num_rows == 900


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            {"importance": "radius:0.006"},
            r"radius:0.006: partition '[012]': an effective .* of 0.006 is out of reach; of 1\d\d ex",
        ),
        (
            {"importance": "facility_location", "memory_per_worker": 0.0005},
            r"memory_per_worker=0.0005: a bucket of 16 examples of \d+ dimensions does not fit; give more",
        ),
    ],
)  # fmt: skip
def test_importances_out_of_reach(
    source: Path, tmp_path: Path, options: dict[str, object], line: str
) -> None:
    with pytest.raises(UserError) as error:
        run(source, tmp_path / "m", subsets=1, order="none", **options)
    assert re.search(line, str(error.value)), error.value
    assert not (tmp_path / "m" / "manifest.json").exists()
