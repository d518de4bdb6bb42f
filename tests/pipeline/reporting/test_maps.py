"""The maps of a report: places and counts, by principal axes and by UMAP."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from job_sources import table, write_embeddings
from jobs import run
from small_manifest import write_small_manifest

from syllabus.manifests import Manifest
from syllabus.pipeline import UserError
from syllabus.pipeline.command_line import app as cli
from syllabus.pipeline.reporting.html import maps
from syllabus.pipeline.reporting.html.maps import STEPS, read_maps
from syllabus.pipeline.reporting.sketch_neighbours import sketch_neighbours

SETTINGS = {"embedding": "vector", "label": "label", "id": "key", "subsets": 1, "importance": "radius"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("maps")
    write_embeddings(folder / "s.parquet", 600, dimension=24)
    run(folder / "s.parquet", folder / "m", **SETTINGS)
    return Manifest.open(folder / "m")


def cells_of(found: dict[str, Any]) -> dict[tuple[int, int], int]:
    return {
        (part["partition"], int(cell)): count
        for part in found["partitions"]
        for cell, count in zip(np.cumsum(part["cells"]), part["counts"], strict=True)
    }


def counted(manifest: Manifest, found: dict[str, Any], rows: np.ndarray) -> dict[tuple[int, int], int]:
    """Count the points again, from their places."""
    examples = table(Path(manifest.location), "examples").to_pandas().set_index("index")["partition"]
    index = table(Path(manifest.location), "preview").to_pandas()["index"]
    cells: dict[tuple[int, int], int] = {}
    for row in rows.tolist():
        x, y = (min(found["side"] - 1, found[name][row] * found["side"] // STEPS) for name in ("x", "y"))
        key = (int(examples[index[row]]), y * found["side"] + x)
        cells[key] = cells.get(key, 0) + 1
    return cells


def shared(manifest: Manifest, found: dict[str, Any]) -> float:
    """The share of the ten nearest by their sketches that are among the ten nearest on the map."""
    index = manifest.column("preview", "index")
    near, _ = sketch_neighbours(manifest, index, 10)
    places = np.column_stack([found["x"], found["y"]]).astype(np.float64)
    apart = np.linalg.norm(places[:, None] - places, axis=2)
    np.fill_diagonal(apart, np.inf)
    on_map = np.argsort(apart, axis=1)[:, :10]
    return float(np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(near, on_map, strict=True)]))


def test_the_map_of_the_manifest_counts_every_example(made: Manifest) -> None:
    (found,) = read_maps(made, umap=False)
    assert found["name"] == "pca"
    assert found["counted"] == 600 == sum(cells_of(found).values())
    wrong = sum(
        abs(count - cells_of(found).get(key, 0))
        for key, count in counted(made, found, np.arange(600)).items()
    )
    assert wrong <= 6  # steps round what lies on the edge of a cell


def test_umap_keeps_more_of_the_neighbours_and_is_the_same_again(made: Manifest) -> None:
    pytest.importorskip("umap", reason="umap-learn is missing: pip install 'syllabus[umap]'")
    found, plain = read_maps(made, umap=None)
    assert (found["name"], plain["name"]) == ("umap", "pca")
    assert read_maps(made, umap=True) == [found, plain]
    assert shared(made, found) > 1.5 * shared(made, plain)
    assert 0 < min(found["x"]) < max(found["x"]) < STEPS


def test_a_few_points_far_away_do_not_squeeze_the_others() -> None:
    places = np.vstack([np.random.default_rng(0).random((200, 2)), [[40.0, 0.5], [40.1, 0.6], [-9.0, 0.4]]])
    found = maps._narrowed(places)
    assert (np.argsort(found, axis=0) == np.argsort(places, axis=0)).all()
    np.testing.assert_allclose(np.ptp(found[:200], axis=0), 1, atol=0.01)
    assert np.ptp(found[:, 0]) < 6
    np.testing.assert_allclose(np.diff(found[:, 1]), np.diff(places[:, 1]), atol=1e-9)


def test_the_counts_behind_umap_are_of_what_chance_drew(
    made: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("umap", reason="umap-learn is missing: pip install 'syllabus[umap]'")
    whole = made.table
    drawn = np.arange(600) % 3 > 0

    def some(name: Any, columns: Any = None, *rest: Any) -> Any:
        rows = whole(name, columns, *rest)
        if columns is not None and "drawn" in columns:
            rows = rows.set_column(columns.index("drawn"), "drawn", [drawn])
        return rows

    monkeypatch.setattr(made, "table", some)
    found = read_maps(made, umap=True)[0]
    assert found["counted"] == drawn.sum()
    again = counted(made, found, np.flatnonzero(drawn))
    assert sum(abs(count - cells_of(found).get(key, 0)) for key, count in again.items()) <= 6


def test_what_umap_lacks_is_told_where_it_is_asked_for(
    made: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    pytest.importorskip("plotly", reason="plotly is missing: pip install 'syllabus[report]'")
    report = ["report", made.location, "--output", str(tmp_path / "r.html")]
    assert cli.run([*report, "--umap"]) == 2
    assert "report: umap: umap-learn is missing: pip install 'syllabus[umap]'\n" in capsys.readouterr().err
    assert [each["name"] for each in read_maps(made, umap=None)] == ["pca"]
    write_embeddings(tmp_path / "s.parquet", 40, dimension=4)
    run(tmp_path / "s.parquet", tmp_path / "bare", sketch_dim=0, **SETTINGS)
    write_embeddings(tmp_path / "few.parquet", 15, dimension=4)
    run(tmp_path / "few.parquet", tmp_path / "few", **SETTINGS)
    write_small_manifest(tmp_path / "plain", n=80)
    for name, count, told in (
        ("bare", 1, "sketch_dim=0"),
        ("few", 1, "15 points"),
        ("plain", 0, "no preview"),
    ):
        manifest = Manifest.open(tmp_path / name)
        with pytest.raises(UserError, match=f"report: umap: the manifest .*{told}"):
            read_maps(manifest, umap=True)
        assert len(read_maps(manifest, umap=None)) == count
