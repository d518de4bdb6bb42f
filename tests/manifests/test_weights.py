"""Manifests whose budgets count the units of a column: what is written comes back, every rule is checked."""

import json
import re
import subprocess
import sys

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damaged_manifest import column, edit, put, rewrite, the_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from small_manifest import write_small_manifest

from syllabus.manifests import (
    Manifest,
    ManifestError,
    allocate,
    budget,
    export,
    json_schema,
    schema,
    validate,
)
from syllabus.manifests.budgets import fill

N = 60
WEIGHTS = np.random.default_rng(5).integers(1, 40, N)
TOTAL = int(WEIGHTS.sum())


@pytest.fixture
def root(tmp_path):
    write_small_manifest(tmp_path / "m", n=N, fractions=(0.1, 0.3), weights=WEIGHTS)
    return tmp_path / "m"


def weight_of(manifest):
    return dict(zip(manifest.examples().tolist(), manifest.weights().tolist(), strict=True))


def test_what_was_written_is_read_again(root):
    assert validate(root).problems == []
    manifest = Manifest.open(root)
    assert (manifest.weighted, manifest.unit, manifest.total) == (True, "tokens", TOTAL)
    assert manifest.weights().tolist() == WEIGHTS.tolist()
    assert manifest.weights().dtype == np.int64
    held = np.bincount(manifest.partitions(), WEIGHTS, minlength=3)
    assert manifest.partition_units.tolist() == held.tolist()
    assert manifest.partition_units.sum() == TOTAL
    assert manifest.records(manifest.examples()[[7, 3]])["weight"].to_pylist() == WEIGHTS[[7, 3]].tolist()
    weights = weight_of(manifest)
    for entry in manifest.description["subsets"]:
        assert entry["budget"] == budget(entry["fraction"], TOTAL)
        assert len(set(entry["rows"])) > 1  # else these tests show nothing
        for i in range(4):
            subset = manifest.subset(entry["fraction"], i)
            assert len(subset) == entry["rows"][i] == manifest.subset_size(entry["fraction"], i)
            assert sum(weights[index] for index in subset.tolist()) == entry["weights"][i] <= entry["budget"]
    jsonschema.Draft202012Validator(json_schema()).validate(manifest.description)


def test_without_weights_a_unit_is_an_example(tmp_path):
    manifest = write_small_manifest(tmp_path / "m", n=N)
    assert (manifest.weighted, manifest.unit, manifest.total) == (False, "examples", N)
    assert manifest.weights() is None
    assert manifest.partition_units.tolist() == manifest.partition_sizes.tolist()
    assert manifest.subset_size(0.1, 3) == 6
    assert "weight" not in manifest.table("examples").column_names


def test_weights_of_one_choose_what_examples_do(tmp_path):
    plain = write_small_manifest(tmp_path / "plain", n=N, fractions=(0.1, 0.35))
    ones = write_small_manifest(tmp_path / "ones", n=N, fractions=(0.1, 0.35), weights=np.ones(N))
    for fraction in plain.fractions:
        for i in range(4):
            assert ones.subset(fraction, i).tolist() == plain.subset(fraction, i).tolist()
        assert ones.top("radius", fraction).tolist() == plain.top("radius", fraction).tolist()


@given(
    weights=st.lists(st.integers(1, 30), min_size=12, max_size=40),
    fractions=st.lists(st.integers(2, 10), min_size=1, max_size=4, unique=True),
    subsets=st.integers(1, 5),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=30)
def test_subsets_of_any_row_numbers_are_found(tmp_path_factory, weights, fractions, subsets, seed):
    root = tmp_path_factory.mktemp("any") / "m"
    with pytest.MonkeyPatch.context() as patch:
        # Several row groups and parts, so that a subset may lie across them.
        patch.setattr(schema, "ROW_GROUP_ROWS", 7)
        patch.setattr(schema, "PART_ROWS", 21)
        manifest = write_small_manifest(
            root, n=len(weights), weights=weights, seed=seed, subsets=subsets, classes=2,
            fractions=[f / 10 for f in sorted(fractions)], importances=(), orders=(), sketch_dim=0,
        )  # fmt: skip
    assert validate(root).problems == []
    rows = pq.read_table(root / "subsets").to_pandas()
    for fraction in manifest.fractions:
        for i in range(subsets):
            right = rows[(rows["fraction"] == fraction) & (rows["subset"] == i)].sort_values("position")
            assert manifest.subset(fraction, i).tolist() == right["index"].tolist()
            assert manifest.subset(fraction, i, 1).tolist() == right["index"].tolist()[1:]
        with pytest.raises(ManifestError, match=f"subset: {subsets} is outside"):
            manifest.subset_size(fraction, subsets)


@given(weights=st.lists(st.integers(1, 12), max_size=30), limit=st.integers(0, 80))
def test_filling_takes_each_that_still_fits(weights, limit):
    left, right = limit, []
    for weight in weights:
        right.append(weight <= left)
        left -= weight * right[-1]
    assert fill(np.asarray(weights, np.int64), limit).tolist() == right


@pytest.mark.parametrize("fraction", [0.02, 0.1, 0.5, 1.0])
def test_top_takes_by_rank_what_fits_the_share(root, fraction):
    manifest, weights = Manifest.open(root), weight_of(Manifest.open(root))
    left = allocate(budget(fraction, TOTAL), manifest.partition_units).tolist()
    right = []
    for row in manifest.importance("radius").select(["partition", "index"]).to_pylist():
        if weights[row["index"]] <= left[row["partition"]]:
            left[row["partition"]] -= weights[row["index"]]
            right.append(row["index"])
    assert manifest.top("radius", fraction).tolist() == right
    assert (len(right) == N) == (fraction == 1)


def test_a_fraction_that_is_not_stored_names_the_unit(root):
    with pytest.raises(
        ManifestError, match=rf"0\.2 \(budget \d+ of {TOTAL} tokens\) .* fractions: 0\.1, 0\.3"
    ):
        Manifest.open(root).subset(0.2, 0)


def test_export_has_the_weights(root, tmp_path):
    manifest = Manifest.open(root)
    export(manifest, 0.3, 2, "parquet", tmp_path / "subset.parquet")
    rows = pq.read_table(tmp_path / "subset.parquet")
    assert rows.column_names[-1] == "weight"
    weights = weight_of(manifest)
    assert rows["weight"].to_pylist() == [weights[index] for index in manifest.subset(0.3, 2).tolist()]
    assert sum(rows["weight"].to_pylist()) == manifest.description["subsets"][1]["weights"][2]


STRANGER = """
import json, sys, pathlib
import pyarrow.parquet as pq
root = pathlib.Path(sys.argv[1])
about = json.loads((root / "manifest.json").read_text())
first, second = about["subsets"]
skip = sum(first["rows"]) + sum(second["rows"][:2])
rows = pq.read_table(root / "subsets").slice(skip, second["rows"][2])
assert set(zip(rows["budget"].to_pylist(), rows["subset"].to_pylist())) == {(second["budget"], 2)}
examples = pq.read_table(root / "examples")
weights = dict(zip(examples["index"].to_pylist(), examples["weight"].to_pylist()))
assert sum(weights.values()) == about["weight"]["total"]
assert sum(weights[index] for index in rows["index"].to_pylist()) == second["weights"][2]
assert not any(name.partition(".")[0] == "syllabus" for name in sys.modules)
print(json.dumps(rows["index"].to_pylist()))
"""


def test_bare_pyarrow(root):
    run = subprocess.run([sys.executable, "-c", STRANGER, root], check=True, capture_output=True, text=True)
    assert json.loads(run.stdout) == Manifest.open(root).subset(0.3, 2).tolist()


def heavier(document):
    for part in ("weight", "partitions"):
        section = document[part] if part == "weight" else document[part][0]
        key = "total" if part == "weight" else "weight"
        section[key] += 2**53


DOCUMENTS = {
    "no total": (lambda d: d["weight"].pop("total"), "the key weight.total is missing"),
    "no column": (lambda d: d["weight"].update(column=3), "weight.column is 3; expected string"),
    "a partition": (
        lambda d: d["partitions"][1].pop("weight"),
        r"the key partitions\[1\]\.weight is missing",
    ),
    "no rows": (lambda d: d["subsets"][0].pop("rows"), r"the key subsets\[0\]\.rows is missing"),
    "a text": (lambda d: d["subsets"][1]["weights"].__setitem__(2, "9"), r"weights\[2\] is '9'; exp"),
    "the sum": (
        lambda d: d["partitions"][0].update(weight=d["partitions"][0]["weight"] + 1),
        rf"partitions: they weigh {TOTAL + 1} together, weight\.total is {TOTAL}",
    ),
    "below one each": (
        lambda d: d["partitions"][0].update(weight=3),
        r"partitions\[0\] weighs 3 with \d+ examples, which weigh at least 1 each",
    ),
    "too much": (heavier, r"weight\.total is \d+; expected at most 9007199254740992"),
    "too little": (lambda d: d["weight"].update(total=-1), r"weight\.total is -1; expected at least 1"),
    "far too much": (lambda d: d["weight"].update(total=10**400), r"weight\.total is \d+; expected at"),
    "fewer rows": (
        lambda d: d["subsets"][0]["rows"].pop(),
        r"subsets\[0\]: rows has 3 entries and weights 4, the count says 4",
    ),
    "other rows": (
        lambda d: d["subsets"][0]["rows"].__setitem__(0, d["subsets"][0]["rows"][0] + 1),
        r"files: subsets/ has \d+ rows, expected \d+",
    ),
    "none": (
        lambda d: (
            d["subsets"][0]["rows"].__setitem__(1, d["subsets"][0]["rows"][1] + d["subsets"][0]["rows"][0]),
            d["subsets"][0]["rows"].__setitem__(0, 0),
        ),
        r"subsets\[0\]\.rows\[0\] is 0; expected at least 1",
    ),
    "above the budget": (
        lambda d: d["subsets"][1]["weights"].__setitem__(3, d["subsets"][1]["budget"] + 1),
        r"subsets\[1\]: subset 3 of \d+ rows weighs \d+, outside \[\d+, budget=\d+\]",
    ),
    "a budget in examples": (
        lambda d: d["subsets"][0].update(budget=6),
        rf"fraction 0\.1 of {TOTAL} is \d+, the budget says 6",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_contradicts_itself(root, name):
    change, message = DOCUMENTS[name]
    edit(root, change)
    problems = validate(root).problems
    assert any(re.search(message, problem) for problem in problems), problems
    assert all("\n" not in problem for problem in problems)
    with pytest.raises(ManifestError, match=r"^manifest\.json: "):
        Manifest.open(root)


ROWS = {
    "below one": ("examples", column("weight", put(4, 0)), r"examples/: index 4 has weight 0, below 1"),
    "another sum": (
        "examples",
        column("weight", put(4, lambda v: v[4] + 1)),
        r"examples/: partition \d weighs \d+, manifest.json says \d+",
    ),
    "null": (
        "examples",
        lambda rows: rows.cast(
            pa.schema([f if f.name != "weight" else pa.field("weight", pa.int64()) for f in rows.schema])
        ),
        "column weight may be null, which it must not",
    ),
    "no column": (
        "examples",
        lambda rows: rows.drop_columns("weight"),
        "column 8 is nothing, expected weight",
    ),
    "another type": (
        "examples",
        lambda rows: rows.set_column(8, "weight", rows["weight"].cast(pa.float64())),
        "column weight is of type double, expected int64",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_that_break_a_rule(root, name):
    directory, change, message = ROWS[name]
    rewrite(root, directory, change)
    assert re.search(message, the_problem(root))


def test_a_subset_that_does_not_weigh_what_is_recorded(root):
    edit(root, lambda d: d["subsets"][0]["weights"].__setitem__(2, d["subsets"][0]["weights"][2] - 1))
    weight = Manifest.open(root).description["subsets"][0]["weights"][2]
    expected = f"subsets/: subset 2 of fraction 0.1: weighs {weight + 1}, manifest.json says {weight}"
    assert the_problem(root) == expected


def test_a_subset_beyond_the_share_of_a_partition(root):
    # The whole stays what it was: the shares by another rule are different, the budget is not.
    edit(root, lambda d: d["options"].update(budgets="equal"))
    problems = validate(root).problems
    assert problems
    assert all(re.search(r"partition \d weighs \d+, its budget is \d+$", problem) for problem in problems)
    edit(root, lambda d: d["options"].update(budgets="proportional"))
    assert validate(root).problems == []
