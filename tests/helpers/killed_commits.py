"""Commits killed at every call of the system in turn, each in a process of its own, and repaired by the next.

Run as a program: `python killed_commits.py FOLDER exchange|renames`. Prints how many moments there were, and
the states that were found after them.
"""

import os
import sys
from collections import Counter
from pathlib import Path

from syllabus.manifests import ManifestWriter, NoManifestError, Store, replacement
from syllabus.manifests.reading.opening import read_document
from syllabus.manifests.writing.commits import begin

EVENTS = {"open", "os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.scandir"}
PARTS = ("examples/part-00000.parquet", "orders/herding/part-00000.parquet")


def commit(target: Path, word: bytes) -> None:
    """Replace what is at `target` by parts and a document that hold `word`."""
    with begin(Store(target), overwrite=True) as way:
        for path in PARTS:
            way.store.write(path, word)
        way.publish(b"document " + word, [{"path": path, "bytes": len(word)} for path in PARTS])


def kill_at(moment: int) -> None:
    """End this process, without a word, at the call of that number."""
    counted = iter(range(moment))

    def hook(event: str, _: object) -> None:
        if event in EVENTS and next(counted, None) is None:
            os._exit(9)

    sys.addaudithook(hook)


def content(target: Path) -> set[bytes]:
    """The words of the parts and of the document; all one where the manifest is whole."""
    files = [target / path for path in (*PARTS, "manifest.json")]
    return {file.read_bytes().removeprefix(b"document ") if file.exists() else b"nothing" for file in files}


def main(folder: Path, way: str) -> None:
    if way == "renames":
        replacement._exchange = lambda *_: False
    target, states = folder / "m", Counter()
    (folder / ".m.0123456789ab.new").mkdir()
    (folder / ".m.0123456789ab.new" / "thesis.txt").write_text("mine")
    (folder / ".m.notes.new").mkdir()
    moment, old = 0, b"0"
    ManifestWriter, Store(folder).sizes([])  # imported before the count begins
    commit(target, old)
    while True:
        new = b"%d" % (moment + 1)
        child = os.fork()
        if not child:
            kill_at(moment)
            commit(target, new)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        found = content(target)
        staged = replacement.interrupted(target)
        if found in ({old}, {new}):
            states["new" if found == {new} else "old"] += 1
            assert staged is None
        else:
            # Nothing is there, for a moment: readers say so, and change nothing.
            assert way == "renames", (moment, found)
            assert found == {b"nothing"}, (moment, found)
            assert content(staged) == {new}
            before = sorted(folder.rglob("*"))
            try:
                read_document(Store(target))
            except NoManifestError as error:
                assert "between two renames" in str(error), error  # noqa: PT017
            assert sorted(folder.rglob("*")) == before
            states["between"] += 1
        if status == 0:
            break
        assert status == 9, status
        old = b"again %d" % moment
        commit(target, old)
        assert content(target) == {old}
        left = {path.name for path in folder.iterdir()} - {"m"}
        assert left == {".m.0123456789ab.new", ".m.notes.new"}, (moment, left)
        moment += 1
    assert (folder / ".m.0123456789ab.new" / "thesis.txt").read_text() == "mine"
    assert content(target) == {new}
    print(moment, *(f"{name}={states[name]}" for name in ("old", "between", "new")))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
