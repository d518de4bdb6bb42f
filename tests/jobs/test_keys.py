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
        "census": "a2868dfa",
        "chosen": "v0a5d04e v5bdc884",
        "cover": "c9b28713 f7abc1d8 pc9b2871 pf7abc1d",
        "embed": "f3097ab8",
        "joins": "cc7c202a",
        "neighbours": "cc7c202a",
        "order": "284d8bc0 db6045e6",
        "ranking": "7d2df3b6 f95c6c19",
        "regroup": "e53319cd",
        "rows": "239a528c",
        "subsets": "0a5d04eb 5bdc8848",
    },
    "everything": {
        "census": "5f39d040 6659e92b",
        "chosen": "v1a3867a v26f69a5 va8a5576 vf4cb823",
        "cover": "4bbfb427 5fb84b34 p4bbfb42 p5fb84b3",
        "embed": "10db2b99 2093298a 252aebab",
        "fit": "94e9040a",
        "guide": "ca29df2c",
        "joins": "7b95b501 8aebdc02",
        "neighbours": "7b95b501 8aebdc02",
        "order": "06157ec9 14fcac68 c1a573f5 c2dbcb3e e8d7f21c",
        "ranking": "372937b8 3d123ba2 5ae78e07 8793de6e 8ab91835 8e2bbfc6 a5fcd62f d878b297",
        "regroup": "dd8f67ae",
        "rows": "59e63c04 e5bb9df3",
        "subsets": "1a3867ae 26f69a57 a8a5576f f4cb8237",
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
    # `cover` was added when near-duplicates got one; no other key changed.
    shards = sorted((tmp_path / "m.work").glob("*/*/*"))
    found: dict[str, str] = {}
    for path in shards:
        stage, key = path.relative_to(tmp_path / "m.work").parts[0], path.name.partition(".")[0]
        found[stage] = f"{found[stage]} {key[:8]}" if stage in found else key[:8]
    assert found == KEYS[name]
