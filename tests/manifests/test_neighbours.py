"""The sections of near neighbours in manifest.json, and what they say of the columns of examples."""

import itertools
import json
import re

import jsonschema
import numpy as np
import pytest
from damaged_manifest import column, edit, put, rewrite, the_problem
from small_manifest import write_small_manifest

from syllabus.manifests import json_schema, validate

PAIR = {"source_file": "test.parquet", "source_row": 3, "index": 7, "cosine": 0.97}
HOLDOUT = {"rows": 8, "threshold": 0.95, "near_duplicates": 2, "share": 0.25, "pairs": [PAIR]}


@pytest.fixture
def root(tmp_path):
    manifest = write_small_manifest(tmp_path / "m", n=60, neighbours=True)
    edit(tmp_path / "m", lambda document: document.update(holdout=HOLDOUT))
    assert manifest.description["neighbours"]["duplicates"]["groups"] > 3
    return tmp_path / "m"


def test_a_manifest_with_neighbours_is_valid(root, tmp_path):
    assert validate(root).problems == []
    write_small_manifest(tmp_path / "bare", n=5, classes=0, neighbours=True)
    assert validate(tmp_path / "bare").problems == []


DOCUMENTS = {
    "k": (lambda d: d["neighbours"].update(k=0), r"neighbours.k is 0; expected at least 1"),
    "method": (
        lambda d: d["neighbours"].update(method="lsh"),
        "neighbours.method is 'lsh'; expected exact or ivf",
    ),
    "recall": (
        lambda d: d["neighbours"].update(recall=1.01),
        r"neighbours.recall is 1.01; expected at most 1",
    ),
    "a missing key": (
        lambda d: d["neighbours"].pop("duplicates"),
        "the key neighbours.duplicates is missing",
    ),
    "a type": (
        lambda d: d["neighbours"]["agreement"].update(median="1"),
        "neighbours.agreement.median is '1'; expected number",
    ),
    "a kind": (
        lambda d: d["neighbours"]["agreement"].update(kind="x"),
        "neighbours.agreement.kind is 'x'; expected class or number or list",
    ),
    "a zero share": (
        lambda d: d["neighbours"]["agreement"].update(zero_share=2),
        "zero_share is 2; expected at most 1",
    ),
    "groups": (lambda d: d["neighbours"]["duplicates"].update(groups=31), r"\d+ examples in 31 groups"),
    "a share": (
        lambda d: d["neighbours"]["duplicates"].update(share=0.123),
        "duplicates.share is 0.123, expected",
    ),
    "holdout": (lambda d: d["holdout"].update(near_duplicates=9), "holdout: 9 near-duplicates among 8 rows"),
    "its share": (lambda d: d["holdout"].update(share=0.5), "holdout.share is 0.5, expected 0.25"),
    "its pairs": (lambda d: d["holdout"].update(pairs=[PAIR] * 3), "holdout.pairs has 3 entries, more than"),
    "a pair": (lambda d: d["holdout"]["pairs"][0].pop("index"), r"holdout.pairs\[0\].index is missing"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_section_that_contradicts_itself(root, name):
    change, message = DOCUMENTS[name]
    edit(root, change)
    assert re.search(message, the_problem(root).partition("manifest.json: ")[2])


def test_the_json_schema_knows_the_sections(root):
    schema = json_schema()
    assert {"neighbours", "holdout"} <= set(schema["properties"])
    document = write_small_manifest(root, n=60, neighbours=True, overwrite=True).description
    jsonschema.validate({**document, "holdout": HOLDOUT}, schema)
    for broken in ({"neighbours": {**document["neighbours"], "k": 0}}, {"holdout": {**HOLDOUT, "rows": 0}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**document, **broken}, schema)


def test_the_column_agrees_with_the_section(root):
    rewrite(root, "examples", column("duplicate_group", lambda groups: np.zeros_like(groups)))
    assert re.search(r"examples/: duplicate_group has 1 groups in groups of two", validate(root).problems[0])


def test_a_group_is_named_by_its_first(root):
    rewrite(root, "examples", column("duplicate_group", put(-1, 7)))
    # Index 7 is a row of the source that was rejected.
    assert re.search(r"examples/: index 61 has duplicate_group 7, which is not the first", the_problem(root))


def test_no_group_is_missing(root):
    def change(rows):
        return rows.set_column(
            7, rows.schema.field("duplicate_group"), [[*rows["duplicate_group"].to_pylist()[:-1], None]]
        )

    rewrite(root, "examples", change)
    assert the_problem(root) == "examples/: index 61 has no duplicate_group, and neighbours were searched"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put(3, 9), r"duplicate_of \d+, which is no example before it that is kept"),
        (put(-1, 7), "index 61 has duplicate_of 7, which is no example before it that is kept"),
        (put(-1, 0), "index 61 has duplicate_of 0, which is of another duplicate_group"),
        (lambda covers: np.sort(covers) * 0, "which is of another duplicate_group"),
    ],
)
def test_what_stands_for_an_example_is_kept_and_of_its_group(root, change, message):
    rewrite(root, "examples", column("duplicate_of", change))
    assert re.search(message, the_problem(root))


def test_what_stands_for_an_example_is_not_left_out_itself(root):
    def chained(rows):
        index, covers = rows["index"].to_numpy(), rows["duplicate_of"].to_numpy()
        left = np.flatnonzero(covers != index)
        first, last = next((one, two) for one, two in itertools.pairwise(left) if covers[one] == covers[two])
        return column("duplicate_of", put(last, index[first]))(rows)

    rewrite(root, "examples", chained)
    assert "which is no example before it that is kept" in the_problem(root)


def test_the_cover_agrees_with_its_count(root):
    left_out = json.loads((root / "manifest.json").read_text())["neighbours"]["duplicates"]["cover"][
        "left_out"
    ]
    assert left_out > 3
    edit(root, lambda d: d["neighbours"]["duplicates"]["cover"].update(left_out=left_out - 1))
    assert (
        the_problem(root)
        == f"examples/: duplicate_of leaves out {left_out} examples, manifest.json says {left_out - 1}"
    )
    edit(root, lambda d: d["neighbours"]["duplicates"]["cover"].update(left_out=60))
    assert re.search(r"cover leaves out 60 examples; one of each group leaves out \d+", the_problem(root))


def test_a_cover_needs_its_column(root):
    rewrite(root, "examples", lambda rows: rows.drop_columns(["duplicate_of"]))
    assert re.search(r"column 8 is nothing, expected duplicate_of", " ".join(validate(root).problems))


def test_what_speaks_against_copies_is_known_by_name(root):
    edit(root, lambda d: d["neighbours"]["duplicates"]["separation"].update(against=["chance"]))
    assert re.search(r"separation.against\[0\] is 'chance'; expected random_share or", the_problem(root))
