"""Files that appear whole or not at all: on the disk before they have their name, and then in one step."""

from __future__ import annotations

import os

import pytest

from syllabus.manifests import Store, storage
from syllabus.manifests.locations import parent_and_name, with_suffix


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("new", [False, True])
def test_content_is_on_the_disk_before_the_file_has_its_name(tmp_path, monkeypatch, new):
    """And on no other way: the name is never one of a file that is still being written."""
    target, events = tmp_path / "a", []
    if not new:
        target.write_bytes(b"old")
    sync, publish = os.fsync, storage._publish

    def synced(descriptor):
        status = os.fstat(descriptor)
        events.append(("sync", status.st_ino, status.st_size))
        sync(descriptor)

    def published(temporary, place, must_be_new):
        assert (target.read_bytes() == b"old") if not new else not target.exists()
        status = temporary.stat()
        events.append(("publish", status.st_ino, status.st_size))
        publish(temporary, place, must_be_new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(storage, "_publish", published)
    Store(tmp_path).write("a", b"content", new=new)
    written = target.stat()
    assert events == [("sync", written.st_ino, 7), ("publish", written.st_ino, 7)]
    assert target.read_bytes() == b"content"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_before_or_at_the_rename_leaves_the_old_file_or_none(tmp_path, monkeypatch, there, call):
    if there:
        (tmp_path / "a").write_bytes(b"old")

    def fails(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os if call == "fsync" else storage.Path, call, fails)
    with pytest.raises(OSError, match="Input/output error"):
        Store(tmp_path).write("a", b"content")
    assert names(tmp_path) == (["a"] if there else [])
    assert not there or (tmp_path / "a").read_bytes() == b"old"


def test_whoever_has_a_file_open_keeps_what_it_was(tmp_path):
    store = Store(tmp_path)
    store.write("a", b"old")
    with store.open("a") as held:
        store.write("a", b"newer")
        assert held.read() == b"old"
    assert store.read("a") == b"newer"


def test_an_exception_while_writing_is_told_even_if_nothing_can_be_cleared(tmp_path, monkeypatch):
    def refuses(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(storage.Path, "unlink", refuses)

    def fail():
        with Store(tmp_path).writing("a") as sink:
            sink.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("location", ["local", "mock"])
def test_a_file_may_get_its_name_when_all_is_written(tmp_path, location):
    store = Store(tmp_path) if location == "local" else Store("mock:///b")
    held = []
    with store.writing("folder/a", named=lambda: f"folder/a-{len(held[0])}") as sink:
        sink.write(b"12345")
        held.append(b"12345")
    assert store.files() == {"folder/a-5": 5}
    assert store.sizes(["folder/a", "folder/a-5", "folder", "folder/a-5/x"]) == {"folder/a-5": 5}


def test_what_is_no_regular_file_is_not_waited_for(tmp_path):
    store = Store(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(OSError, match="is no regular file"):
            store.read(name)
        with pytest.raises(OSError, match="is no regular file"):
            storage.sha256_of(store, name)
    assert store.sizes(["pipe", "folder"]) == {}


def test_a_lock_is_of_the_directory_that_has_the_name(tmp_path, monkeypatch):
    """Another one may take its name between opening it and locking it."""
    place = tmp_path / "m"
    place.mkdir()
    lock = storage.fcntl.flock

    def replaced(descriptor, operation):
        place.rename(tmp_path / "aside")
        place.mkdir()
        lock(descriptor, operation)

    monkeypatch.setattr(storage.fcntl, "flock", replaced)
    with pytest.raises(BlockingIOError, match="was replaced"), Store(place).locked():
        pass


def test_what_follows_the_path_of_a_url_stays_behind_it() -> None:
    url = "s3://bucket/a/m.csv?endpoint_override=http://127.0.0.1:5555/"
    assert parent_and_name(url) == ("s3://bucket/a?endpoint_override=http://127.0.0.1:5555/", "m.csv")
    assert parent_and_name("s3://bucket/a") == ("s3://bucket", "a")
    assert parent_and_name("/m") == ("/", "m")
    assert parent_and_name("/a?/m?") == ("/a?", "m?")
    assert with_suffix("s3://bucket/m/?region=x", ".work") == "s3://bucket/m.work?region=x"
    assert with_suffix("/a/m?", ".work") == "/a/m?.work"
