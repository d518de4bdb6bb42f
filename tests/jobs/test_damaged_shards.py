"""Damage to the work directory of a job: named, made again, and never in a manifest."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from job_sources import digests, write_embeddings
from rich.console import Console

from syllabus.manifests import validate
from syllabus.pipeline import JobError, Options, prepare
from syllabus.pipeline.stages.neighbours import stage as neighbours
from syllabus.pipeline.work_directory import WorkDirectory

FEW = {"fraction": (0.2,), "subsets": 1, "importance": ("disparity_min",), "neighbours": 3}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished job: the source, the manifest m and the work directory w."""
    folder = tmp_path_factory.mktemp("made")
    for number in range(2):
        write_embeddings(folder / "source" / f"{number}.parquet", 90, seed=number, dimension=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "EXACT_ROWS", 100)  # by lists
        patch.setattr(neighbours.NeighbourGraph, "discard_routed", lambda _: None)
        assert rerun(folder, folder) == ""
    return folder


def rerun(made: Path, place: Path, **options: object) -> str:
    """Run the job at a place; return the lines of warning."""
    given = {"source": str(made / "source"), "output": str(place / "m"), "work_dir": str(place / "w")}
    said = io.StringIO()
    kept = {**FEW, **given, "embedding": "vector", "label": "label", **options}
    prepare(Options.model_validate(kept), Console(file=said, width=80))
    return "".join(line for line in said.getvalue().splitlines(True) if line.startswith("warning"))


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the work directory."""
    monkeypatch.setattr(neighbours, "EXACT_ROWS", 100)
    shutil.copytree(made / "w", tmp_path / "w")
    return tmp_path


def flip(path: Path) -> None:
    """Change a byte of the rows, which only whoever reads them finds."""
    content = bytearray(path.read_bytes())
    content[20] ^= 4
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("stage", "damage", "removed"),
    [
        ("embed", flip, ""),
        ("rows", cut, ""),
        ("census", flip, ""),
        ("cells", flip, "neighbours"),
        ("coarse", flip, ""),
        ("joins", flip, ""),
        ("joins", remove, ""),
        ("neighbours", empty, ""),
        ("cover", flip, ""),
        ("regroup", flip, "order"),
        ("ranking", cut, ""),
        ("order", flip, ""),
    ],
)
def test_what_is_damaged_is_named_and_made_again(
    made: Path, place: Path, stage: str, damage: Callable[[Path], None], removed: str
) -> None:
    """Two shards of a stage; `removed` is the stage that is made of it, where nothing else reads it."""
    if removed:
        shutil.rmtree(place / "w" / removed)
    # Not the elements of work of covers, nor rows as they were routed: nobody reads these again.
    shards = sorted(path for path in (place / "w" / stage).glob("*/*") if not path.name.startswith("p"))
    if stage == "cells":
        shards.remove(max(shards, key=lambda path: path.stat().st_size))
    for shard in (shards := shards[-2:]):
        damage(shard)
    said = rerun(made, place)
    assert digests(place / "m") == digests(made / "m")
    assert validate(place / "m").ok
    named = {shard for shard in shards if f"{shard}: is " in said}
    assert named == set(shards)
    assert said.count("it is made again") == said.count("warning:") >= len(named)
    # Nothing is left to be found.
    shutil.rmtree(place / "m")
    assert rerun(made, place) == ""
    assert digests(place / "m") == digests(made / "m")


def test_two_swapped_shards_are_told_apart(made: Path, place: Path) -> None:
    first, second = sorted((place / "w" / "embed").glob("*/*"))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    assert len(content) == second.stat().st_size == first.stat().st_size
    said = rerun(made, place, workers=2)
    for shard, other in ((first, second), (second, first)):
        assert f"{shard}: is damaged: it is the shard embed/{other.stem}; it is made again" in said
    assert digests(place / "m") == digests(made / "m")


def test_the_shards_of_an_older_version_are_not_looked_at(made: Path, place: Path) -> None:
    work = WorkDirectory(str(place / "w"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("syllabus.pipeline.work_directory.FORMAT", 0)
        assert rerun(made, place) == ""
    assert len(work.keys("embed")) == 4
    assert digests(place / "m") == digests(made / "m")


def test_a_disk_that_damages_what_it_is_given_ends_the_job(
    made: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(place / "w" / "census")
    write = WorkDirectory.write_json

    def damaging(work: WorkDirectory, stage: str, key: str, value: object) -> None:
        write(work, stage, key, value)
        flip(Path(work.store.url(work.path(stage, key, ".json"))))

    monkeypatch.setattr(WorkDirectory, "write_json", damaging)
    rerun(made, place)  # what was just made is not read
    shutil.rmtree(place / "m")
    assert "census" in rerun(made, place)
    shutil.rmtree(place / "m")
    monkeypatch.setattr(WorkDirectory, "has", lambda *_: True)
    with pytest.raises(JobError, match=r"census/.*, again after it was made again: see to its disk"):
        rerun(made, place)


def test_positions_from_a_shard_are_no_addresses(made: Path, place: Path) -> None:
    """A shard is sound by its digests, and yet wrong: no compiled loop is handed its numbers."""
    work = WorkDirectory(str(place / "w"))
    key = max(work.keys("joins"), key=lambda each: work.read("joins", each).num_rows)
    joined = work.read("joins", key)
    table = pa.Table.from_pydict({"position": [2**40], "root": [0]}, schema=joined.schema)
    work.write("joins", key, table)
    said = rerun(made, place)
    assert f"{key}.parquet: is damaged: positions are 1,099,511,627,776 to" in said
    assert digests(place / "m") == digests(made / "m")
