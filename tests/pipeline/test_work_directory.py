"""Shards of the work directory: their keys, their columns of vectors, and whole or not there."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syllabus.pipeline.errors import JobError, ShardError
from syllabus.pipeline.work_directory import VERSIONS, WorkDirectory, key_of, vectors_column, vectors_of


@given(rows=st.integers(0, 40), width=st.integers(1, 9), cut=st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_vectors_survive_their_column(rows: int, width: int, cut: int) -> None:
    vectors = np.random.default_rng(rows).standard_normal((rows, width)).astype(np.float32)
    column = vectors_column(vectors)
    assert np.array_equal(vectors_of(pa.chunked_array([column])), vectors)
    parts = [column.slice(0, cut), column.slice(cut)]
    assert np.array_equal(vectors_of(pa.chunked_array(parts)), vectors)
    assert np.array_equal(vectors_of(pa.chunked_array([column.slice(cut)])), vectors[cut:])


def test_a_shard_is_whole_or_not_there(tmp_path: Path) -> None:
    work = WorkDirectory(str(tmp_path))
    key = key_of("fit", a=1)
    table = pa.table({"x": [1, 2]})

    def broken() -> None:
        with work.writer("fit", key, table.schema) as writer:
            writer.write(table)
            raise KeyError("in the middle")

    with pytest.raises(KeyError):
        broken()
    assert not work.has("fit", key)
    assert work.store.files() == {}
    work.write("fit", key, table, {"note": 1})
    assert work.keys("fit") == {key}
    assert work.read("fit", key).equals(table)
    assert work.metadata("fit", key) == {"note": 1}


def test_a_key_says_everything_that_it_was_made_from() -> None:
    keys = {key_of("fit", a=1, b=2), key_of("fit", a=1, b=3), key_of("fit", a=1), key_of("order", a=1, b=2)}
    assert len(keys) == 4
    assert key_of("fit", b=2, a=1) == key_of("fit", a=1, b=2)
    before = key_of("fit", a=1)
    VERSIONS["fit"] += 1
    try:
        assert key_of("fit", a=1) != before
    finally:
        VERSIONS["fit"] -= 1


@pytest.fixture
def work(tmp_path: Path) -> WorkDirectory:
    """Two shards of a stage, of the same size, and a note."""
    made = WorkDirectory(str(tmp_path / "w"))
    for number in range(2):
        made.write("fit", KEYS[number], pa.table({"x": np.arange(50) + number}), {"number": number})
    made.write_json("census", KEYS[0], {"accepted": 3, "share": 0.1, "none": None})
    return made


KEYS = [key_of("fit", number=number) for number in range(2)]


def place(work: WorkDirectory, number: int = 0) -> Path:
    return Path(work.store.url(work.path("fit", KEYS[number])))


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "is damaged: it is empty": lambda path: path.write_bytes(b""),
    "is damaged: it has no end": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "is damaged: it is longer or shorter": lambda path: path.write_bytes(path.read_bytes()[4:]),
    "is damaged: bytes 0 to .* are not what was written": lambda path: path.write_bytes(
        path.read_bytes()[:40] + b"?" + path.read_bytes()[41:]
    ),
    "is damaged: it is no file": pipe,
    "is damaged: it is no file ": directory,
    "is not there any more": Path.unlink,
}


@pytest.mark.parametrize("said", DAMAGE)
def test_a_damaged_shard_is_named_and_out_of_the_way(work: WorkDirectory, said: str) -> None:
    DAMAGE[said](place(work))
    with pytest.raises(ShardError, match=f"{KEYS[0]}.parquet: {said.strip()}"):
        work.read("fit", KEYS[0])
    assert not place(work).exists()
    assert not work.has("fit", KEYS[0])
    assert work.keys("fit") == {KEYS[1]}
    work.write("fit", KEYS[0], pa.table({"x": [1]}))
    assert work.read("fit", KEYS[0]).column("x").to_pylist() == [1]


def test_a_footer_alone_tells_what_belongs_elsewhere(work: WorkDirectory) -> None:
    first, second = place(work, 0), place(work, 1)
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    for number, read in ((0, work.check), (1, work.metadata)):
        with pytest.raises(ShardError, match=f"is damaged: it is the shard fit/{KEYS[1 - number]}"):
            read("fit", KEYS[number])
    assert work.keys("fit") == set()


def test_a_shard_of_plain_parquet_is_none(work: WorkDirectory) -> None:
    pq.write_table(pa.table({"x": [1]}), place(work))
    with pytest.raises(ShardError, match="is damaged"):
        work.check("fit", KEYS[0])


def test_what_lies_in_the_place_of_a_shard_is_no_shard(work: WorkDirectory) -> None:
    for make in (pipe, directory):
        make(place(work))
        assert not work.has("fit", KEYS[0])
        assert work.keys("fit") == {KEYS[1]}
        work.write("fit", KEYS[0], pa.table({"x": [1]}))
        assert work.has("fit", KEYS[0])
    directory(place(work))
    (place(work) / "thesis.txt").write_text("of somebody")
    with pytest.raises(JobError, match="is damaged: it is no file; cannot be removed") as refused:
        work.read("fit", KEYS[0])
    assert not isinstance(refused.value, ShardError)
    assert (place(work) / "thesis.txt").exists()


def test_what_cannot_be_read_is_not_removed(work: WorkDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(type(work.store), "open", refuse)
        with pytest.raises(JobError, match=rf"{KEYS[0]}.parquet: cannot be read: .*Permission denied"):
            work.read("fit", KEYS[0])
    assert work.metadata("fit", KEYS[0]) == {"number": 0}
    folder = Path(work.store.url("fit"))
    shutil.rmtree(folder)
    folder.write_text("a file")
    with pytest.raises(JobError, match="fit: cannot be read"):
        work.keys("fit")


CHANGES = {
    "3": "4",
    "census/": "fit/",
    '"value"': '"other"',
    "0.1": "\udcff",
    "}}": "}",
    "{": "[" * 100_000,
}


@pytest.mark.parametrize("before", CHANGES)
def test_a_note_is_checked_as_a_shard_is(work: WorkDirectory, before: str) -> None:
    path = Path(work.store.url(work.path("census", KEYS[0], ".json")))
    assert work.read_json("census", KEYS[0]) == {"accepted": 3, "share": 0.1, "none": None}
    path.write_text(path.read_text().replace(before, CHANGES[before]), errors="surrogateescape")
    with pytest.raises(ShardError, match=f"{KEYS[0]}.json: is damaged"):
        work.read_json("census", KEYS[0])
    assert not work.has("census", KEYS[0], ".json")
