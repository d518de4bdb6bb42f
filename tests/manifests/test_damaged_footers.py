"""Footers of Parquet have no checksum: a name, a type or a place in one that is damaged is still one line."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from damaged_manifest import edit
from small_manifest import write_small_manifest

from syllabus.manifests import Manifest, ManifestError, read_sketches, validate


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "m"
    write_small_manifest(root, n=60, fractions=(0.1, 0.3))
    return root


def read(manifest: Manifest, directory: str) -> list[object]:
    """What the readers that reach a table give."""
    got: list[object] = [manifest.table(directory).to_pydict()]
    if directory == "sketches":
        got.append(read_sketches(manifest, manifest.examples()[::7]).tolist())
    if directory == "examples":
        got.append(manifest.records(manifest.examples()[::7], ["id"]).to_pydict())
    if directory.startswith("importances"):
        got.append(manifest.top(directory.partition("/")[2], 0.3).tolist())
    return got


@pytest.mark.parametrize("directory", ["sketches", "examples", "subsets", "importances/radius"])
def test_a_flipped_bit_in_a_footer_is_one_line_or_changes_nothing(made, tmp_path, directory):
    root = shutil.copytree(made, tmp_path / "m")
    (part,) = (root / directory).glob("*.parquet")
    whole, before = part.read_bytes(), read(Manifest.open(root), directory)
    footer = int.from_bytes(whole[-8:-4], "little")
    said = set()
    for bit in np.random.default_rng(1).choice(8 * footer, 60, replace=False).tolist():
        damaged = bytearray(whole)
        damaged[len(whole) - 8 - footer + bit // 8] ^= 1 << bit % 8
        part.write_bytes(damaged)
        try:
            assert read(Manifest.open(root), directory) == before, bit
        except ManifestError as error:
            said.add(str(error))
    assert said
    assert not [line for line in said if "\n" in line]


def renamed(part: Path, before: bytes, after: bytes) -> bool:
    """Put other names of columns in a footer; return whether there were any."""
    whole = part.read_bytes()
    start = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    part.write_bytes(whole[:start] + whole[start:].replace(before, after))
    return part.read_bytes() != whole


@pytest.mark.parametrize(
    ("after", "line"),
    [
        (b"in`ex", r"column \d is in`ex, expected index"),
        (b"in\nex", r"column \d is in\\nex, expected index"),
        # Of the bytes' own error: a name that is no UTF-8.
        (b"in\xe4ex", "cannot be read: 'utf-8' codec can't decode"),
    ],
)
def test_each_name_of_a_column_is_compared_before_it_is_used(made, tmp_path, after, line):
    root = shutil.copytree(made, tmp_path / "m")
    seen = 0
    for part in root.rglob("*.parquet"):
        if renamed(part, b"index", after):
            directory, seen = str(part.parent.relative_to(root)), seen + 1
            with pytest.raises(ManifestError, match=rf"part-00000\.parquet: {line}"):
                read(Manifest.open(root), directory)
    assert seen >= 5


def test_validation_says_so_where_the_digests_are_right(made, tmp_path):
    root = shutil.copytree(made, tmp_path / "m")
    part = root / "examples/part-00000.parquet"
    assert renamed(part, b"index", b"in\xe4ex")
    digest = hashlib.sha256(part.read_bytes()).hexdigest()
    edit(root, lambda document: next(
        entry for entry in document["files"] if entry["path"].startswith("examples")
    ).update(sha256=digest))  # fmt: skip
    (problem,) = validate(root).problems
    assert problem.startswith("examples/part-00000.parquet: is no Parquet file: 'utf-8' codec")
