"""Subsets that are guided by rows outside the data: like a query, unlike private rows."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from job_sources import digests, document, sentences, table
from jobs import run
from rich.console import Console

from syllabus.manifests import Manifest, validate
from syllabus.pipeline import UserError
from syllabus.pipeline.reporting.describe import print_description
from syllabus.selectors import (
    FacilityLocation,
    FacilityLocationConditionalGain,
    FacilityLocationMutualInformation,
    maximize,
)

OBJECTIVES = {
    "query": ("facility_location_mutual_information", FacilityLocationMutualInformation),
    "private": ("facility_location_conditional_gain", FacilityLocationConditionalGain),
}


def unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return (vectors / norms[:, None]).astype(np.float32)


def write(path: Path, **columns: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), path)
    return path


@pytest.mark.parametrize("option", ["query", "private"])
def test_a_guided_job_chooses_what_the_selector_does(tmp_path: Path, option: str) -> None:
    draw = np.random.default_rng(1)
    centres = draw.standard_normal((6, 24))
    kind = draw.integers(0, 6, 400)
    vectors = (centres[kind] + 0.5 * draw.standard_normal((400, 24))).astype(np.float32)
    rows = (centres[[2, 2, 2, 4]] + 0.5 * draw.standard_normal((4, 24))).astype(np.float32)
    source = write(tmp_path / "s" / "a.parquet", vector=vectors, label=["x"] * 400).parent
    guide = write(tmp_path / "guide.parquet", vector=rows)
    objective, function = OBJECTIVES[option]
    work = str(tmp_path / "w")
    options = {"objective": objective, option: str(guide), "fraction": 0.05, "work_dir": work}
    run(source, tmp_path / "greedy", optimizer="lazy", **options)
    assert validate(str(tmp_path / "greedy")).problems == []
    chosen = table(tmp_path / "greedy", "subsets").sort_by("rank").column("index").to_numpy()
    expected = maximize(function(unit(vectors), unit(rows)), 20)
    assert chosen.tolist() == expected.indices.tolist()
    near = np.isin(kind[chosen], [2, 4]).mean()
    plain = np.isin(kind[maximize(FacilityLocation(unit(vectors)), 20).indices], [2, 4]).mean()
    assert near >= 0.9 if option == "query" else near < plain
    recorded = document(tmp_path / "greedy")
    assert recorded["guide"]["kind"] == option
    assert recorded["guide"]["rows"] == 4
    shown = io.StringIO()
    print_description(Console(file=shown, width=100), Manifest.open(str(tmp_path / "greedy")))
    assert f"guided by 4 rows ({option}), sha256 {recorded['guide']['sha256'][:12]}" in shown.getvalue()
    assert str(guide) not in (tmp_path / "greedy" / "manifest.json").read_text()
    # The same rows elsewhere are the same choice; other rows are another, and embed nothing of the data.
    guide.rename(tmp_path / "moved.parquet")
    again = run(
        source, tmp_path / "moved", optimizer="lazy", **{**options, option: str(tmp_path / "moved.parquet")}
    )
    assert next(each for each in again.stages if each.stage == "select").new == 0
    assert digests(tmp_path / "moved") == digests(tmp_path / "greedy")
    write(guide, vector=rows[:3] + 1)
    other = run(source, tmp_path / "other", optimizer="lazy", **options)
    assert next(each for each in other.stages if each.stage == "embed").new == 0
    assert document(tmp_path / "other")["guide"]["sha256"] != recorded["guide"]["sha256"]
    assert table(tmp_path / "other", "subsets").column("index").to_pylist() != chosen.tolist()


def test_texts_guide_through_the_encoder_and_the_transform(tmp_path: Path) -> None:
    texts = sentences(300, 1)
    source = write(tmp_path / "s" / "a.parquet", text=texts, label=["x"] * 300).parent
    query = write(tmp_path / "query.parquet", text=[texts[7], texts[8]])
    options = {"objective": OBJECTIVES["query"][0], "query": str(query), "fraction": 0.01, "subsets": 3}
    run(source, tmp_path / "m", text="text", preprocess="center", epsilon=0.001, **options)
    run(source, tmp_path / "m2", text="text", preprocess="center", epsilon=0.001, workers=2, **options)
    assert digests(tmp_path / "m") == digests(tmp_path / "m2")
    rows = table(tmp_path / "m", "subsets")
    for subset in range(3):
        mine = rows.column("index").to_numpy()[rows.column("subset").to_numpy() == subset]
        assert {7, 8} <= set(mine.tolist())


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        ({"text": ["a", None]}, r"query .*q.parquet: q.parquet row 1: null text column text is null"),
        ({"txt": ["a"]}, r"q.parquet: column 'text' is unknown; did you mean 'txt'"),
        ({"text": pa.array([], pa.string())}, r"query .*q.parquet: is empty"),
    ],
)
def test_a_bad_guide_is_refused_before_the_work(
    tmp_path: Path, columns: dict[str, object], line: str
) -> None:
    source = write(tmp_path / "s" / "a.parquet", text=sentences(60, 1), label=["x"] * 60).parent
    pq.write_table(pa.table(columns), tmp_path / "q.parquet")
    with pytest.raises(UserError, match=line):
        run(
            source,
            tmp_path / "m",
            text="text",
            objective=OBJECTIVES["query"][0],
            query=str(tmp_path / "q.parquet"),
        )
    assert not (tmp_path / "m").exists()


def test_a_guide_of_another_width_is_refused(tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    source = write(
        tmp_path / "s" / "a.parquet", vector=draw.standard_normal((60, 8)), label=["x"] * 60
    ).parent
    query = write(tmp_path / "q.parquet", vector=draw.standard_normal((3, 7)))
    with pytest.raises(UserError, match=r"q.parquet: vectors have 7 values; the data have 8"):
        run(source, tmp_path / "m", objective=OBJECTIVES["query"][0], query=str(query))
