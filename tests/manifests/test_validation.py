"""Every kind of damage to files and document is found, and named in one line that begins with the file."""

import hashlib
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from damaged_manifest import edit, rewrite, the_problem
from small_manifest import write_small_manifest

from syllabus.manifests import Manifest, ManifestError, validate


@pytest.fixture
def root(tmp_path):
    write_small_manifest(tmp_path / "m", n=60, fractions=(0.1, 0.3))
    return tmp_path / "m"


def test_a_good_one_has_no_problems(root, tmp_path):
    report = validate(root)
    assert report.ok
    assert report.files == 1 + len(Manifest.open(root).description["files"])
    # Rewriting by the helpers of this file is no damage in itself.
    rewrite(root, "examples", lambda rows: rows)
    assert validate(root).problems == []
    write_small_manifest(
        tmp_path / "bare", n=5, classes=0, fractions=(), importances=(), orders=(), sketch_dim=0
    )
    assert validate(tmp_path / "bare").problems == []


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.9999])
@pytest.mark.parametrize(
    "path",
    [
        "examples/part-00000.parquet",
        "subsets/part-00000.parquet",
        "importances/radius/part-00000.parquet",
        "orders/balance/part-00000.parquet",
        "sketches/part-00000.parquet",
        "rejects/part-00000.parquet",
        "manifest.json",
    ],
)
def test_a_flipped_byte(root, path, share):
    content = bytearray((root / path).read_bytes())
    content[int(share * len(content))] ^= 1
    (root / path).write_bytes(content)
    assert the_problem(root).startswith(f"{path}: ")


def test_every_bit_of_the_document_counts(root):
    content = (root / "manifest.json").read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.choice(len(content), 300, replace=False):
        changed = bytearray(content)
        changed[place] ^= 1 << int(rng.integers(8))
        (root / "manifest.json").write_bytes(changed)
        with pytest.raises(ManifestError, match=r"^manifest\.json: "):
            Manifest.open(root)


@pytest.mark.parametrize("path", ["examples/part-00000.parquet", "orders/balance/part-00000.parquet"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "grown"])
def test_parts_of_another_size_do_not_open(root, path, damage):
    file = root / path
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(content[:-7] if damage == "truncated" else content + b"more")
    problem = the_problem(root)
    assert re.match(rf"{path}: (is missing|has \d+ bytes, manifest\.json says {len(content)})", problem)
    with pytest.raises(ManifestError) as error:
        Manifest.open(root)
    assert str(error.value) == problem


def test_what_is_no_manifest(tmp_path, root):
    assert the_problem(tmp_path / "nothing").startswith("manifest.json: not found: ")
    assert the_problem("ftp://host/m").startswith("ftp://host/m: cannot be opened: ")
    (root / "manifest.json").write_text("{")
    assert the_problem(root).startswith("manifest.json: is not JSON: ")
    (root / "manifest.json").write_bytes(b"\xff")
    assert the_problem(root).startswith("manifest.json: is not JSON: ")
    (root / "manifest.json").write_text('{"format": "other"}')
    assert the_problem(root) == 'manifest.json: is no manifest: it lacks "format": "syllabus-manifest"'


def test_a_newer_version_says_so_whatever_else_it_holds(root):
    (root / "manifest.json").write_text('{"format": "syllabus-manifest", "format_version": 2, "new": []}')
    assert "format_version 2 is newer than 1" in the_problem(root)
    with pytest.raises(ManifestError, match="install a newer syllabus"):
        Manifest.open(root)


def test_an_unlisted_part_is_found(root):
    (root / "examples" / "part-00001.parquet").write_bytes(b"stale")
    assert the_problem(root) == "examples/part-00001.parquet: is not listed in manifest.json"


DOCUMENTS = {
    "budgets of others": (
        lambda d: d["subsets"][0].update(partitions=[3, 3]),
        r"subsets\[0\]\.partitions has 2 entries, not 3",
    ),
    "a partition beyond": (
        lambda d: d["subsets"][0].update(empty_partitions=[1, 3]),
        r"subsets\[0\]\.empty_partitions has 3 of 3",
    ),
    "a whole float": (
        lambda d: d["counts"].update(accepted=60.0),
        r"counts\.accepted is 60\.0; exp.* integer",
    ),
    "infinitely many": (lambda d: d["subsets"][0].update(fraction=float("inf")), "is not JSON: Infinity"),
    "not a number": (lambda d: d["sketches"].update(step=float("nan")), "is not JSON: NaN is no number"),
    "far too large": (
        lambda d: d["counts"].update(source_rows=10**30),
        "source_rows is 10+; expected at most 9",
    ),
    "far too many": (
        lambda d: d["subsets"][0].update(count=10**12),
        "count is 10+; expected at most 1000000",
    ),
    "a broken line": (lambda d: d["orders"].update({"a\nb": 3}), r"orders\.a\\nb is 3; expected object"),
    "a rule that is none": (
        lambda d: d["options"].update(budgets=[]),
        r"options\.budgets is \[\]; exp.* string",
    ),
    "a missing key": (lambda d: d.pop("counts"), "the key counts is missing"),
    "a wrong type": (
        lambda d: d["partitions"][1].update(examples="9"),
        r"partitions\[1\].examples is '9'; exp",
    ),
    "true for 1": (lambda d: d["counts"].update(rejected=True), "counts.rejected is True; expected integer"),
    "a budget off": (
        lambda d: d["subsets"][0].update(budget=7),
        "fraction 0.1 of 60 is 6, the budget says 7",
    ),
    "a budget twice": (lambda d: d["subsets"].insert(1, d["subsets"][0]), "budget 6 follows 6; budgets are"),
    "a fraction": (
        lambda d: d["subsets"][0].update(fraction=1.5),
        r"subsets\[0\]\.fraction is 1\.5; expected at most 1",
    ),
    "partitions": (lambda d: d["partitions"].reverse(), r"partitions\[0\] is number 2"),
    "their sizes": (lambda d: d["partitions"][0].update(examples=1), "examples together, accepted are 60"),
    "reasons": (
        lambda d: d["counts"].update(reasons={}),
        "counts.reasons add up to 0, not to the 2 rejected",
    ),
    "a count of a reason": (
        lambda d: d["counts"]["reasons"].update(x="1"),
        "counts.reasons.x is '1'; expected integer",
    ),
    "counts": (
        lambda d: d["counts"].update(source_rows=61),
        "60 accepted, 2 rejected and 0 excluded do not fit into 61",
    ),
    "the fingerprint": (lambda d: d["fingerprint"].update(sha256="1" * 64), "sha256 1{12}… is not that of"),
    "its blocks": (lambda d: d["fingerprint"].update(blocks=["x"]), r"blocks\[0\] is 'x'; expected a sha256"),
    "an order too many": (lambda d: d["orders"].update(more={}), "there is no part of orders/more/"),
    "an order too few": (lambda d: d["orders"].clear(), "files: orders/balance/ is described nowhere"),
    "rows": (lambda d: d["files"][0].update(rows=59), "files: examples/ has 59 rows, expected 60"),
    "a way out": (
        lambda d: d["files"][0].update(path="../part-00000.parquet"),
        r"files\[0\]\.path is '\.\./part-00000\.parquet'; expected a part of a table",
    ),
    "a part between": (
        lambda d: d["files"][0].update(path="examples/part-00001.parquet"),
        "part-00000.*missing",
    ),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_contradicts_itself(root, name):
    change, message = DOCUMENTS[name]
    edit(root, change)
    problems = validate(root).problems
    assert any(re.search(message, problem) for problem in problems), problems
    assert all("\n" not in problem and ": " in problem for problem in problems)
    with pytest.raises(ManifestError, match=r"^manifest\.json: "):
        Manifest.open(root)


def test_not_a_parquet_file(root):
    path = root / "preview" / "part-00000.parquet"
    path.parent.mkdir()
    path.write_bytes(b"no parquet")
    entry = {"path": "preview/part-00000.parquet", "rows": 1, "bytes": 10}
    entry["sha256"] = hashlib.sha256(b"no parquet").hexdigest()
    edit(
        root,
        lambda document: document.update(files=sorted([*document["files"], entry], key=lambda e: e["path"])),
    )
    assert the_problem(root).startswith("preview/part-00000.parquet: is no Parquet file: ")


def test_a_damaged_part_that_opens_is_named_when_read(root):
    path = root / "orders/balance/part-00000.parquet"
    original = path.read_bytes()
    with pq.ParquetFile(path) as file:
        chunk = file.metadata.row_group(0).column(1)
        first, size = chunk.data_page_offset, chunk.total_compressed_size
    manifest = Manifest.open(root)
    right, found = manifest.order("balance").tolist(), 0
    # Nothing wrong is ever returned: the page's checksum finds what decompression lets pass.
    for place in range(first, first + size):
        content = bytearray(original)
        content[place] ^= 16
        path.write_bytes(content)
        try:
            assert manifest.order("balance").tolist() == right
        except ManifestError as error:
            found += re.match(r"orders/balance/part-00000\.parquet: [^\n]+$", str(error)) is not None
    # The rest are statistics in the page's header, which nobody needs.
    assert found > 0.6 * size
