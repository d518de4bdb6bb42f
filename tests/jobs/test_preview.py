"""The preview of a job: which rows, where on the map, and with which contents."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from job_sources import digests, document, table, write_embeddings, write_texts
from jobs import run
from PIL import Image

from syllabus.manifests import validate
from syllabus.pipeline import UserError
from syllabus.pipeline.sources.images import ImageFolderSource
from syllabus.pipeline.sources.json_lines import JsonLinesSource
from syllabus.pipeline.sources.records import Chunk
from syllabus.pipeline.stages.commit import chosen, contents, preview
from syllabus.pipeline.stages.commit.context import Buckets

COUNT = 3000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """More examples than a preview may have rows, four classes of which three are counted apart."""
    folder = tmp_path_factory.mktemp("large")
    vectors = write_embeddings(folder / "a.parquet", COUNT, classes=4)
    pq.write_table(pa.table({"vector": list(vectors[5:9])}), folder / "test.parquet")
    with small_preview():
        run(folder / "a.parquet", folder / "m", subsets=2, holdout=str(folder / "test.parquet"))
    return folder, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@contextmanager
def small_preview() -> Iterator[None]:
    bounds = {"ROWS": 600, "PICKS": 60, "SUSPECTS": 40, "SHOWN_SUSPECTS": 10, "GROUPS": 10, "COPIES": 30}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in bounds.items():
            patch.setattr(chosen, name, value)
        patch.setattr(preview, "COUNTED_APART", 3)
        yield


def test_the_best_of_a_partition_are_its_own() -> None:
    partition, rank = np.repeat([0, 1, 2], [20, 3, 20]), np.r_[:20, :3, :20]
    picks = pa.table({"partition": partition, "rank": rank, "index": np.arange(43)})
    context: Any = SimpleNamespace(
        options=SimpleNamespace(subset_count=1, fraction=(0.1,), importances=()),
        work=SimpleNamespace(pieces=lambda *_: [picks[25:], picks[:25]]),
        ordering=SimpleNamespace(subset_key=lambda *_: ""),
    )
    ((counts, best),) = chosen._ranked(context, Buckets({}, {}))
    assert counts == {0: 20, 1: 3, 2: 20}
    assert [best(number, 4).tolist() for number in counts] == [[23, 24, 25, 26], [0, 1, 2, 3], [20, 21, 22]]


def test_rows_are_a_draw_and_what_a_report_shows(large: tuple[Path, np.ndarray]) -> None:
    folder, _ = large
    manifest, about = folder / "m", document(folder / "m")
    rows = table(manifest, "preview")
    held = set(rows["index"].to_pylist())
    assert 500 < len(held) == about["preview"]["rows"] <= 600
    drawn = rows["drawn"].to_numpy(zero_copy_only=False)
    assert about["preview"]["drawn"] == drawn.sum() > 200
    # The draw knows neither labels nor picks: it spreads over the whole source.
    by_thirds = np.histogram(rows["index"].to_numpy()[drawn], [0, 1000, 2000, COUNT])[0]
    assert by_thirds.min() > 0.2 * drawn.sum()
    for name in ("subsets", "importances/radius"):
        ranked = table(manifest, name).to_pandas()
        first = ranked[(ranked["rank"] < 10) & (ranked.get("subset", 0) == 0)]
        assert len(first) == 40
        assert set(first["index"]) <= held
    assert set(table(manifest, "hygiene/holdout")["index"].to_pylist()) == {5, 6, 7, 8} <= held
    suspects = table(manifest, "hygiene/suspects").to_pandas()
    means = suspects.groupby("index")["cosine"].mean().sort_values(ascending=False)
    shown = suspects[suspects["index"].isin(means.index[:8])]
    assert {*shown["index"], *shown["neighbour"]} <= held


def test_the_map_has_the_principal_axes_and_counts_everything(large: tuple[Path, np.ndarray]) -> None:
    folder, unit = large
    grid, rows = document(folder / "m")["preview"]["grid"], table(folder / "m", "preview")
    centred = unit - unit.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    points = centred @ axes[:2].T
    for place, name in enumerate(("x", "y")):
        found, expected = rows[name].to_numpy(), points[rows["index"].to_numpy(), place]
        assert abs(abs(np.corrcoef(found, expected)[0, 1]) - 1) < 1e-3
        # The sample is evenly spaced rows: here all of them.
        assert grid[name] == pytest.approx(
            sorted(np.sign(found @ expected) * _span(points[:, place])), abs=1e-2
        )
    density, examples = table(folder / "m", "density"), table(folder / "m", "examples").to_pandas()
    sizes = examples["partition"].value_counts()
    assert sorted(grid["partitions"]) == sorted(sizes.index[:3])
    counted = density.to_pandas().groupby("partition")["examples"].sum()
    assert counted[-1] == sizes.iloc[3]
    assert all(counted[number] == sizes[number] for number in grid["partitions"])
    # Each of the rows of the preview lies in a cell that has examples of its partition.
    at = [(rows[n].to_numpy() - grid[n][0]) / (grid[n][1] - grid[n][0]) * grid["side"] for n in ("x", "y")]
    cells = np.minimum(at[1].astype(int), 127) * 128 + np.minimum(at[0].astype(int), 127)
    held = set(zip(density["partition"].to_pylist(), density["cell"].to_pylist(), strict=True))
    partition = examples.set_index("index")["partition"][rows["index"].to_numpy()]
    apart = [number if number in grid["partitions"] else -1 for number in partition]
    assert set(zip(apart, cells.tolist(), strict=True)) <= held


def _span(values: np.ndarray) -> np.ndarray:
    return np.array([values.min(), values.max()])


def test_the_bytes_are_those_of_any_workers_and_reruns(
    large: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    folder, _ = large
    options = {"subsets": 2, "holdout": str(folder / "test.parquet")}
    with small_preview():
        run(folder / "a.parquet", tmp_path / "m", workers=3, memory_per_worker=1e-3, **options)
    tables = ("preview", "density", "hygiene")
    kept, again = (
        {path: value for path, value in digests(each).items() if path.startswith(tables)}
        for each in (folder / "m", tmp_path / "m")
    )
    assert kept == again
    assert len(kept) == 5


def test_texts_are_cut_and_private_ones_are_not_kept(tmp_path: Path) -> None:
    write_texts(tmp_path / "s" / "a.jsonl", 40)
    long = '{"text": "%s", "label": "a", "key": "long"}\n' % ("é<b>" * 200)
    (tmp_path / "s" / "b.jsonl").write_text(long, encoding="utf-8")
    write_texts(tmp_path / "p.jsonl", 5, seed=1)
    run(tmp_path / "s", tmp_path / "m", text="text", subsets=1, holdout=str(tmp_path / "p.jsonl"))
    texts = table(tmp_path / "m", "preview")["text"].to_pylist()
    assert texts[-1] == ("é<b>" * 200)[:300]
    assert all(text.split()[-1] == f"0-{row}" for row, text in enumerate(texts[:40]))
    guided = {"objective": "facility_location_conditional_gain", "private": str(tmp_path / "p.jsonl")}
    run(
        tmp_path / "s",
        tmp_path / "private",
        text="text",
        subsets=1,
        holdout=str(tmp_path / "p.jsonl"),
        **guided,
    )
    for name in ("preview", "hygiene/holdout"):
        assert set(table(tmp_path / "private", name)["text"].to_pylist()) <= {None}
    assert document(tmp_path / "private")["preview"]["texts"] == 0
    assert "0-7" not in "".join(map(str, (tmp_path / "private" / "preview").iterdir()))


def test_of_a_large_source_a_part_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in range(6):
        write_texts(tmp_path / "s" / f"{file}.jsonl", 40, seed=file)
    read: list[str] = []
    contents_of = JsonLinesSource.contents

    def watched(source: JsonLinesSource, chunks: list[Chunk], *rest: Any) -> Iterator[Any]:
        read.extend(chunk.file for chunk in chunks)
        return contents_of(source, chunks, *rest)

    monkeypatch.setattr(JsonLinesSource, "contents", watched)
    monkeypatch.setitem(contents.READ_ROWS, "text", 100)
    run(tmp_path / "s", tmp_path / "m", text="text", subsets=1, neighbours=0)
    assert len(read) == len(set(read)) == 2
    rows, examples = table(tmp_path / "m", "preview"), table(tmp_path / "m", "examples")
    files = {row["index"]: row["source_file"] for row in examples.to_pylist()}
    shown = {files[row["index"]] for row in rows.to_pylist() if row["text"] is not None}
    assert shown == set(read)
    assert document(tmp_path / "m")["preview"]["texts"] == 80
    assert len(rows) == 240  # on the map they all are
    assert validate(tmp_path / "m").problems == []
    read.clear()
    monkeypatch.setitem(contents.READ_ROWS, "text", 1)  # one chunk at least
    run(tmp_path / "s", tmp_path / "one", text="text", subsets=1, neighbours=0)
    assert len(read) == 1


def test_contents_are_read_within_the_bounds_of_the_job(tmp_path: Path) -> None:
    (tmp_path / "i").mkdir()
    draw = np.random.default_rng(0)
    for row in range(12):
        side = 64 if row == 3 else 8
        Image.fromarray(draw.integers(0, 255, (side, side, 3), np.uint8)).save(tmp_path / "i" / f"{row}.png")
    images = [{"bytes": None, "path": f"i/{row}.png"} for row in range(12)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"image": pa.array(images, kind), "label": list("ab" * 6)}
    pq.write_table(pa.table(columns), tmp_path / "d.parquet")
    options = {"image": "image", "label": "label", "encoder": "toy_encoder:pixels", "embedding": None}
    bounds = {"max_image_bytes": 2000, "max_reject_rate": 0.5}
    run(tmp_path / "d.parquet", tmp_path / "m", subsets=1, neighbours=2, **options, **bounds)
    about = document(tmp_path / "m")
    assert (about["counts"]["rejected"], about["preview"]["thumbnails"]) == (1, 11)


def test_an_image_that_changes_before_the_commit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for row in range(8):
        (tmp_path / "s" / "a").mkdir(parents=True, exist_ok=True)
        Image.new("L", (9, 9), row * 9).save(tmp_path / "s" / "a" / f"{row}.png")
    read = contents._contents

    def changed(*arguments: object) -> object:
        Image.new("L", (9, 9), 255).save(tmp_path / "s" / "a" / "5.png")
        return read(*arguments)

    monkeypatch.setattr(contents, "_contents", changed)
    options = {"image": "image", "label": "folder", "encoder": "toy_encoder:pixels", "embedding": None}
    with pytest.raises(UserError, match=r"a/5\.png: row 0 has changed since it was encoded"):
        run(tmp_path / "s", tmp_path / "m", fraction=0.5, subsets=1, neighbours=0, **options)
    assert not (tmp_path / "m" / "manifest.json").exists()


def test_thumbnails_are_small_bounded_and_of_the_right_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(0)
    for row in range(60):
        pixels = np.full((90, 120, 3), row * 4, np.uint8)
        pixels[:8] = draw.integers(0, 255, 3)
        folder = tmp_path / "s" / f"class {row % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{row:03d}.png")
    monkeypatch.setattr(contents, "MOST_IMAGES", 50)
    opened: list[str] = []
    read = ImageFolderSource._image

    def watched(source: ImageFolderSource, file: str, most: int) -> object:
        opened.append(file)
        return read(source, file, most)

    monkeypatch.setattr(ImageFolderSource, "_image", watched)
    options = {"image": "image", "label": "folder", "encoder": "toy_encoder:pixels", "embedding": None}
    run(tmp_path / "s", tmp_path / "m", subsets=1, neighbours=2, **options)
    assert validate(tmp_path / "m").problems == []
    # Twice for the plan and the vectors of all, and once more only for those that are kept.
    assert len(opened) == 60 + 60 + 50
    rows, examples = table(tmp_path / "m", "preview"), table(tmp_path / "m", "examples")
    kept = [(row, data) for row, data in enumerate(rows["thumbnail"].to_pylist()) if data is not None]
    assert len(kept) == document(tmp_path / "m")["preview"]["thumbnails"] == 50
    for row, data in kept:
        image = Image.open(io.BytesIO(data))
        assert (image.format, image.size) == ("WEBP", (64, 48))
        number = int(examples["source_file"][row].as_py()[-7:-4])
        assert abs(int(np.asarray(image.convert("L"))[-8:].mean()) - number * 4) <= 3
    total = sum(len(data) for _, data in kept)
    monkeypatch.setattr(contents, "THUMBNAIL_BYTES", total // 2)
    run(
        tmp_path / "s",
        tmp_path / "few",
        subsets=1,
        neighbours=2,
        work_dir=str(tmp_path / "m.work"),
        **options,
    )
    fewer = [data for data in table(tmp_path / "few", "preview")["thumbnail"].to_pylist() if data is not None]
    assert 20 <= len(fewer) < 30
    assert sum(map(len, fewer)) <= total // 2
