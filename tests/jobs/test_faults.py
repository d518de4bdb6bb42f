"""Faults of a worker: the error is one line that names the unit, and the rerun makes what is missing."""

from __future__ import annotations

import errno
from pathlib import Path

import pyarrow as pa
import pytest
from job_sources import digests, write_parts
from jobs import run

from syllabus.manifests.storage import Store
from syllabus.pipeline import JobError, UserError
from syllabus.pipeline.stages import embed
from syllabus.pipeline.stages.select import stage as select

FILES, ROWS = 4, 200
FEW = {"subsets": 2, "neighbours": 0}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_parts(tmp_path_factory.mktemp("source"), FILES, ROWS)


@pytest.fixture(scope="module")
def expected(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    output = tmp_path_factory.mktemp("expected") / "m"
    run(source, output, **FEW)
    return digests(output)


def test_a_disk_that_cannot_read_one_file_is_told_by_the_file(
    source: Path, expected: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Store.open

    class Failing:
        closed = False

        def __init__(self, file: pa.NativeFile) -> None:
            self.file = file

        def read(self, size: int = -1) -> bytes:
            if self.file.tell() < self.file.size() // 2:  # the plan reads the footer, which is sound
                raise OSError(errno.EIO, "Input/output error")
            return self.file.read(size)

        def __getattr__(self, name: str) -> object:
            return getattr(self.file, name)

    def failing(self: Store, relative: str) -> pa.NativeFile:
        file = opened(self, relative)
        return pa.PythonFile(Failing(file), "r") if relative == "part-2.parquet" else file

    with monkeypatch.context() as patch:
        patch.setattr(Store, "open", failing)
        with pytest.raises((UserError, JobError), match=r"part-2\.parquet.*Input/output error") as told:
            run(source, tmp_path / "m", **FEW)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "m").exists()
    run(source, tmp_path / "m", **FEW)
    assert digests(tmp_path / "m") == expected


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_without_memory_names_its_rows(
    source: Path, expected: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    encode, left = embed.encode_records, [2]

    def starved(*arguments: object) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise MemoryError
        return encode(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(embed, "encode_records", starved)
        line = r"^embed: part-\d\.parquet, rows 0 to 199: MemoryError; finished shards are kept in "
        with pytest.raises(JobError, match=line):
            run(source, tmp_path / "m", **FEW, workers=workers)
    again = run(source, tmp_path / "m", **FEW)
    # What was finished before is not made again.
    assert {stage.stage: stage.reused for stage in again.stages}["embed"] == 2 * ROWS
    assert digests(tmp_path / "m") == expected


def test_a_worker_without_memory_names_its_bucket(
    source: Path, expected: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def starved(*_: object) -> object:
        raise MemoryError("12.3 GB cannot be had")

    with monkeypatch.context() as patch:
        patch.setattr(select, "rank", starved)
        line = r"^select: partition '\d', bucket 0: MemoryError: 12\.3 GB cannot be had; finished shards"
        with pytest.raises(JobError, match=line):
            run(source, tmp_path / "m", **FEW)
    run(source, tmp_path / "m", **FEW)
    assert digests(tmp_path / "m") == expected
