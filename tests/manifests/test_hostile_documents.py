"""A manifest.json with a right digest that no writer would write, files that are none, manifests replaced."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil

import pytest
from damaged_manifest import edit, the_problem
from small_manifest import write_small_manifest

from syllabus.manifests import Manifest, ManifestError, Store, read_sketches, schema, validate
from syllabus.manifests.format.document import DEPTH, DIGEST_KEY
from syllabus.manifests.reading import opening


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "m"
    write_small_manifest(root, n=60, fractions=(0.1, 0.3))
    return root


@pytest.fixture
def root(made, tmp_path):
    shutil.copytree(made, tmp_path / "m")
    return tmp_path / "m"


def refused(root):
    """The one line that opening and validation have in common."""
    with pytest.raises(ManifestError) as error:
        Manifest.open(root)
    (problem,) = validate(root).problems
    assert problem == str(error.value)
    assert "\n" not in problem
    return problem


def rewritten(root, change):
    """Change the text of manifest.json, and put the digest in that is then right."""
    document = json.loads((root / "manifest.json").read_text())
    text = change(json.dumps({**document, DIGEST_KEY: "0" * 64}))
    digest = hashlib.sha256(text.encode()).hexdigest()
    (root / "manifest.json").write_text(text.replace("0" * 64, digest, 1))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('"seed": 0, "seed": 0', "is not JSON: the key 'seed' stands twice"),
        ('"other": 1e999', "1e999 is no number of double precision"),
        ('"other": NaN', "NaN is no number of JSON"),
        ('"other": ' + "[" * DEPTH + "]" * DEPTH, "is nested too deep"),
        ('"other": ' + "[" * 10**5 + "]" * 10**5, "is nested too deep"),
        ('"seed": ' + "1" * 5000, "is not JSON: Exceeds the limit"),
        ('"seed": ' + "1" * 4000, "options.seed is 1+; expected at most 9"),
        ('"trade_off": ' + "1" * 400, r"options.trade_off is 1+; expected at most 1e\+300"),
        ('"label": [["a"]]', r"options.label is \[\['a'\]\]; expected str"),
        ('"epochs": -3', "options.epochs is -3; expected at least 1"),
        ('"id": "' + "x" * 70_000 + '"', "options.id is 'x+; expected at most 65536"),
    ],
    ids=lambda text: text[:14],
)
def test_what_no_writer_would_write_is_one_line(root, text, line):
    rewritten(root, lambda before: before.replace('"seed": 0', text))
    with pytest.raises(ManifestError, match=line) as error:
        Manifest.open(root)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300
    assert validate(root).problems == [str(error.value)]


def test_unknown_keys_are_passed_over_as_deep_as_they_may_be(root):
    depth = DEPTH - 3
    rewritten(root, lambda text: text.replace('"seed": 0', f'"other": {"[" * depth}{"]" * depth}'))
    assert Manifest.open(root).n == 60
    assert validate(root).problems == []


@pytest.mark.parametrize("subsets", [True, False])
def test_rows_are_compared_with_the_footers_before_room_is_made(root, subsets):
    """All figures agree on a thousand million examples; the files have sixty."""
    factor = 10**9 // 60

    def grown(document):
        for name in ("accepted", "source_rows"):
            document["counts"][name] *= factor
        document["counts"]["source_rows"] += 2
        document["fingerprint"]["block_rows"] = 2**53
        for partition in document["partitions"]:
            partition["examples"] *= factor
        for entry in document["files"]:
            if not entry["path"].startswith(("subsets", "rejects")):
                entry["rows"] *= factor
        for entry in document["subsets"]:
            entry["budget"] = int(entry["fraction"] * 60 * factor + 0.5)
        if not subsets:
            document["subsets"] = []
        for entry in document["files"]:
            if entry["path"].startswith("subsets"):
                entry["rows"] = sum(each["budget"] * each["count"] for each in document["subsets"])

    edit(root, grown)
    with pytest.raises(ManifestError, match=r"part-00000.parquet: has \d+ rows, manifest.json says \d+"):
        Manifest.open(root)
    problems = validate(root).problems
    assert problems
    assert all("rows, manifest.json says" in line for line in problems)


def test_a_part_with_other_rows_is_refused_when_it_is_read(root):
    """Few enough that the sizes of the files bear them out."""

    def moved(document):
        document["counts"]["accepted"] += 1
        document["partitions"][0]["examples"] += 1
        for entry in document["files"]:
            if not entry["path"].startswith(("subsets", "rejects")):
                entry["rows"] += 1
        document["counts"]["source_rows"] += 1

    edit(root, lambda document: document.update(subsets=[]))
    edit(root, lambda document: next(
        entry for entry in document["files"] if entry["path"].startswith("subsets")
    ).update(rows=0))  # fmt: skip
    edit(root, moved)
    manifest = Manifest.open(root)
    for read in (manifest.examples, lambda: manifest.order("balance"), lambda: manifest.top("radius", 0.5)):
        with pytest.raises(ManifestError, match=r"part-00000.parquet: has 60 rows, manifest.json says 61"):
            read()


def test_the_width_of_sketches_is_compared_before_room_is_made(root):
    edit(root, lambda document: document["sketches"].update(dimension=2**31 - 1))
    manifest = Manifest.open(root)
    with pytest.raises(ManifestError, match=r"column sketch is of type .*\[4\], expected .*\[2147483647\]"):
        read_sketches(manifest, manifest.examples())


@pytest.mark.parametrize("kind", ["pipe", "directory", "device"])
@pytest.mark.parametrize("name", ["manifest.json", "examples/part-00000.parquet"])
def test_what_is_no_file_is_refused_at_once(root, kind, name):
    (root / name).unlink()
    if kind == "pipe":
        os.mkfifo(root / name)
    elif kind == "device":
        (root / name).symlink_to("/dev/zero")
    else:
        (root / name).mkdir()
    line = refused(root)
    assert line.startswith(f"{name}: ")
    assert ("is no regular file" if name == "manifest.json" else "is missing") in line


def test_a_document_beyond_all_measure_is_not_read(root):
    os.truncate(root / "manifest.json", opening.LARGEST_DOCUMENT + 1)
    assert "at most 1,073,741,824 are read" in refused(root)


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")]
)
def test_files_that_cannot_be_read_are_one_line(root, monkeypatch, error):
    read, opened = Store.read, Store.open

    def fails(*_):
        raise error

    def fails_for_orders(self, path):
        return fails() if path.startswith("orders") else opened(self, path)

    manifest = Manifest.open(root)
    monkeypatch.setattr(Store, "open", fails_for_orders)
    line = f"orders/balance/part-00000.parquet: cannot be read: [Errno {error.errno}] {error.strerror}"
    assert the_problem(root) == line
    with pytest.raises(ManifestError) as told:
        manifest.order("balance")
    assert str(told.value) == line
    monkeypatch.setattr(Store, "read", fails)
    assert refused(root).startswith("manifest.json: cannot be read from ")
    monkeypatch.setattr(Store, "read", read)
    monkeypatch.setattr(Store, "sizes", fails)
    assert error.strerror in refused(root)


def test_who_opened_a_manifest_that_was_replaced_is_told_so(root):
    manifest = Manifest.open(root)
    order = manifest.order("balance").tolist()
    pieces = manifest.batches(schema.EXAMPLES, ["index"], 10)
    begun = next(pieces)
    write_small_manifest(root, n=60, fractions=(0.1, 0.3), seed=7, overwrite=True)
    copied = pickle.loads(pickle.dumps(manifest))
    for each in (manifest, copied):
        for read in (lambda each=each: each.order("balance"), lambda each=each: each.subset(0.1, 0)):
            with pytest.raises(
                ManifestError, match="was replaced or removed since it was opened; open it again"
            ):
                read()
    # The file that was open is the one that it was.
    assert begun.num_rows + sum(piece.num_rows for piece in pieces) == 60
    assert Manifest.open(root).order("balance").tolist() != order
    # The same manifest again, with other times: it is no other one.
    shutil.rmtree(root)
    write_small_manifest(root, n=60, fractions=(0.1, 0.3))
    assert manifest.order("balance").tolist() == order
    shutil.rmtree(root)
    with pytest.raises(ManifestError, match="was replaced or removed"):
        manifest.order("balance")


def test_a_manifest_that_is_replaced_while_it_is_opened_is_opened_anew(root, monkeypatch):
    sizes, replaced = Store.sizes, []

    def replacing(self, paths):
        wanted = list(paths)
        if len(wanted) > 1 and not replaced:
            replaced.append(1)
            write_small_manifest(root, n=90, seed=7, overwrite=True)
        return sizes(self, wanted)

    monkeypatch.setattr(Store, "sizes", replacing)
    assert Manifest.open(root).n == 90


def test_validation_of_a_manifest_that_is_replaced_meanwhile_says_so(root, monkeypatch):
    sizes, replaced = Store.sizes, []

    def replacing(self, paths):
        wanted = list(paths)
        if len(wanted) > 1 and not replaced:
            replaced.append(1)
            write_small_manifest(root, n=90, seed=7, overwrite=True)
        return sizes(self, wanted)

    monkeypatch.setattr(Store, "sizes", replacing)
    assert (
        the_problem(root) == "manifest.json: the manifest was replaced while it was read; validate it again"
    )
    assert validate(root).problems == []
