"""The reader against whole tables read by bare pyarrow, and the row groups it needs for a slice."""

import pickle
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_manifest import write_small_manifest

from syllabus.manifests import Manifest, ManifestError, Store, allocate, budget, schema

N = 230


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """A manifest whose row groups have 16 rows and whose parts have 48, and its whole tables."""
    directory = tmp_path_factory.mktemp("reader") / "m"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "ROW_GROUP_ROWS", 16)
        patch.setattr(schema, "PART_ROWS", 48)
        manifest = write_small_manifest(directory, n=N, classes=7, fractions=(0.1, 0.25, 0.6), subsets=3)
    names = ("examples", "subsets", "importances/radius", "orders/balance", "sketches")
    return manifest, {name: pq.read_table(directory / name) for name in names}


class Counted:
    """Counts row groups and files read while it is active."""

    def __init__(self, patch):
        self.groups, self.files = [], 0
        read, read_several = pq.ParquetFile.read_row_group, pq.ParquetFile.read_row_groups
        opened = pq.ParquetFile.__init__

        def read_row_group(file, group, **options):
            self.groups.append(group)
            return read(file, group, **options)

        def read_row_groups(file, groups, **options):
            self.groups += groups
            return read_several(file, groups, **options)

        def init(file, *rest, **options):
            self.files += 1
            opened(file, *rest, **options)

        patch.setattr(pq.ParquetFile, "read_row_group", read_row_group)
        patch.setattr(pq.ParquetFile, "read_row_groups", read_row_groups)
        patch.setattr(pq.ParquetFile, "__init__", init)


@pytest.fixture
def counted(monkeypatch):
    return Counted(monkeypatch)


def test_opening_reads_no_table(pieces, counted):
    manifest = Manifest.open(pieces[0].location)
    assert (counted.files, counted.groups) == (0, [])
    assert (manifest.n, manifest.fractions) == (N, (0.1, 0.25, 0.6))
    assert (manifest.importances, manifest.orders) == (("disparity_min", "radius"), ("balance",))
    assert manifest.partition_sizes.dtype == np.int64
    assert manifest.partition_sizes.tolist() == np.bincount(pieces[1]["examples"]["partition"]).tolist()


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_a_slice_is_a_slice_and_reads_only_the_row_groups_it_touches(pieces, data):
    manifest, tables = pieces
    name = data.draw(st.sampled_from(sorted(tables)))
    rows = tables[name].num_rows
    start = data.draw(st.integers(0, rows))
    stop = data.draw(st.integers(start, rows))
    with pytest.MonkeyPatch.context() as patch:
        counted = Counted(patch)
        found = manifest.table(name, None, start, stop)
    assert found.equals(tables[name].slice(start, stop - start))
    # Row groups lie at multiples of 16, also across parts of 48.
    touched = -(-stop // 16) - start // 16 if stop > start else 0
    assert len(counted.groups) == touched
    assert counted.files == max(1, -(-stop // 48) - start // 48 if stop > start else 1)


@pytest.mark.parametrize("rows", [1, 16, 17, 48, 1000])
def test_batches_are_the_table_in_equal_pieces(pieces, counted, rows):
    manifest, tables = pieces
    batches = list(manifest.batches("examples", ["index", "id"], rows))
    assert [batch.num_rows for batch in batches[:-1]] == [rows] * (len(batches) - 1)
    assert 0 < batches[-1].num_rows <= rows
    assert pa.concat_tables(batches).equals(tables["examples"].select(["index", "id"]))
    assert len(counted.groups) == -(-N // 16)


@pytest.mark.parametrize(("table", "name"), [("examples", "index"), ("subsets", "gain"), ("subsets", "rank")])
def test_a_column_is_the_tables_and_reads_only_the_groups_it_touches(pieces, counted, table, name):
    manifest, _ = pieces
    whole = manifest.table(table, [name]).column(0).to_numpy()
    rng = np.random.default_rng(0)
    for start, stop in [(0, None), (0, 0), (len(whole),) * 2, *np.sort(rng.integers(0, len(whole), (40, 2)))]:
        counted.groups.clear()
        values = manifest.column(table, name, start, stop)
        assert values.dtype == whole.dtype
        np.testing.assert_array_equal(values, whole[start:stop])
        if start != stop:
            last = len(whole) if stop is None else stop
            assert len(counted.groups) == (last - 1) // 16 - start // 16 + 1


def test_a_column_without_numbers_or_with_nulls_is_refused(pieces):
    with pytest.raises(ManifestError, match="column id does not hold numbers"):
        pieces[0].column("examples", "id")
    with pytest.raises(ManifestError, match="column duplicate_group has nulls"):
        pieces[0].column("examples", "duplicate_group")
    with pytest.raises(ManifestError, match="rows 3 to 2 are not within"):
        pieces[0].column("examples", "index", 3, 2)


def test_subsets_are_those_of_the_table(pieces, counted):
    manifest, tables = pieces
    table = tables["subsets"].to_pandas()
    for fraction in manifest.fractions:
        assert manifest.subset_count(fraction) == 3
        for i in range(3):
            rows = table[(table["fraction"] == fraction) & (table["subset"] == i)].sort_values("position")
            subset = manifest.subset(fraction, i)
            assert subset.dtype == np.int64
            assert subset.tolist() == rows["index"].tolist()
            assert manifest.subset(fraction, i, 3, 9).tolist() == rows["index"].tolist()[3:9]
    counted.groups.clear()
    manifest.subset(0.6, 2, 41, 43)
    assert len(counted.groups) == 1


def test_a_fraction_is_found_by_its_budget(pieces):
    manifest = pieces[0]
    assert budget(0.1001, N) == budget(0.1, N)
    assert manifest.subset(0.1001, 1).tolist() == manifest.subset(0.1, 1).tolist()
    with pytest.raises(
        ManifestError, match=r"0\.2 \(budget 46 of 230\) .* stored fractions: 0\.1, 0\.25, 0\.6"
    ):
        manifest.subset(0.2, 0)
    with pytest.raises(ManifestError, match=r"3 is outside \[0, 2\]"):
        manifest.subset(0.1, 3)


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 1.0])
def test_top_takes_the_first_ranks_of_each_partition(pieces, counted, fraction):
    manifest, tables = pieces
    table = tables["importances/radius"].to_pandas()
    share = allocate(budget(fraction, N), manifest.partition_sizes)
    expected = table[table["rank"] < share[table["partition"]]]
    found = manifest.top("radius", fraction)
    assert found.tolist() == expected["index"].tolist()
    # A row group is read once, however many partitions begin in it.
    assert len(counted.groups) == len({row // 16 for row in expected.index})


def test_the_rest(pieces):
    manifest, tables = pieces
    assert manifest.examples().tolist() == tables["examples"]["index"].to_pylist()
    assert manifest.examples(20, 60).tolist() == tables["examples"]["index"].to_pylist()[20:60]
    assert manifest.partitions().dtype == np.int32
    assert manifest.partitions().tolist() == tables["examples"]["partition"].to_pylist()
    assert manifest.importance("radius").equals(tables["importances/radius"])
    assert (
        manifest.order("balance", 100, 110).tolist() == tables["orders/balance"]["index"].to_pylist()[100:110]
    )
    assert sorted(manifest.order("balance")) == manifest.examples().tolist()
    assert manifest.table(schema.sketches(4)).equals(tables["sketches"])


def test_lookup(pieces):
    manifest, tables = pieces
    ids = tables["examples"]["id"].to_pylist()
    rng = np.random.default_rng(0)
    places = rng.integers(0, N, 400)
    right = manifest.examples()[places]
    asked = [ids[place] for place in places]
    for spelling in (asked, np.asarray(asked), pa.array(asked), pa.chunked_array([asked[:7], asked[7:]])):
        assert manifest.lookup(spelling).tolist() == right.tolist()
    assert manifest.lookup([]).tolist() == []
    with pytest.raises(
        ManifestError, match=r"^ids: 4 of 5 different ids are not in .* \('a', 'b', 'c', …\)$"
    ):
        manifest.lookup(["a", ids[3], "b", "c", "d"])
    with pytest.raises(ManifestError, match="of type list<item: double>"):
        manifest.lookup([[1.5]])
    with pytest.raises(ManifestError, match="1 of 2 are null"):
        manifest.lookup([ids[0], None])


def test_integer_ids_stand_for_their_text(tmp_path):
    manifest = write_small_manifest(tmp_path / "m", n=20, gap=0, ids=[str(100 + i) for i in range(20)])
    assert manifest.lookup(np.asarray([103, 119])).tolist() == [3, 19]


def test_records_come_in_the_order_asked(pieces, counted):
    manifest, tables = pieces
    table = tables["examples"].to_pandas().set_index("index")
    indices = np.random.default_rng(1).choice(manifest.examples(), 50)
    rows = manifest.records(indices, ["id", "partition"])
    assert rows.column_names == ["id", "partition"]
    assert rows["id"].to_pylist() == table.loc[indices, "id"].tolist()
    counted.groups.clear()
    manifest.records(indices[:1])
    assert len(counted.groups) == 1
    # The first and the last index of a row group are found by its statistics too.
    for index in manifest.examples(0, 40):
        assert manifest.records(np.asarray([index]), ["index"])["index"].to_pylist() == [index]
    assert manifest.records(np.empty(0, np.int64)).num_rows == 0
    # Index 7 is a gap inside a row group, 10,000 lies beyond all, -1 before.
    with pytest.raises(ManifestError, match="3 of 4 indices are no accepted examples: -1"):
        manifest.records(np.asarray([0, 7, 10_000, -1]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m: m.top("radios", 0.1),
            "importance 'radios' is not in the manifest; it has disparity_min, radius",
        ),
        (lambda m: m.order("random"), "order 'random' .* it has balance"),
        (lambda m: m.table("previews"), "previews/: the manifest has no such table; it has examples"),
        (
            lambda m: m.table("examples", ["idx"]),
            r"examples/part-00000\.parquet: has no column 'idx'; it has index",
        ),
        (lambda m: m.order("balance", 5, N + 1), "orders/balance: rows 5 to 231 are not within its 230"),
        (lambda m: m.order("balance", -1), "rows -1 to"),
        (lambda m: m.examples(3, 2), "rows 3 to 2"),
    ],
)
def test_refuses(pieces, call, message):
    with pytest.raises(ManifestError, match=message):
        call(pieces[0])


def test_open_checks_fingerprint_and_ids(pieces):
    location, table = pieces[0].location, pieces[1]["examples"]
    ids = table["id"].to_pylist()
    fingerprint = pieces[0].fingerprint
    assert Manifest.open(location, fingerprint=fingerprint, ids=ids[::-1]).n == N
    with pytest.raises(
        ManifestError, match=r"manifest\.json: the manifest is of the data set .* not of 0{12}…"
    ):
        Manifest.open(location, fingerprint="0" * 64)
    with pytest.raises(ManifestError) as error:
        Manifest.open(location, ids=["x", *ids[4:], ids[9], "y"])
    for part in (
        "4 of the manifest's are missing",
        "2 are not in the manifest ('x', 'y')",
        "1 occur more than once",
    ):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_a_copy_reads_the_same(pieces, tmp_path):
    copy = pickle.loads(pickle.dumps(pieces[0]))
    assert copy.subset(0.1, 0).tolist() == pieces[0].subset(0.1, 0).tolist()
    store = Store("mock:///bucket")
    write_small_manifest(store, n=40)
    assert Manifest.open(store).order("balance").tolist() == (
        write_small_manifest(tmp_path / "m", n=40).order("balance").tolist()
    )


def test_importing_the_room_loads_nothing_heavy():
    heavy = "{'torch', 'pandas', 'jsonschema', 'fastjsonschema', 'duckdb'}"
    code = f"import syllabus.manifests, sys; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"


def test_sections_of_the_document_are_attributes(tmp_path):
    manifest = write_small_manifest(tmp_path / "m", n=60, neighbours=True, fractions=(0.1, 0.3))
    description = manifest.description
    assert manifest.source_rows == 62
    assert manifest.options is description["options"]
    assert manifest.budget_rule == "proportional"
    assert manifest.sketch_dimension == 4
    assert list(manifest.fingerprint_blocks) == description["fingerprint"]["blocks"]
    assert manifest.block_rows == description["fingerprint"]["block_rows"]
    stored = manifest.subsets_of(0.3)
    assert (stored.fraction, stored.budget, stored.sizes, stored.first_row) == (0.3, 18, (18,) * 4, 24)
    assert stored.jaccard is None
    found, section = manifest.neighbours, description["neighbours"]
    assert vars(found.agreement) == section["agreement"]
    assert found.duplicate_groups == section["duplicates"]["groups"]
    assert found.duplicate_share == section["duplicates"]["share"]
    entry = manifest.importance_entry("radius")
    assert (entry.ess, entry.inclusion_ess) == (None, ())
    with pytest.raises(ManifestError, match="importance 'nosuch' is not in the manifest"):
        manifest.importance_entry("nosuch")
    assert repr(manifest) == f"Manifest({str(tmp_path / 'm')!r}, n=60, fractions=(0.1, 0.3))"
    bare = write_small_manifest(tmp_path / "bare", sketch_dim=0)
    assert (bare.neighbours, bare.sketch_dimension) == (None, None)
