"""A manifest that is overwritten: the old one or the new one is there, whole, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import re
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from replaced import before_the_commit, beside, everything, overwrite
from small_manifest import write_small_manifest

from syllabus.manifests import (
    ManifestError,
    Store,
    replacement,
    storage,
    validate,
)
from syllabus.manifests.writing import commits

HELPERS = Path(__file__).parents[1] / "helpers"


@pytest.fixture
def new(tmp_path):
    """The bytes of the manifest that replaces another."""
    write_small_manifest(tmp_path / "new", seed=2, orders=("balance", "greedy"))
    return everything(tmp_path / "new")


@pytest.mark.parametrize("way", ["exchange", "renames"])
def test_a_kill_at_any_call_leaves_one_of_the_two_and_the_next_job_repairs(tmp_path, way):
    run = subprocess.run(
        [sys.executable, HELPERS / "killed_commits.py", tmp_path, way], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    moments, old, between, after = (int(word.rpartition("=")[2]) for word in run.stdout.split())
    assert old + between + after == moments + 1
    assert old > 10
    assert after > 10
    assert between == (way == "renames")


@pytest.mark.parametrize("exchanges", [True, False])
def test_the_new_manifest_takes_the_place_of_the_old_one(tmp_path, new, monkeypatch, exchanges):
    if not exchanges:
        monkeypatch.setattr(replacement, "_renameat2", lambda: None)
    target = tmp_path / "m"
    write_small_manifest(target, seed=1, importances=("radius", "other"))
    target.chmod(0o750)
    group = 12345 if os.geteuid() == 0 else target.stat().st_gid
    os.chown(target, -1, group)
    overwrite(target)
    assert everything(target) == new
    assert beside(target) == []
    assert target.stat().st_gid == group
    assert target.stat().st_mode & 0o777 == 0o750


def test_a_link_to_a_manifest_stays_one(tmp_path, new):
    write_small_manifest(tmp_path / "there" / "m", seed=1)
    (tmp_path / "link").symlink_to(tmp_path / "there" / "m")
    overwrite(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert everything(tmp_path / "there" / "m") == new
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["m"]


@contextmanager
def full_after(bytes_left, monkeypatch):
    """A disk that takes so many bytes more."""
    left = [bytes_left]
    publish = storage._publish

    def publishing(temporary, target, new):
        left[0] -= temporary.stat().st_size
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        publish(temporary, target, new)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "_publish", publishing)
        yield


@pytest.mark.parametrize("there", [False, True])
def test_a_file_that_takes_no_more_leaves_nothing_beside_the_old_manifest(tmp_path, there):
    """What Python still holds of it is written when it is closed, and fails once more."""
    target = tmp_path / "m"
    if there:
        write_small_manifest(target, seed=1)
    before = everything(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for most in (0, 3000, 5000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
        try:
            with pytest.raises(OSError, match="File too large"):
                write_small_manifest(target, n=3000, seed=2, overwrite=there)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert everything(tmp_path) == before
        assert beside(target) == []


@pytest.mark.parametrize("in_place", [False, True])
def test_a_disk_that_fills_leaves_the_old_manifest(tmp_path, new, monkeypatch, in_place):
    target = tmp_path / "m"
    write_small_manifest(target, seed=1)
    before = everything(target)
    if in_place:
        monkeypatch.setattr(replacement.os.path, "ismount", lambda _: True)
    size = sum(map(len, new.values()))
    for bytes_left in (0, size // 2, size * 4 // 5, size - 1):
        with full_after(bytes_left, monkeypatch), pytest.raises(OSError, match="No space left"):
            overwrite(target)
        assert everything(target) == before
        assert beside(target) == []
    assert validate(target).problems == []
    overwrite(target)
    assert validate(target).problems == []
    assert (everything(target) == new) == (not in_place)


def test_another_users_directory_in_a_sticky_one_is_not_renamed(tmp_path, monkeypatch):
    """Nobody but its owner may, as in /tmp: the parts go into it, and nothing fails at the end."""
    target = tmp_path / "m"
    write_small_manifest(target, seed=1)
    monkeypatch.setattr(replacement.os, "geteuid", lambda: tmp_path.stat().st_uid + 4711)
    replacement.make_beside(target).rmdir()
    tmp_path.chmod(0o1777)
    with pytest.raises(PermissionError):
        replacement.make_beside(target)
    assert beside(target) == []
    overwrite(target)
    assert validate(target).problems == []


def test_where_nothing_can_lie_beside_it_parts_have_their_content_in_their_names(tmp_path, new, monkeypatch):
    target = tmp_path / "m"
    write_small_manifest(target, seed=1)
    make = replacement.make_beside
    for problem in (PermissionError(errno.EACCES, "denied"), OSError(errno.EROFS, "read-only")):
        monkeypatch.setattr(commits, "make_beside", lambda _, problem=problem: (_ for _ in ()).throw(problem))
        overwrite(target)
        assert validate(target).problems == []
        plain = {re.sub(r"-[0-9a-f]{16}", "", path): content for path, content in everything(target).items()}
        assert plain.keys() == new.keys()
        assert {**plain, "manifest.json": b""} == {**new, "manifest.json": b""}
        assert len([path for path in everything(target) if re.search(r"-[0-9a-f]{16}", path)]) == len(new) - 1
    first = everything(target)
    overwrite(target)
    assert everything(target) == first
    # Where it can again, the names are the usual ones.
    monkeypatch.setattr(commits, "make_beside", make)
    overwrite(target)
    assert everything(target) == new


def test_a_rename_that_fails_is_one_line_and_changes_nothing(tmp_path, monkeypatch):
    target = tmp_path / "m"
    write_small_manifest(target, seed=1)
    before = everything(target)
    monkeypatch.setattr(replacement, "_renameat2", lambda: None)
    rename, calls = Path.rename, []

    def second_fails(self, to):
        calls.append(to)
        if len(calls) == 2:
            raise OSError(errno.EBUSY, "Device or resource busy")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(ManifestError) as error:
        overwrite(target)
    assert str(error.value).endswith(
        "m: cannot be replaced: [Errno 16] Device or resource busy; it is as it was"
    )
    assert everything(target) == before
    assert beside(target) == []


def test_object_stores_keep_the_old_parts_until_the_document_is_replaced(monkeypatch):
    store = Store("mock:///bucket/m")
    old = write_small_manifest(store, seed=1)
    held = {path: store.read(path) for path in store.files()}
    write, seen = Store.write, []

    def written(self, path, content, new=False):
        seen.append(set(self.files()))
        assert all(self.read(each) == before for each, before in held.items())
        if len(seen) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, path, content, new)

    monkeypatch.setattr(Store, "write", written)
    with pytest.raises(OSError, match="No space"):
        overwrite(store)
    assert {path: store.read(path) for path in store.files()} == held
    made = overwrite(store)
    assert len(seen) == 2
    assert seen[0] == seen[1] > set(held)
    assert set(store.files()) == {"manifest.json", *(entry["path"] for entry in made.description["files"])}
    assert validate(store).problems == []
    # Whoever opened the old one reads it or nothing.
    with pytest.raises(ManifestError, match="cannot be read"):
        old.subset(0.1, 0)


def test_two_jobs_on_an_object_store_do_not_mix(monkeypatch):
    store, others = Store("mock:///bucket/m"), Store("mock:///bucket/m")
    write_small_manifest(others, seed=5)
    theirs = {path: others.read(path) for path in others.files()}
    before_the_commit(monkeypatch, lambda: [store.write(*file) for file in theirs.items()])
    with pytest.raises(ManifestError, match="another job has committed a manifest there since"):
        write_small_manifest(store, seed=2)
    assert {path: store.read(path) for path in store.files()} == theirs
    assert validate(store).problems == []
