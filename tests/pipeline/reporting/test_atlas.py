"""The export for embedding-atlas: places, contents, ranks and nearest neighbours of the preview."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from job_sources import sentences
from jobs import run
from PIL import Image

from syllabus.manifests import Manifest, read_sketches
from syllabus.pipeline.command_line import app as cli


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("atlas")
    lines = [
        f'{{"text": "{text}", "label": "{"ab"[row % 2]}"}}' for row, text in enumerate(sentences(120, 0))
    ]
    (folder / "s.jsonl").write_text("\n".join(lines))
    run(folder / "s.jsonl", folder / "m", text="text", subsets=2, importance="radius", neighbours=0)
    return folder


def test_neighbours_are_rows_of_the_file(made: Path, tmp_path: Path, capsys) -> None:
    output = tmp_path / "a.parquet"
    assert cli.run(["export", str(made / "m"), "--format", "atlas", "--output", str(output)]) == 0
    told = capsys.readouterr().out
    assert f"embedding-atlas {output} --x x --y y --text text --neighbors neighbors" in told
    manifest, rows = Manifest.open(made / "m"), pq.read_table(output)
    preview = manifest.table("preview")
    for name in ("index", "x", "y", "text"):
        assert rows[name].to_pylist() == preview[name].to_pylist()
    index = rows["index"].to_numpy()
    assert rows["label"].to_pylist() == manifest.records(index, ["label"])["label"].to_pylist()
    sketches = read_sketches(manifest, index).astype(np.float64)
    sketches /= np.linalg.norm(sketches, axis=1, keepdims=True)
    cosines = sketches @ sketches.T
    np.fill_diagonal(cosines, -2)
    nearest = np.sort(cosines, axis=1)[:, :-11:-1]
    for row, found in enumerate(rows["neighbors"].to_pylist()):
        assert row not in found["ids"]
        assert found["distances"] == pytest.approx(1 - nearest[row], abs=1e-5)
        assert cosines[row, found["ids"]] == pytest.approx(nearest[row], abs=1e-5)


def test_ranks_are_those_of_the_first_subset_and_the_importance(made: Path, tmp_path: Path) -> None:
    output = tmp_path / "a.parquet"
    assert cli.run(["export", str(made / "m"), "--format", "atlas", "--output", str(output)]) == 0
    manifest, rows = Manifest.open(made / "m"), pq.read_table(output).to_pandas().set_index("index")
    first = manifest.to_pandas("subsets", fraction=0.1, subset=0).set_index("index")["rank"]
    assert rows["easy_rank"].dropna().to_dict() == first.to_dict()
    assert (
        rows["radius_rank"].to_dict()
        == manifest.importance("radius").to_pandas().set_index("index")["rank"].to_dict()
    )


def test_images_are_as_embedding_atlas_takes_them(tmp_path: Path, capsys) -> None:
    draw = np.random.default_rng(0)
    for row in range(60):
        path = tmp_path / "s" / "ab"[row % 2] / f"{row:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    options = {"image": "image", "embedding": None, "label": "folder", "encoder": "toy_encoder:pixels"}
    run(tmp_path / "s", tmp_path / "m", subsets=0, importance="radius", neighbours=0, sketch_dim=0, **options)
    output = tmp_path / "a.parquet"
    assert cli.run(["export", str(tmp_path / "m"), "--format", "atlas", "--output", str(output)]) == 0
    assert "--image image\n" in capsys.readouterr().out
    rows = pq.read_table(output)
    assert "neighbors" not in rows.column_names  # there are no sketches to tell them by
    assert (
        len(set(zip(rows["x"].to_pylist(), rows["y"].to_pylist(), strict=True))) == 60
    )  # and a map all the same
    assert all(each["bytes"][8:12] == b"WEBP" for each in rows["image"].to_pylist())


def test_what_cannot_be_exported_is_one_line(made: Path, tmp_path: Path, capsys) -> None:
    manifest = ["export", str(made / "m"), "--format", "atlas", "--output"]
    for given, message in (
        ([*manifest, str(tmp_path / "a.csv")], "suffix '.csv' is unknown; known: .parquet"),
        ([*manifest, str(tmp_path / "a.parquet"), "--fraction", "0.1"], "are of no use with --format atlas"),
        (["export", str(made / "m"), "--output", str(tmp_path / "a.csv")], "Missing option '--fraction'"),
    ):
        assert cli.run(given) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    assert list(tmp_path.iterdir()) == []
