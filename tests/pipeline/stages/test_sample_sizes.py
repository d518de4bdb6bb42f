"""An effective sample size that no probabilities can have is refused as soon as that is known."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_sources import write_embeddings
from jobs import run

from syllabus.pipeline import Options, UserError
from syllabus.pipeline.stages.select.sample_sizes import check_scores, check_sizes
from syllabus.selectors import DisparityMin, SelectionError, importances, maximize

LEAST = {"source": "/data", "output": "/m", "text": "text", "encoder": "hashing"}


def refuses(check, *arguments):
    try:
        check(*arguments)
    except (UserError, SelectionError):
        return True
    return False


@given(rows=st.integers(1, 30), seed=st.integers(0, 10**6), base=st.sampled_from(["radius", "disparity_min"]))
@settings(max_examples=60, deadline=None)
def test_what_the_sizes_refuse_the_probabilities_refuse(rows, seed, base):
    vectors = np.random.default_rng(seed).standard_normal((rows, 3))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    gains = maximize(DisparityMin(vectors), rows, optimizer="naive").gains
    scores = importances.insertion_radii(gains) if base == "radius" else gains
    floor = (2 if base == "radius" else 1) / rows
    for asked in (floor / 2, floor, floor * 1.001):
        ess = min(1.0, asked)
        options = Options(**LEAST, importance=base, ess=ess)
        # One example, or two of equal radius, are drawn evenly whatever is asked.
        assert refuses(check_sizes, options, [("here", rows)]) == (ess <= floor < 1)
        assert refuses(check_scores, options.importances[0], "here", scores) == (ess <= floor < 1)
        assert refuses(importances.tempered_probabilities, scores, ess) == (ess <= floor < 1)


def test_the_line_names_importance_partition_value_and_range():
    options = Options(**LEAST, importance=["radius:0.01", "facility_location:0.05"])
    check_sizes(options, [("large", 1000), ("one", 1)])
    with pytest.raises(UserError) as error:
        check_sizes(options, [("large", 1000), ("partition 'b'", 25), ("partition 'c'", 40)])
    assert str(error.value) == (
        "importance=radius:0.01: partition 'b': an effective sample size of 0.01 is out of reach;"
        " of 25 examples it can be (0.08, 1]"
    )


def stages_begun(work: Path) -> set[str]:
    return {path.name for path in work.iterdir() if path.is_dir()} if work.exists() else set()


def refusal(source: Path, output: Path, **options: object) -> str:
    with pytest.raises(UserError) as error:
        run(source, output, subsets=1, **options)
    assert not (output / "manifest.json").exists()
    (line,) = str(error.value).splitlines()
    return line


def test_less_than_one_of_all_rows_embeds_nothing(tmp_path):
    write_embeddings(tmp_path / "s" / "a.parquet", 200)
    line = refusal(tmp_path / "s", tmp_path / "m", importance="disparity_min:0.005")
    assert line.endswith(
        "all rows: an effective sample size of 0.005 is out of reach; of 200 examples it can be (0.005, 1]"
    )
    assert "embed" not in stages_begun(tmp_path / "m.work")


def test_the_smallest_class_refuses_before_neighbours_are_searched(tmp_path):
    vectors = write_embeddings(tmp_path / "a.parquet", 200)
    labels = ["rare"] * 5 + ["other"] * 195
    pq.write_table(pa.table({"vector": list(vectors), "label": labels}), tmp_path / "a.parquet")
    line = refusal(tmp_path / "a.parquet", tmp_path / "m", ess=0.4, importance="radius")
    assert "importance=radius:0.4: partition 'rare':" in line
    assert line.endswith("of 5 examples it can be (0.4, 1]")
    assert stages_begun(tmp_path / "m.work") == {"embed", "rows", "census"}
    run(tmp_path / "a.parquet", tmp_path / "m", subsets=1, ess=0.41, importance="radius")


def test_a_cluster_refuses_before_anything_is_chosen_from_it(tmp_path):
    write_embeddings(tmp_path / "a.parquet", 200)
    options = {"label": None, "clusters": 4, "importance": "radius:0.012"}
    line = refusal(tmp_path / "a.parquet", tmp_path / "m", **options)
    assert "importance=radius:0.012: partition " in line
    assert "of 200 examples" not in line
    assert stages_begun(tmp_path / "m.work").isdisjoint({"ranking", "subsets"})


def test_ties_for_the_first_place_refuse_before_subsets_are_chosen(tmp_path):
    # Ten rows at right angles are equally far apart; forty copies are not.
    vectors = np.eye(12, dtype=np.float32)[[*range(10), *[0] * 40]]
    vectors[10:, 11] = np.linspace(0.01, 0.2, 40)
    pq.write_table(pa.table({"vector": list(vectors), "label": ["a"] * 50}), tmp_path / "a.parquet")
    line = refusal(tmp_path / "a.parquet", tmp_path / "m", importance="radius:0.15")
    assert line == (
        "importance=radius:0.15: partition 'a': an effective sample size of 0.15 is out of reach;"
        " where 10 of 50 examples tie it can be (0.2, 1]"
    )
    begun = stages_begun(tmp_path / "m.work")
    assert "ranking" in begun
    assert begun.isdisjoint({"subsets", "chosen"})


@pytest.mark.parametrize("bucket_size", [16, 16_384])
def test_a_refusal_of_ties_leaves_the_manifest_that_was_to_be_replaced(tmp_path, bucket_size):
    # Of one bucket the ranking is there already and nothing is chosen; of several only all of them can tell.
    vectors = np.eye(12, dtype=np.float32)[[*range(12), *[0] * 48]]
    pq.write_table(pa.table({"vector": list(vectors), "label": ["a"] * 60}), tmp_path / "a.parquet")
    options = {"subsets": 1, "bucket_size": bucket_size}
    run(tmp_path / "a.parquet", tmp_path / "m", importance="radius", **options)
    before = (tmp_path / "m" / "manifest.json").read_bytes()
    with pytest.raises(UserError, match="of 60 examples tie"):
        run(tmp_path / "a.parquet", tmp_path / "m", importance="radius:0.1", overwrite=True, **options)
    assert (tmp_path / "m" / "manifest.json").read_bytes() == before
