"""Every rule between the rows of a manifest: broken once, found in one line that begins with the table."""

import hashlib
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from damaged_manifest import column, edit, put, rewrite, swap, the_problem
from small_manifest import write_small_manifest

from syllabus.manifests import budget, validate
from syllabus.manifests.ids import RepetitionCheck, hashes


@pytest.fixture
def root(tmp_path):
    write_small_manifest(tmp_path / "m", n=60, fractions=(0.1, 0.3))
    return tmp_path / "m"


ROWS = {
    "ids twice": (
        "examples",
        column("id", put(7, lambda v: v[3])),
        r"1 ids occur more than once \('example-0",
    ),
    "examples unsorted": (
        "examples",
        column("index", swap),
        r"row 4 with \(index\) = \(3\) does not come after",
    ),
    "index outside": ("examples", column("index", put(-1, 99)), "from 0 to 99, outside the 62 source rows"),
    "partition": ("examples", column("partition", put(0, 3)), "index 0 is in partition 3 of 3"),
    "partition sizes": (
        "examples",
        column("partition", put(0, lambda v: (v[0] + 1) % 3)),
        "partition 0 has ",
    ),
    "duplicate group": (
        "examples",
        lambda rows: rows.set_column(7, "duplicate_group", pa.array([None, 5, *[None] * 58], pa.int64())),
        "index 1 has duplicate_group 5",
    ),
    "order value twice": (
        "orders/balance",
        column("index", put(5, lambda v: v[9])),
        "no permutation of the ex",
    ),
    "order outside": (
        "orders/balance",
        column("index", put(5, 7)),
        "position 5 has index 7, which is no acce",
    ),
    "order positions": ("orders/balance", column("position", swap), "row 3 has position 4, expected 3"),
    "subset outside": ("subsets", column("index", put(5, 7)), "subset 0 of fraction 0.1: index 7 is no acce"),
    "subset twice": (
        "subsets",
        lambda rows: column("index", put(0, lambda v: v[_same_partition(rows, 0)]))(rows),
        r"subset 0 of fraction 0.1: index \d+ occurs more than once",
    ),
    "subset number": (
        "subsets",
        column("subset", put(7, 0)),
        "subset 1 of fraction 0.1: row 1 has subset 0, ex",
    ),
    "subset budget": ("subsets", column("budget", put(7, 5)), "row 1 has budget 5, expected 6"),
    "subset fraction": ("subsets", column("fraction", put(7, 0.11)), "row 1 has fraction 0.11, expected 0.1"),
    "subset position": ("subsets", column("position", swap), "row 3 has position 4, expected 3"),
    "subset rank": (
        "subsets",
        column("rank", put(30, 17)),
        r"fraction 0.3: the ranks of partition \d are not",
    ),
    "subset gain": ("subsets", column("gain", put(2, np.nan)), r"index \d+ has gain nan"),
    "subset partition": ("subsets", column("partition", lambda v: (v + 1) % 3), "the examples say"),
    "importance rank": (
        "importances/radius",
        column("rank", swap),
        r"row 3 has \(partition, rank\) \(0, 4\), exp",
    ),
    "importance index": (
        "importances/radius",
        column("index", put(3, lambda v: v[4])),
        "no permutation of the examples: 1 do not occur",
    ),
    "importance partition": (
        "importances/radius",
        column("index", put([0, -1], lambda v: v[[-1, 0]])),
        r"index \d+ has partition 0, the examples say 2",
    ),
    "probabilities": (
        "importances/radius",
        column("probability", lambda v: v / 2),
        "partition 0 sum to 0.5, not",
    ),
    "negative": (
        "importances/radius",
        column("probability", put(1, -0.1)),
        r"index \d+ has probability -0\.1",
    ),
    "score": ("importances/radius", column("score", put(1, np.inf)), r"index \d+ has score inf"),
    "sketches": (
        "sketches",
        column("index", put(-1, 100)),
        "row 59 has index 100, the examples have 61 there",
    ),
    "reasons": ("rejects", column("reason", put(0, "other")), "the reasons are .*'other': 1"),
    "detail": ("rejects", column("detail", put(0, "ä" * 201)), "a detail has 201 characters, above 200"),
    "columns": (
        "rejects",
        lambda rows: rows.select([1, 0, 2, 3]),
        "column 0 is source_row, expected source_file",
    ),
    "types": (
        "orders/balance",
        lambda rows: rows.cast(
            pa.schema([pa.field(name, pa.int32(), nullable=False) for name in rows.column_names])
        ),
        "column position is of type int32, expected int64",
    ),
    "nulls": (
        "rejects",
        lambda rows: rows.cast(pa.schema([field.with_nullable(True) for field in rows.schema])),
        "column source_file may be null",
    ),
}


def _same_partition(rows, place):
    """Another row of the first subset in the same partition."""
    partition = rows["partition"].to_numpy()[: budget(0.1, 60)]
    return next(row for row in range(len(partition)) if row != place and partition[row] == partition[place])


@pytest.mark.parametrize("name", ROWS)
def test_rows_that_break_a_rule(root, name):
    directory, change, message = ROWS[name]
    rewrite(root, directory, change)
    problems = validate(root).problems
    assert problems
    assert re.search(message, problems[0]), problems
    assert all(line.startswith(f"{directory}/") and "\n" not in line for line in problems)


@pytest.mark.parametrize(("more", "fewer"), [(0, 1), (1, 0)])
def test_budgets_are_respected(tmp_path, more, fewer):
    # A subset that takes one more of a partition and one fewer of another, consistent in all else.
    manifest = write_small_manifest(tmp_path / "m", n=60, fractions=(0.3,), subsets=1)
    examples = manifest.table("examples", ["index", "partition"]).to_pandas()

    def move(rows):
        frame = rows.to_pandas()
        last = frame[frame["partition"] == fewer]["rank"].idxmax()
        spare = examples[(examples["partition"] == more) & ~examples["index"].isin(frame["index"])][
            "index"
        ].iloc[0]
        count = (frame["partition"] == more).sum()
        frame.loc[last, ["partition", "rank", "index"]] = [more, count, spare]
        return pa.Table.from_pandas(frame, rows.schema, preserve_index=False).replace_schema_metadata(None)

    rewrite(tmp_path / "m", "subsets", move)
    assert re.search(r"partition 0 has (\d+) examples, its budget is \d+", the_problem(tmp_path / "m"))


def test_blocks_of_the_fingerprint_are_counted(root):
    def other(document):
        blocks = document["fingerprint"]["blocks"] * 2
        whole = hashlib.sha256(b"".join(bytes.fromhex(block) for block in blocks)).hexdigest()
        document["fingerprint"].update(blocks=blocks, sha256=whole)

    edit(root, other)
    line = "manifest.json: fingerprint has 2 blocks of 8192 rows, for 60 of 62 rows"
    assert the_problem(root) == line
    edit(root, lambda document: document["fingerprint"].update(block_rows=100))
    edit(root, lambda document: document["counts"].update(source_rows=200))
    assert the_problem(root) == "examples/: the indices fall into 1 fingerprint blocks, manifest.json lists 2"


def hashed(text: str) -> int:
    """By the definition."""
    content = text.encode()
    words = [content[first : first + 8] for first in range(0, len(content), 8)]
    result = len(content)
    for word in [*words, b""]:
        result ^= int.from_bytes(word, "little")
        result = (result ^ result >> 32) * 0x9E3779B97F4A7C15 % 2**64
        result ^= result >> 29
    return result


def test_repetitions_among_many_ids():
    rng = np.random.default_rng(0)
    ids = [f"{value:x}" for value in rng.permutation(20_000)] + ["", "\0", "\0\0", "ä", "a\u0308"]
    chunks = [pa.chunked_array([ids[:9000], ids[9000:]]), pa.chunked_array([["new", "7", "ä"]])]
    check = RepetitionCheck()
    for chunk in chunks:
        check.add(chunk)
    assert check.repeated(iter(chunks)) == ["7", "ä"]
    check = RepetitionCheck()
    for chunk in chunks:
        check.add(chunk)
    rows = [np.arange(len(chunks[0])) * 2, np.array([7, 5, 6])]
    assert check.repeated_rows(zip(rows, chunks, strict=True)).tolist() == [5, 6]
    # Nothing is read again where no hashes meet; equal hashes of different ids are told apart.
    check = RepetitionCheck()
    check.add(chunks[0])
    assert check.repeated(iter([])) == []
    assert len(np.unique(hashes(chunks[0].combine_chunks()))) == len(ids)
    texts = ["", "a", "\0", "\0\0", "12345678", "123456789", "ü" * 40, "x" * 23]
    assert hashes(pa.array(["lost", *texts, "lost"]).slice(1, len(texts))).tolist() == list(
        map(hashed, texts)
    )
    one, other = (hashes(pa.array(ids), seed) for seed in (1, 2))
    assert len(np.unique(np.concatenate([one, other]))) == 2 * len(ids)
    sliced = hashes(chunks[0].combine_chunks().slice(19_000))
    assert sliced.tolist() == hashes(chunks[0].combine_chunks())[19_000:].tolist()


def test_meeting_hashes_are_no_repetition(monkeypatch):
    monkeypatch.setattr(
        "syllabus.manifests.ids.hashes", lambda ids: pc.utf8_length(ids).to_numpy().astype(np.uint64)
    )
    check = RepetitionCheck()
    ids = pa.chunked_array([["a", "b", "cc", "dd", "dd"]])
    check.add(ids)
    assert check.repeated(iter([ids])) == ["dd"]
    check.add(ids)
    assert check.repeated_rows(iter([(np.arange(5), ids)])).tolist() == [4]
