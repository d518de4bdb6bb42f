"""The JSON Schema against manifests that real jobs write: it knows every key, and the type of each."""

import copy
import json
import re

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from job_sources import document, write_embeddings
from jobs import run

from syllabus.manifests import json_schema
from syllabus.manifests.format.json_schema import violations
from syllabus.manifests.format.schema import PART
from syllabus.pipeline.stages.neighbours import stage

VALIDATOR = jsonschema.Draft202012Validator(json_schema())
NAMES = ("guided", "clusters", "weighted")


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    """Every section: guided, interleaved, test data; one subset, coarse lists, sketches by PCA."""
    folder = tmp_path_factory.mktemp("schema")
    vectors = write_embeddings(folder / "s" / "a.parquet", 300)
    pq.write_table(pa.table({"vector": list(vectors[:5])}), folder / "rows.parquet")
    bad = pa.table({"vector": [*vectors[:20], np.full(24, np.nan, np.float32)], "label": [0] * 21})
    pq.write_table(bad, folder / "bad.parquet")
    guided = {"objective": "facility_location_mutual_information", "query": str(folder / "rows.parquet")}
    parts = {"memory_per_worker": 1e-5, "bucket_size": 32}
    importance = ["radius", "disparity_min:0.5"]
    more = {"holdout": str(folder / "rows.parquet"), "fraction": (0.1, 0.5), "subsets": 3}
    run(folder / "s", folder / "guided", importance=importance, **guided, **parts, **more)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "EXACT_ROWS", 10)
        options = {"label": None, "optimizer": "lazy", "sketch_dim": 8, "max_reject_rate": 0.1}
        run(folder / "bad.parquet", folder / "clusters", **options)
    rows = pq.read_table(folder / "s" / "a.parquet")
    pq.write_table(rows.append_column("tokens", pa.array(range(1, 301))), folder / "tokens.parquet")
    run(folder / "tokens.parquet", folder / "weighted", weight="tokens", subsets=2, neighbours=0)
    return {name: document(folder / name) for name in NAMES}


def test_the_manifests_are_valid(documents):
    for made in documents.values():
        VALIDATOR.validate(made)
        assert violations(json.dumps(made).encode()) == []
    guided, clusters, weighted = (documents[name] for name in NAMES)
    assert guided["orders"]["herding"]["interleaved"] > 1
    assert all(subset["interleaved"] for subset in guided["subsets"][1:])
    assert guided["holdout"]["pairs"]
    assert clusters["subsets"][0]["jaccard"] is None
    assert clusters["neighbours"]["method"] == "ivf"
    assert weighted["weight"]["column"] == "tokens"
    assert clusters["counts"]["reasons"] == {"NaN vector": 1}


def described(schema, value, where=""):
    """The paths in `value` for which `schema` has nothing to say."""
    reference = schema.get("$ref", "").rpartition("/")[2]
    target = json_schema()["$defs"][reference] if reference else {}
    inherited = [json_schema()["$defs"][each["$ref"].rpartition("/")[2]] for each in schema.get("allOf", [])]
    known = {}
    for each in (target, *inherited, schema):
        known.update(each.get("properties", {}))
    if isinstance(value, dict):
        for key, inner in value.items():
            own = known.get(key, schema.get("additionalProperties"))
            path = f"{where}.{key}".lstrip(".")
            yield from [path] if own is None else described(own, inner, path)
    elif isinstance(value, list):
        items = schema.get("items", target.get("items"))
        for inner in value:
            yield from [f"{where}[]"] if items is None else described(items, inner, f"{where}[]")


def test_every_key_is_described(documents):
    for made in documents.values():
        assert set(described(json_schema(), made)) == set()


def places(value, path=()):
    """Every place in a document; of an array the first and last."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(value, list) and key not in (0, len(value) - 1):
            continue
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))


def shown(path):
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)[1:]


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_type_anywhere_is_found(documents, name):
    checked = 0
    for path in places(documents[name]):
        broken = copy.deepcopy(documents[name])
        holder = broken
        for key in path[:-1]:
            holder = holder[key]
        # No value is ever an object where another kind stands, or an array of one where an object does.
        holder[path[-1]] = [{}] if isinstance(holder[path[-1]], dict) else {}
        assert not VALIDATOR.is_valid(broken), path
        lines = violations(json.dumps(broken).encode())
        # Where null is allowed, an empty object lacks its keys.
        key = re.escape(shown(path))
        of_it = rf"{key} is (\{{\}}|\[\{{\}}\]); expected [^\n]+|the key {key}\.\w+ is missing"
        assert lines
        assert all(re.fullmatch(of_it, line) for line in lines), lines
        checked += 1
    assert checked > 80


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_key_anywhere_is_found(documents, name):
    checked = 0
    for path in places(documents[name]):
        broken = copy.deepcopy(documents[name])
        holder = broken
        for key in path[:-1]:
            holder = holder[key]
        if isinstance(holder, dict):
            del holder[path[-1]]
            lines = violations(json.dumps(broken).encode())
            assert (lines == []) == VALIDATOR.is_valid(broken), path
            checked += len(lines)
            assert lines in ([], [f"the key {shown(path)} is missing"])
    assert checked > 30


def test_names_of_parts_are_defined_alike():
    (pattern,) = (json_schema()["properties"]["files"]["items"]["properties"]["path"]["pattern"],)
    expected = re.sub(r"\(\?P<number>(.*?)\)", r"\1", PART.pattern).replace("(?:", "(")
    assert pattern == f"^{expected}$"
