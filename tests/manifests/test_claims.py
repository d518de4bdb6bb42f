"""What is there stays: a manifest that two jobs write, one that appears meanwhile, an exported file."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from job_sources import digests, write_embeddings
from jobs import run
from small_manifest import write_small_manifest

from syllabus.manifests import Manifest, ManifestError, ManifestWriter, Store, export, schema, validate
from syllabus.pipeline import UserError


@pytest.mark.parametrize("overwrite", [False, True])
def test_two_writers_at_one_place(tmp_path, overwrite):
    def begin_twice():
        with ManifestWriter(tmp_path / "m") as first:
            first.table(schema.REJECTS).close()
            files = sorted((tmp_path / "m").rglob("*"))
            assert len(files) == 2
            with pytest.raises(ManifestError) as error, ManifestWriter(tmp_path / "m", overwrite):
                pass
            line = f"{tmp_path}/m: another job is writing a manifest there; nothing was touched"
            assert str(error.value) == line
            assert sorted((tmp_path / "m").rglob("*")) == files
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        begin_twice()
    # It has let go.
    write_small_manifest(tmp_path / "m", n=20)
    assert validate(tmp_path / "m").problems == []


def test_a_writer_that_was_killed_holds_nothing(tmp_path):
    code = (
        "import sys, time\nfrom syllabus.manifests import ManifestWriter\n"
        "with ManifestWriter(sys.argv[1]):\n    print('there', flush=True)\n    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path / "m"], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"there\n"
        with pytest.raises(ManifestError, match="another job is writing"), ManifestWriter(tmp_path / "m"):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    write_small_manifest(tmp_path / "m", n=20)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("links", [True, False])
def test_a_manifest_that_appeared_meanwhile_stays(tmp_path, monkeypatch, overwrite, links):
    """As where the other job runs on another machine, and its filesystem knows no locks."""
    theirs = digests_of(write_small_manifest(tmp_path / "theirs", n=20, seed=1))

    def appear():
        for path in sorted(Path(tmp_path / "theirs").rglob("*.*")):
            target = tmp_path / "m" / path.relative_to(tmp_path / "theirs")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())

    if not links:
        monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no links")))
    if overwrite:
        write_small_manifest(tmp_path / "m", n=30)
    write = Store.write
    monkeypatch.setattr(Store, "write", lambda self, *given, **more: (appear(), write(self, *given, **more)))
    with pytest.raises(ManifestError) as error:
        write_small_manifest(tmp_path / "m", n=20, seed=2, overwrite=overwrite)
    assert "another job has committed a manifest there since this one began writing" in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert digests_of(Manifest.open(tmp_path / "m")) == theirs


def digests_of(manifest):
    return digests(Path(manifest.location))


def test_object_stores_are_looked_at_before_the_write():
    store = Store("mock:///m")
    store.write("a", b"1", new=True)
    with pytest.raises(FileExistsError):
        store.write("a", b"2", new=True)
    assert store.read("a") == b"1"
    store.write("a", b"3")
    assert store.read("a") == b"3"


def test_a_job_whose_place_was_taken_says_so_in_one_line(tmp_path, monkeypatch):
    write_embeddings(tmp_path / "a.parquet", 100)
    options = {"subsets": 1, "importance": (), "order": "none", "work_dir": str(tmp_path / "w")}
    commit = ManifestWriter.commit

    def second(self, description):
        monkeypatch.setattr(ManifestWriter, "commit", commit)
        with pytest.raises(UserError, match="another job is writing a manifest there; nothing was touched"):
            run(tmp_path / "a.parquet", tmp_path / "m", seed=2, **options)
        return commit(self, description)

    monkeypatch.setattr(ManifestWriter, "commit", second)
    run(tmp_path / "a.parquet", tmp_path / "m", seed=1, **options)
    assert validate(tmp_path / "m").problems == []
    assert Manifest.open(tmp_path / "m").description["options"]["seed"] == 1


def test_an_exported_file_is_replaced_only_when_asked(tmp_path):
    manifest = write_small_manifest(tmp_path / "m", n=20, fractions=(1.0,))
    (tmp_path / "ids.txt").write_text("mine")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ManifestError, match=r"ids.txt: is there already; give another, or --overwrite"):
        export(manifest, 1.0, 0, "txt", tmp_path / "ids.txt")
    assert (tmp_path / "ids.txt").read_text() == "mine"
    for overwrite in (False, True):
        with pytest.raises(ManifestError, match="folder: is there already, and is no file"):
            export(manifest, 1.0, 0, "txt", tmp_path / "folder", overwrite=overwrite)
    export(manifest, 1.0, 0, "txt", tmp_path / "ids.txt", overwrite=True)
    assert len((tmp_path / "ids.txt").read_text().splitlines()) == 20
