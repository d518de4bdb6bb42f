"""What a job rejects row by row, refuses in one line, and stops at."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from job_sources import digests, document, sentences, table, write_embeddings, write_texts
from jobs import run
from PIL import Image

from syllabus.manifests import Manifest, validate
from syllabus.pipeline import JobError, Options, UserError


def test_bad_records_are_rejected_by_name(tmp_path: Path) -> None:
    rows = [
        json.dumps({"text": text, "label": "ab"[row % 2], "key": str(row)}).encode()
        for row, text in enumerate(sentences(500, 4))
    ]
    rows[10] = b'{"text": null, "label": "a", "key": "10"}'
    rows[11] = b'{"text": "caf\xe9", "label": "a", "key": "11"}'
    rows[12] = b'{"text": "no class", "label": null, "key": "12"}'
    rows[13] = b'{"text": "taken", "label": "b", "key": "7"}'
    rows[14] = b'{"text": "half a record'
    rows[15] = b'{"text": "", "label": "b", "key": "15"}'
    source = tmp_path / "s" / "t.jsonl"
    source.parent.mkdir()
    source.write_bytes(b"\n".join(rows))
    run(tmp_path / "s", tmp_path / "m", text="text", id="key", subsets=1, max_reject_rate=0.02)
    found = {row["source_row"]: row["reason"] for row in table(tmp_path / "m", "rejects").to_pylist()}
    assert found == {
        10: "null text",
        11: "invalid UTF-8",
        12: "missing label",
        13: "duplicate id",
        14: "unreadable record",
        15: "blank text",
    }
    counts = document(tmp_path / "m")["counts"]
    assert counts["accepted"] + counts["rejected"] == counts["source_rows"] == 500
    assert counts["rejected"] == len(found) == sum(counts["reasons"].values())
    index = table(tmp_path / "m", "examples").column("index").to_pylist()
    assert index == [row for row in range(500) if row not in found]
    with pytest.raises(
        JobError, match=r"6 of 500 rows are bad \(1.20%; max_reject_rate is 1.00%\).*t.jsonl row 10: null"
    ):
        run(tmp_path / "s", tmp_path / "strict", text="text", id="key", subsets=1)
    assert not (tmp_path / "strict").exists()


def test_of_a_duplicate_id_the_first_accepted_row_stays(tmp_path: Path) -> None:
    """Across files and chunks, and where the first of them is a reject for another reason."""
    write_texts(tmp_path / "s" / "a.jsonl", 50, 1)
    lines = (tmp_path / "s" / "a.jsonl").read_text().splitlines()
    broken = json.loads(lines[3]) | {"text": None}
    (tmp_path / "s" / "a.jsonl").write_text("\n".join([*lines[:3], json.dumps(broken), *lines[4:]]))
    (tmp_path / "s" / "b.jsonl").write_text("\n".join([lines[3], lines[3], lines[5]]))
    run(tmp_path / "s", tmp_path / "m", text="text", id="key", subsets=1, max_reject_rate=1)
    rejects = [
        (row["source_file"], row["source_row"], row["reason"])
        for row in table(tmp_path / "m", "rejects").to_pylist()
    ]
    assert rejects == [
        ("a.jsonl", 3, "null text"),
        ("b.jsonl", 1, "duplicate id"),
        ("b.jsonl", 2, "duplicate id"),
    ]


def test_broken_vectors_are_rejected(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "s" / "a.parquet", 400, seed=5)
    rows = pq.read_table(tmp_path / "s" / "a.parquet").to_pydict()
    rows["vector"][3][7] = float("nan")
    rows["vector"][4] = rows["vector"][4][:10]
    rows["vector"][5] = None
    rows["vector"][6] = [0.0] * 24
    import pyarrow as pa

    pq.write_table(pa.table(rows), tmp_path / "s" / "a.parquet")
    run(tmp_path / "s", tmp_path / "m", subsets=1, max_reject_rate=0.5)
    found = {
        row["source_row"]: (row["reason"], row["detail"])
        for row in table(tmp_path / "m", "rejects").to_pylist()
    }
    assert found == {
        3: ("NaN vector", "value 7 is nan"),
        4: ("wrong width", "10 values; expected 24"),
        5: ("null vector", "column vector is null"),
        6: ("zero vector", "a vector of norm 0 has no direction"),
    }


def test_broken_images_are_rejected(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for number in range(60):
        folder = tmp_path / "s" / ("cats", "dogs")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / f"{number:02d}.png")
    whole = (tmp_path / "s" / "cats" / "08.png").read_bytes()
    (tmp_path / "s" / "cats" / "08.png").write_bytes(whole[:40])
    (tmp_path / "s" / "dogs" / "11.png").write_bytes(b"no image at all")
    options = {"embedding": None, "image": "image", "label": "folder", "encoder": "toy_encoder:pixels"}
    run(tmp_path / "s", tmp_path / "m", subsets=1, max_reject_rate=0.1, **options)
    rejects = [(row["source_file"], row["reason"]) for row in table(tmp_path / "m", "rejects").to_pylist()]
    assert rejects == [("cats/08.png", "unreadable image"), ("dogs/11.png", "unreadable image")]
    rows = table(tmp_path / "m", "examples").to_pydict()
    assert len(rows["index"]) == 58
    assert {
        (file.split("/")[0], label) for file, label in zip(rows["source_file"], rows["label"], strict=True)
    } == {
        ("cats", "cats"),
        ("dogs", "dogs"),
    }
    assert validate(str(tmp_path / "m")).problems == []


def test_a_chunk_without_an_accepted_row(tmp_path: Path) -> None:
    for number, text in enumerate(sentences(30, 8)):
        path = tmp_path / "s" / f"{number:02d}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"text": None if number == 7 else text}) + "\n")
    run(tmp_path / "s", tmp_path / "m", text="text", label=None, subsets=1, max_reject_rate=0.1)
    assert validate(str(tmp_path / "m")).problems == []
    assert Manifest.open(tmp_path / "m").n == 29


def test_long_duplicate_ids_keep_to_the_format(tmp_path: Path) -> None:
    lines = [
        json.dumps({"text": text, "key": "k" * 400 if row < 2 else str(row)})
        for row, text in enumerate(sentences(40, 10))
    ]
    (tmp_path / "s.jsonl").write_text("\n".join(lines))
    run(
        tmp_path / "s.jsonl",
        tmp_path / "m",
        text="text",
        label=None,
        id="key",
        subsets=1,
        max_reject_rate=0.1,
    )
    assert validate(str(tmp_path / "m")).problems == []


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"fraction": (0.1, 0.1004)}, "fraction=0.1004 of 500 examples is 50, and so is 0.1"),
        ({"fraction": 0.0001}, "fraction=0.0001 of 500 examples is less than one"),
        ({"preprocess": "center+pca:25"}, r"preprocess='center\+pca:25': 25 is above the 24 dimensions"),
        ({"label": None, "clusters": 501}, "clusters=501: is above 500, what 500 examples allow"),
        ({"ess": 0.0001}, r"importance=radius:0.0001: all rows: .* out of reach"),
        ({"embedding": "vektor"}, r"column 'vektor' is unknown; did you mean 'vector'\?"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, options: dict[str, object], line: str) -> None:
    write_embeddings(tmp_path / "s" / "a.parquet", 500)
    with pytest.raises(UserError, match=line):
        run(tmp_path / "s", tmp_path / "m", **{"subsets": 1, **options})
    assert not (tmp_path / "m" / "manifest.json").exists()


def test_clusters_without_faiss_are_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_embeddings(tmp_path / "s" / "a.parquet", 60)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"faiss is missing: pip install 'syllabus\[cpu\]'"):
        run(tmp_path / "s", tmp_path / "m", label=None)
    assert not (tmp_path / "m.work").exists()
    monkeypatch.setitem(sys.modules, "faiss", None)
    run(tmp_path / "s", tmp_path / "m", preprocess="center", subsets=1)  # which asks for no cluster


def test_a_file_that_changes_during_the_job_leaves_no_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written anew between plan and embed, its rows must not lie under the keys of those before."""
    from syllabus.pipeline import preparation

    source, planned = tmp_path / "s" / "a.parquet", preparation.make_plan
    write_embeddings(source, 300, seed=1)

    def and_then_changed(options: Options) -> object:
        plan = planned(options)
        write_embeddings(source, 300, seed=2)
        return plan

    monkeypatch.setattr(preparation, "make_plan", and_then_changed)
    with pytest.raises(UserError, match=r"a.parquet: has changed since the job began; run again"):
        run(tmp_path / "s", tmp_path / "m", subsets=1)
    assert not list((tmp_path / "m.work" / "embed").rglob("*.parquet"))
    monkeypatch.undo()
    run(tmp_path / "s", tmp_path / "m", subsets=1)
    run(tmp_path / "s", tmp_path / "fresh", subsets=1)
    assert digests(tmp_path / "m") == digests(tmp_path / "fresh")
