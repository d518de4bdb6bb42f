"""Keys of shards: an old work directory is of use only as long as the keys stay what they were.

A change of these literals is a change that every user pays for with a job made anew: then raise the stage's
number in `work_directory.VERSIONS`, and say so in the changelog.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jobs import run

PLAIN = {"fraction": 0.25, "subsets": 1, "importance": "disparity_min", "neighbours": 2}
EVERYTHING = {
    "label": "score",
    "bins": 2,
    "id": "name",
    "weight": "tokens",
    "where": "split=train",
    "preprocess": "center",
    "objective": "facility_location_mutual_information",
    "fraction": (0.2, 0.4),
    "budgets": "sqrt",
    "weight_power": 0.5,
    "subsets": 2,
    "importance": ("radius", "graph_cut:0.9"),
    "neighbours": 3,
    "bucket_size": 16,
    "seed": 5,
}
KEYS = {
    "plain": {
        "census": "14921e27",
        "cover": "a576cc68 d58a33f3 pa576cc6 pd58a33f",
        "embed": "9b0a2611",
        "joins": "d60e12ee",
        "neighbours": "d60e12ee",
        "order": "49fe26b6 87295c35",
        "ranking": "236f85be 66f4ee62",
        "regroup": "e9ac8177",
        "rows": "ab136967",
        "subsets": "156e670a a01bbf3e",
    },
    "everything": {
        "census": "1eedc487 f311067b",
        "cover": "87ab37a9 bd18ee4b p87ab37a pbd18ee4",
        "embed": "4955cf39 7a721f65 c0749b4e",
        "fit": "8fbd66d1",
        "guide": "a413bf46",
        "joins": "1263b2ae 3cb8a921",
        "neighbours": "1263b2ae 3cb8a921",
        "order": "20b2d471 b3421ebf c5eada0b cbfe0dde e0f6061c",
        "ranking": "2329e667 3a410c6e 5ec1e003 ae08c1cf d5974d5e e59541db ed8dd641 ff5c8792",
        "regroup": "c73d9ece",
        "rows": "30f0038e 55885fe7",
        "subsets": "45386980 5e88f6cd 66ff4812 a74310c6",
        "parts": "004951cc 4cee3711 b20a89b1 c11f9ce2 de2066b8 e577a0d5",
    },
}
"""The first digits of the keys of each stage, in their order."""


def write(path: Path, rows: range) -> Path:
    """Vectors of two integers: every sum over them is exact, so that no processor rounds it otherwise."""
    records = [
        {
            "vector": [row % 7 - 3, row % 5 + 1],
            "label": "ab"[row % 2],
            "score": row % 11,
            "name": f"row {row}",
            "tokens": row % 3 + 1,
            "split": "test" if row % 8 == 0 else "train",
        }
        for row in rows
    ]
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.parametrize("name", ["plain", "everything"])
def test_the_keys_of_a_job(tmp_path: Path, name: str) -> None:
    source = write(tmp_path / "s" / "a.jsonl", range(64))
    given = {"memory_per_worker": 1.0, **(PLAIN if name == "plain" else EVERYTHING)}
    if name == "everything":
        given["holdout"] = str(write(tmp_path / "test.jsonl", range(60, 70)))
        given["query"] = str(write(tmp_path / "query.jsonl", range(3, 6)))
    run(source, tmp_path / "m", **given)
    shards = sorted((tmp_path / "m.work").glob("*/*/*"))
    found: dict[str, str] = {}
    for path in shards:
        stage, key = path.relative_to(tmp_path / "m.work").parts[0], path.name.partition(".")[0]
        found[stage] = f"{found[stage]} {key[:8]}" if stage in found else key[:8]
    assert found == KEYS[name]
