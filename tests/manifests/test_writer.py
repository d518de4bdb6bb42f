"""The writer: the same bytes however the rows come, nothing left by a failure, nothing foreign touched."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_manifest import write_small_manifest

from syllabus.manifests import (
    Manifest,
    ManifestError,
    ManifestWriter,
    Store,
    TableWriter,
    check_target,
    schema,
)


def everything(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def without_digest(path):
    return re.sub(r"-[0-9a-f]{16}\.parquet$", ".parquet", path)


def example_rows(n, seed=0):
    rng = np.random.default_rng(seed)
    return pa.Table.from_arrays(
        [
            pa.array(np.cumsum(rng.integers(1, 3, n))),
            pa.array([f"id-{value}" for value in rng.integers(0, 10**12, n)]),
            pa.array([None if value == 0 else f"label {value}" for value in rng.integers(0, 5, n)]),
            pa.array(rng.integers(0, 4, n).astype(np.int32)),
            pa.array([f"file {value}" for value in rng.integers(0, 2, n)]),
            pa.array(np.arange(n)),
            pa.array(rng.random(n).astype(np.float32), mask=rng.random(n) < 0.2),
            pa.nulls(n, pa.int64()),
        ],
        schema=schema.EXAMPLES.schema,
    )


def written(rows, cuts, store):
    writer = TableWriter(store, schema.EXAMPLES)
    for start, stop in zip([0, *cuts], [*cuts, rows.num_rows], strict=True):
        writer.write(rows.slice(start, stop - start))
    writer.close()
    return writer.files


@given(st.integers(0, 120), st.data())
@settings(deadline=None, max_examples=40)
def test_bytes_do_not_depend_on_the_pieces(n, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "ROW_GROUP_ROWS", 16)
        patch.setattr(schema, "PART_ROWS", 48)
        rows = example_rows(n)
        cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=6)))
        store = Store("mock:///m")
        files = written(rows, cuts, store)
        assert files == written(rows, [], Store("mock:///m"))
        assert [entry["rows"] for entry in files] == [48] * (n // 48) + [n % 48] * (n % 48 > 0 or n == 0)
        tables = []
        for entry in files:
            with store.open(entry["path"]) as source, pq.ParquetFile(source) as file:
                groups = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
                assert groups == [16] * (entry["rows"] // 16) + [entry["rows"] % 16] * (
                    entry["rows"] % 16 > 0
                )
                tables.append(file.read())
        assert pa.concat_tables(tables).equals(rows)


def test_bytes_do_not_depend_on_the_pieces_with_real_row_groups(tmp_path):
    n = schema.ROW_GROUP_ROWS + 9000
    rows = example_rows(n)
    files = written(rows, [1, 1000, 70_001, schema.ROW_GROUP_ROWS + 1], Store(tmp_path))
    assert files == written(rows, [], Store("mock:///m"))
    with pq.ParquetFile(tmp_path / files[0]["path"]) as file:
        assert [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)] == [131_072, 9000]
        assert file.metadata.row_group(0).column(0).statistics.has_min_max


def test_a_piece_may_be_typed_otherwise_if_no_value_changes(tmp_path):
    rows = example_rows(20)
    other = rows.set_column(1, "id", rows["id"].cast(pa.large_string()))
    other = other.set_column(2, "label", rows["label"].dictionary_encode())
    other = other.set_column(3, "partition", rows["partition"].cast(pa.int64()))
    assert written(other.combine_chunks(), [7], Store("mock:///m")) == written(rows, [], Store(tmp_path))


def test_manifest_is_the_same_anywhere(tmp_path):
    write_small_manifest(tmp_path / "a", n=80)
    write_small_manifest(tmp_path / "elsewhere" / "b", n=80)
    here = everything(tmp_path / "a")
    assert here == everything(tmp_path / "elsewhere" / "b")
    store = Store("mock:///bucket/m")
    manifest = write_small_manifest(store, n=80)
    # Elsewhere than locally the parts have their content in their names.
    parts = {path: content for path, content in here.items() if path != "manifest.json"}
    assert {without_digest(path): store.read(path) for path in store.files() if "/" in path} == parts
    assert [without_digest(entry["path"]) for entry in manifest.description["files"]] == sorted(parts)
    assert str(tmp_path).encode() not in b"".join(here.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.take([0, 2, 1]), r"^examples/: row 2 with \(index\) = \(\d+\) does not come after"),
        (lambda t: t.take([0, 0, 1]), r"row 1 with"),
        (lambda t: t.drop_columns(["label"]), "the columns are"),
        (lambda t: t.select([1, 0, *range(2, 8)]), "the columns are"),
        (lambda t: t.set_column(1, "id", pa.array(["a", None, "c"])), "column id has 1 nulls"),
        (lambda t: t.set_column(3, "partition", pa.array([0, 1, 2**40])), f"^examples/: .*{2**40}"),
        (lambda t: t.set_column(1, "id", pa.array([b"\xff", b"a", b"b"])), "^examples/: .*UTF8"),
    ],
)
def test_refuses_rows(tmp_path, change, message):
    with pytest.raises(ManifestError) as error, ManifestWriter(tmp_path) as writer:
        writer.table(schema.EXAMPLES).write(change(example_rows(3)))
    assert error.match(message)
    assert "\n" not in str(error.value)
    assert everything(tmp_path) == {}


def test_order_is_checked_across_pieces(tmp_path):
    rows = example_rows(10)
    writer = TableWriter(Store(tmp_path), schema.EXAMPLES)
    writer.write(rows.slice(0, 5))
    with pytest.raises(ManifestError, match="row 5"):
        writer.write(rows.slice(4, 5))


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
import small_manifest
from syllabus.manifests import ManifestWriter, schema
if sys.argv[3] == "commit":
    ManifestWriter.commit = lambda self, description: (
        [writer.close() for writer in self._tables.values()], os.kill(os.getpid(), signal.SIGKILL))
else:
    schema.ROW_GROUP_ROWS, schema.PART_ROWS = 16, 48
    small_manifest._importance = lambda *rest: os.kill(os.getpid(), signal.SIGKILL)
small_manifest.write_small_manifest(sys.argv[1], n=80)
"""


@pytest.mark.parametrize("moment", ["commit", "part"])
def test_kill_leaves_nothing_that_opens_and_a_rerun_clears_it(tmp_path, moment):
    tests = str(Path(__file__).parents[1] / "helpers")
    target = tmp_path / "m"
    run = subprocess.run([sys.executable, "-c", KILLED, target, tests, moment], check=False)
    assert run.returncode == -signal.SIGKILL
    left = everything(target)
    assert left
    assert any(name.endswith(".tmp") for name in left) == (moment == "part")
    with pytest.raises(ManifestError, match=r"manifest\.json: not found"):
        Manifest.open(target)
    (target / "orders" / "old").mkdir(parents=True, exist_ok=True)
    (target / "orders" / "old" / "part-00007.parquet").write_bytes(b"of an older run")
    write_small_manifest(target, n=80)
    write_small_manifest(tmp_path / "undisturbed", n=80)
    assert everything(target) == everything(tmp_path / "undisturbed")


@pytest.mark.parametrize("location", ["local", "mock"])
def test_an_exception_leaves_no_file(tmp_path, location):
    store = Store(tmp_path / "m") if location == "local" else Store("mock:///m")

    def fail():
        with ManifestWriter(store) as writer:
            writer.table(schema.EXAMPLES).write(example_rows(10))
            writer.table(schema.REJECTS).close()
            raise KeyError("the job failed")

    with pytest.raises(KeyError, match="the job failed"):
        fail()
    assert store.files() == {}


def test_leaving_without_commit_is_an_error(tmp_path):
    with pytest.raises(ManifestError, match=r"without commit"), ManifestWriter(tmp_path / "m") as writer:
        writer.table(schema.EXAMPLES).write(example_rows(10))
    assert everything(tmp_path) == {}


def test_a_file_is_no_place_for_a_manifest(tmp_path):
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(ManifestError, match=r"file: cannot be written to: "),
        ManifestWriter(tmp_path / "file"),
    ):
        pass
    assert everything(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "name", ["notes.txt", "examples/part-1.parquet", "orders/part-00000.parquet", "a/b/c"]
)
def test_foreign_files_are_refused_before_anything_is_touched(tmp_path, name, overwrite):
    write_small_manifest(tmp_path / "m")
    (tmp_path / "m" / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "m" / name).write_text("mine")
    before = everything(tmp_path / "m")
    with (
        pytest.raises(ManifestError, match=f"1 files there .*{name}"),
        ManifestWriter(tmp_path / "m", overwrite),
    ):
        pass
    with pytest.raises(ManifestError, match="nothing was touched"):
        check_target(tmp_path / "m", overwrite)
    assert everything(tmp_path / "m") == before


def test_a_committed_manifest_is_replaced_only_when_asked(tmp_path):
    write_small_manifest(tmp_path / "m", seed=1, orders=("balance", "greedy"))
    before = everything(tmp_path / "m")
    with pytest.raises(ManifestError, match="committed manifest"):
        write_small_manifest(tmp_path / "m", seed=2)
    with pytest.raises(ManifestError, match="committed manifest"):
        check_target(tmp_path / "m")
    check_target(tmp_path / "m", overwrite=True)
    check_target(tmp_path / "not there")
    assert everything(tmp_path / "m") == before
    write_small_manifest(tmp_path / "m", seed=2, overwrite=True)
    write_small_manifest(tmp_path / "other", seed=2)
    assert everything(tmp_path / "m") == everything(tmp_path / "other")


def test_commit_refuses_a_description_that_contradicts_the_rows(tmp_path):
    write_small_manifest(tmp_path / "m")
    description = json.loads((tmp_path / "m" / "manifest.json").read_text())
    for table in ("subsets", "importances", "orders"):
        description[table] = type(description[table])()

    def commit():
        with ManifestWriter(tmp_path / "b") as writer:
            writer.table(schema.EXAMPLES).write(example_rows(10))
            writer.commit(description)

    with pytest.raises(ManifestError, match=r"^manifest\.json: files: examples/ has 10 rows, expected 60"):
        commit()
    assert everything(tmp_path / "b") == {}
