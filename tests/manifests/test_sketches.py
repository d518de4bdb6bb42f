"""Sketches in a manifest: what is read is what was written, by blocks, and what is wrong is said."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from damaged_manifest import edit, the_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from small_manifest import write_small_manifest

from syllabus.manifests import Manifest, ManifestError, read_sketches, schema
from syllabus.manifests.reading import sketches as module


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Row groups of 64 rows in parts of 128, blocks of 10 rows: every boundary is met."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "ROW_GROUP_ROWS", 64)
        patch.setattr(schema, "PART_ROWS", 128)
        yield write_small_manifest(tmp_path_factory.mktemp("sketches") / "m", n=300, sketch_dim=5)


def stored(manifest):
    rows = manifest.table("sketches")
    steps = np.frombuffer(b"".join(rows.column("sketch").to_pylist()), np.int8).reshape(-1, 5)
    return dict(zip(rows.column("index").to_pylist(), steps.tolist(), strict=True))


@given(data=st.data(), seed=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_indices_in_any_order_give_their_sketches(manifest, data, seed):
    count = data.draw(st.integers(0, 40))
    chosen = np.random.default_rng(seed).choice(manifest.examples(), count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_BYTES", 130)
        found = read_sketches(manifest, chosen)
    assert found.dtype == np.int8
    assert found.shape == (count, 5)
    everything = stored(manifest)
    assert found.tolist() == [everything[index] for index in chosen.tolist()]


def test_row_groups_without_a_wanted_row_are_not_read_and_none_is_read_whole(manifest, monkeypatch):
    read = []
    iterate = pq.ParquetFile.iter_batches

    def watched(file, size, groups, names):
        read.append((size, groups))
        return iterate(file, size, groups, names)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watched)
    monkeypatch.setattr(module, "BLOCK_BYTES", 130)
    examples = manifest.examples()
    read_sketches(manifest, examples[[70, 290]])
    # Rows 64 to 127 are row group 1 of the first part; rows 256 to 299 group 0 of the third.
    assert read == [(10, [1]), (10, [0])]


def test_what_is_no_example_is_said(manifest):
    missing = np.setdiff1d(np.arange(302), manifest.examples())
    with pytest.raises(ManifestError, match=rf"^sketches/: 2 indices .* examples: {missing[0]}, …$"):
        read_sketches(manifest, np.array([0, *missing, 5]))
    with pytest.raises(ManifestError, match=r"^sketches/: 1 indices .* examples: 999, …$"):
        read_sketches(manifest, np.array([0, 999]))


def test_a_manifest_without_sketches_names_the_option(tmp_path):
    bare = write_small_manifest(tmp_path / "m", sketch_dim=0)
    with pytest.raises(ManifestError, match="holds none; it was prepared with sketch_dim=0"):
        read_sketches(bare, np.array([0]))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda it: it.pop("sketches"), "files: sketches/ is described nowhere else"),
        (lambda it: it["sketches"].update(step=0), "sketches.step is 0; expected above 0"),
        (
            lambda it: it["sketches"].update(projection="lsa"),
            "sketches.projection is 'lsa'; expected none or pca",
        ),
        (lambda it: it["sketches"].pop("step"), "the key sketches.step is missing"),
    ],
)
def test_what_manifest_json_says_of_them_must_fit(tmp_path, change, problem):
    write_small_manifest(tmp_path / "m")
    edit(tmp_path / "m", change)
    assert problem in the_problem(tmp_path / "m")
    with pytest.raises(ManifestError, match=problem):
        Manifest.open(tmp_path / "m")


def test_their_width_is_the_one_described(tmp_path):
    write_small_manifest(tmp_path / "m")
    edit(tmp_path / "m", lambda it: it["sketches"].update(dimension=3))
    assert "column sketch is of type fixed_size_binary[4], expected fixed_size_binary[3]" in the_problem(
        tmp_path / "m"
    )


def test_a_table_that_is_described_must_be_there(tmp_path):
    write_small_manifest(tmp_path / "m", sketch_dim=0)
    edit(tmp_path / "m", lambda it: it.update(sketches={"dimension": 4, "step": 1.0, "projection": "none"}))
    assert "files: there is no part of sketches/" in the_problem(tmp_path / "m")


def test_damaged_bytes_are_noticed(tmp_path):
    manifest = write_small_manifest(tmp_path / "m", n=200)
    path = tmp_path / "m" / "sketches" / "part-00000.parquet"
    content = bytearray(path.read_bytes())
    raw = read_sketches(manifest, manifest.examples()).tobytes()
    place = bytes(content).index(raw[:80])
    content[place + 7] ^= 1
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=r"^sketches/part-00000\.parquet: cannot be read"):
        read_sketches(manifest, manifest.examples())
