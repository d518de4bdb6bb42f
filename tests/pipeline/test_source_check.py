"""The source check: the examples are the same, and what was rejected or filtered out still is."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cli_jobs import prepare
from job_sources import sentences

from syllabus.pipeline.command_line import app as cli
from syllabus.pipeline.source_check import source_problems

COUNT = 120


def rows():
    made = [
        {"text": text, "label": "ab"[i % 2], "id": f"k{i}", "split": "train", "tokens": 5}
        for i, text in enumerate(sentences(COUNT, 3))
    ]
    made[3]["text"] = "  "
    made[5]["text"] = None
    made[7]["label"] = None
    made[9]["id"] = "k2"
    made[11]["split"] = "test"
    made[13]["tokens"] = 0
    return made


def write(path, made):
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source_check")
    source = write(folder / "d.jsonl", rows())
    flags = ["--id", "id", "--where", "split=train", "--weight", "tokens", "--max-reject-rate", "0.5"]
    flags += ["--fraction", "0.5", "--subsets", "1", "--neighbours", "0"]
    assert prepare(source, folder / "filtered", *flags, label="label") == 0
    flags[2:4] = []
    assert prepare(source, folder / "whole", *flags, label="label") == 0
    return folder


@pytest.mark.parametrize("name", ["filtered", "whole"])
def test_the_source_itself_is_sound_under_any_name(made, name, tmp_path):
    assert source_problems(str(made / name), str(made / "d.jsonl")) == []
    assert source_problems(str(made / name), str(write(tmp_path / "renamed.jsonl", rows()))) == []


@pytest.mark.parametrize(
    ("row", "change", "reason"),
    [
        (3, {"text": "a text"}, "blank text"),
        (5, {"text": "a text"}, "null text"),
        (7, {"label": "a"}, "missing label"),
        (13, {"tokens": 3}, "bad weight"),
    ],
)
@pytest.mark.parametrize("name", ["filtered", "whole"])
def test_a_reject_that_would_be_accepted_now_is_named(made, name, tmp_path, row, change, reason):
    changed = rows()
    changed[row].update(change)
    path = write(tmp_path / "d.jsonl", changed)
    assert source_problems(str(made / name), str(path)) == [
        f"source {path}: d.jsonl row {row} was rejected ({reason}), and would be accepted now"
    ]


def test_a_row_that_stays_bad_for_another_reason_is_no_problem(made, tmp_path):
    changed = rows()
    changed[3]["text"] = None
    changed[7].update({"label": "a", "text": ""})
    assert source_problems(str(made / "whole"), str(write(tmp_path / "d.jsonl", changed))) == []


def test_a_duplicate_that_has_an_id_of_its_own_now_is_named(made, tmp_path):
    changed = rows()
    changed[9]["id"] = "k9"
    (told,) = source_problems(str(made / "whole"), str(write(tmp_path / "d.jsonl", changed)))
    assert "rows that were rejected (duplicate id) have another id now" in told
    assert "('k9')" in told


def test_a_filtered_row_that_is_let_through_now_is_named(made, tmp_path):
    changed = rows()
    changed[11]["split"] = "train"
    path = write(tmp_path / "d.jsonl", changed)
    (told,) = source_problems(str(made / "filtered"), str(path))
    assert told.endswith("d.jsonl row 11 was filtered out, and the filter lets it through now")
    # A reject that the filter leaves out now is no example either.
    changed = rows()
    changed[3]["split"] = "test"
    assert source_problems(str(made / "filtered"), str(write(tmp_path / "d.jsonl", changed))) == []


def test_a_vector_of_zeros_is_still_a_reject_and_no_other_is(tmp_path):
    vectors = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
    vectors[4], vectors[6, 2] = 0, np.nan

    def written(name):
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 4)
        pq.write_table(pa.table({"v": column}), tmp_path / name)
        return str(tmp_path / name)

    source = written("a.parquet")
    flags = ["--embedding", "v", "--clusters", "2", "--max-reject-rate", "0.5", "--fraction", "0.5"]
    arguments = ["prepare", "--source", source, "--output", str(tmp_path / "m"), *flags, "--subsets", "1"]
    assert cli.run(arguments) == 0
    assert source_problems(str(tmp_path / "m"), source) == []
    vectors[4] = 1
    (told,) = source_problems(str(tmp_path / "m"), written("b.parquet"))
    assert told.endswith("b.parquet row 4 was rejected (zero vector), and would be accepted now")
