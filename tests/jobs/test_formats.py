"""One data set in several forms: the same examples, and `validate --source` of each."""

import io
import json
import tarfile

import pyarrow as pa
import pytest
from job_sources import sentences

from syllabus.manifests import Manifest
from syllabus.pipeline import Options, prepare
from syllabus.pipeline.source_check import source_problems

ROWS = [
    {"prompt": text, "answer": f"answer {row}", "label": "ab"[row % 2], "key": f"r{row}", "size": row}
    for row, text in enumerate(sentences(60, 3))
]


def write(folder, form):
    folder.mkdir()
    if form == "jsonl":
        (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif form == "arrow":
        table = pa.Table.from_pylist(ROWS)
        for number in range(2):
            with pa.ipc.new_stream(folder / f"data-0000{number}-of-00002.arrow", table.schema) as writer:
                writer.write_table(table.slice(30 * number, 30), max_chunksize=7)
        names = [{"filename": f"data-0000{number}-of-00002.arrow"} for number in range(2)]
        (folder / "state.json").write_text(json.dumps({"_data_files": names}))
    else:
        with tarfile.open(folder / "d.tar", "w") as archive:
            for row in ROWS:
                for name, value in (
                    ("prompt", row["prompt"]),
                    ("answer", row["answer"]),
                    ("json", json.dumps(row)),
                ):
                    info = tarfile.TarInfo(f"{row['key']}.{name}")
                    info.size = len(value.encode())
                    archive.addfile(info, io.BytesIO(value.encode()))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("formats")
    for form in ("jsonl", "arrow", "tar"):
        write(path / form, form)
        names = {name: f"json.{name}" if form == "tar" else name for name in ("label", "key", "size")}
        prepare(
            Options(
                source=str(path / form),
                output=str(path / f"{form}.m"),
                work_dir=str(path / "work"),
                text="prompt,answer",
                label=names["label"],
                id=names["key"],
                where=f"{names['size']}>=10",
                encoder="hashing",
                fraction=0.2,
                subsets=1,
                neighbours=0,
                importance="disparity_min",
            )
        )
    return path


@pytest.mark.parametrize("form", ["arrow", "tar"])
def test_every_form_has_the_same_examples(made, form):
    one, other = Manifest.open(made / "jsonl.m"), Manifest.open(made / f"{form}.m")
    assert (one.n, other.n) == (50, 50)
    assert one.fingerprint == other.fingerprint
    assert one.subset(0.2, 0).tolist() == other.subset(0.2, 0).tolist()
    assert source_problems(str(made / f"{form}.m"), str(made / form)) == []


def test_another_row_in_the_filter_is_noticed(made, tmp_path):
    changed = [{**row, "size": 10} if row["key"] == "r3" else row for row in ROWS]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in changed))
    (problem,) = source_problems(str(made / "jsonl.m"), str(tmp_path))
    assert "d.jsonl row 3 was filtered out, and the filter lets it through now" in problem


def test_columns_that_a_star_finds_follow_the_label(tmp_path):
    rows = [{"a": row % 7 + 1, "b": row % 5, "one": row % 2, "other": row % 3} for row in range(60)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:3]))
    given = {"neighbours": 2, "subsets": 1, "importance": "disparity_min", "preprocess": "standardise"}
    given |= {
        "source": str(tmp_path / "d.jsonl"),
        "embedding": "*",
        "work_dir": str(tmp_path / "w"),
        "fraction": 0.2,
    }
    for label in ("one", "other"):
        prepare(
            Options(**given, output=str(tmp_path / label), label=label, holdout=str(tmp_path / "test.jsonl"))
        )
        manifest = Manifest.open(tmp_path / label)
        assert manifest.description["encoder"]["dimension"] == 3
        assert manifest.description["holdout"]["near_duplicates"] == 3
        assert source_problems(str(tmp_path / label), str(tmp_path / "d.jsonl")) == []
    # Other columns are other vectors: nothing of the first job may be taken for the second's.
    assert Manifest.open(tmp_path / "one").fingerprint != manifest.fingerprint
    prepare(
        Options(
            **{**given, "work_dir": str(tmp_path / "fresh")}, output=str(tmp_path / "again"), label="other"
        )
    )
    assert Manifest.open(tmp_path / "again").fingerprint == manifest.fingerprint
