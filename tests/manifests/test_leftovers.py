"""What killed jobs left beside a manifest, and what others put there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from replaced import before_the_commit, beside, everything, overwrite
from small_manifest import write_small_manifest

from syllabus.manifests import (
    Manifest,
    ManifestError,
    Store,
    repair_target,
    replacement,
    validate,
)
from syllabus.manifests.writing import commits


def test_what_killed_jobs_left_is_swept_and_nothing_else(tmp_path):
    target = tmp_path / "m"
    killed, foreign, held = (tmp_path / f".m.{token * 12}.new" for token in "abc")
    others = [
        tmp_path / name for name in (".m.new", ".m.abc.new", ".n.aaaaaaaaaaaa.new", ".m.aaaaaaaaaaaa.tmp")
    ]
    for folder in (killed, foreign, held, *others):
        (folder / "examples").mkdir(parents=True)
        (folder / "examples" / "part-00000.parquet").write_bytes(b"x")
        (folder / "examples" / ".part-00001.parquet.0a0b0c0d0e0f.tmp").write_bytes(b"x")
    (foreign / "examples" / "thesis.txt").write_text("mine")
    (tmp_path / ".m.dddddddddddd.new").symlink_to(others[0])
    with Store(held).locked():
        write_small_manifest(target)
    assert not killed.exists()
    assert (foreign / "examples" / "thesis.txt").read_text() == "mine"
    assert all((folder / "examples" / "part-00000.parquet").exists() for folder in (held, *others))
    assert (tmp_path / ".m.dddddddddddd.new").is_symlink()
    assert validate(target).problems == []
    assert validate(target).beside == (foreign.name, held.name)
    overwrite(target)
    assert not held.exists()


def test_an_interrupted_replacement_is_named_by_readers_and_ended_by_writers(tmp_path, monkeypatch):
    target = tmp_path / "m"
    write_small_manifest(target, seed=1)
    monkeypatch.setattr(replacement, "_exchange", lambda *_: False)
    rename = Path.rename

    class KillError(BaseException):
        """Nothing is cleared up any more."""

    def killed(self, to):
        if self.suffix == ".new":
            monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(KillError))
            monkeypatch.setattr(commits, "remove", lambda _: None)
            raise KillError
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KillError):
        overwrite(target)
    monkeypatch.undo()
    left = beside(target)
    assert [name[-4:] for name in left] == [".new", ".old"]
    (line,) = validate(target).problems
    with pytest.raises(ManifestError) as error:
        Manifest.open(target)
    for said in (line, str(error.value)):
        assert said.startswith(
            f"manifest.json: not found: the job that was replacing {target} ended between two"
        )
        assert str(tmp_path / left[1]) not in said
        assert str(tmp_path / left[0]) in said
    assert beside(target) == left
    with Store(tmp_path / left[0]).locked(), pytest.raises(ManifestError, match="another job is writing"):
        repair_target(target)
    repair_target(target)
    write_small_manifest(tmp_path / "new", seed=2, orders=("balance", "greedy"))
    assert everything(target) == everything(tmp_path / "new")
    repair_target(target)
    overwrite(target)
    assert beside(target) == []


def test_a_manifest_that_was_removed_does_not_come_back(tmp_path):
    """What a kill after the exchange leaves is the old manifest, whole, under the name of a new one."""
    target = tmp_path / "m"
    write_small_manifest(tmp_path / ".m.aaaaaaaaaaaa.new", seed=1)
    with pytest.raises(ManifestError, match="is no committed manifest"):
        Manifest.open(target)
    repair_target(target)
    assert not target.exists()
    write_small_manifest(target, seed=3)
    assert beside(target) == []


def test_files_of_others_that_came_meanwhile_stay(tmp_path, monkeypatch):
    target = tmp_path / "m"
    write_small_manifest(target, seed=1)
    before = everything(target)
    before_the_commit(monkeypatch, lambda: (target / "thesis.txt").write_text("mine"))
    with pytest.raises(ManifestError, match=r"1 files there .*thesis\.txt.*nothing was touched"):
        overwrite(target)
    assert everything(target) == {**before, "thesis.txt": b"mine"}


@pytest.mark.parametrize("name", ["examples", "orders", "manifest.json", "fifo"])
def test_links_to_directories_pipes_and_folders_in_a_files_place_are_foreign(tmp_path, name):
    target = tmp_path / "m"
    write_small_manifest(target, seed=1)
    if name == "fifo":
        name = "rejects/part-00001.parquet"
        os.mkfifo(target / name)
    elif name == "manifest.json":
        (target / name).unlink()
        (target / name).mkdir()
    else:
        (target / name).rename(tmp_path / name)
        (target / name).symlink_to(tmp_path / name)
    before = everything(tmp_path)
    with pytest.raises(ManifestError, match=f"1 files there are no part of a manifest .{name}.; nothing was"):
        overwrite(target)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("location", ["local", "mock"])
def test_a_part_that_another_job_cleared_is_not_committed(tmp_path, monkeypatch, location):
    store = Store(tmp_path / "m") if location == "local" else Store("mock:///bucket/m")
    publish = commits.Commit._check_parts

    def cleared(self, files):
        self.store.delete(files[0]["path"])
        publish(self, files)

    monkeypatch.setattr(commits.Commit, "_check_parts", cleared)
    with pytest.raises(ManifestError, match="was removed or changed since it was written: another job"):
        write_small_manifest(store, seed=2)
    assert store.files() == {}
