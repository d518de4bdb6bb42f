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
        "census": "c59315da",
        "chosen": "v86128a9 veaf2fb9",
        "cover": "489a0af1 9b4b92d9 p489a0af p9b4b92d",
        "embed": "7d017690",
        "joins": "a70566bc",
        "neighbours": "a70566bc",
        "order": "52237134 f9952167",
        "ranking": "d315d47b fefc5649",
        "regroup": "868395af",
        "rows": "d1699206",
        "subsets": "86128a9a eaf2fb9c",
    },
    "everything": {
        "census": "3ea184fc 82aceeab",
        "chosen": "v21cf2dd v66620a5 vbc96ff7 ve47a5be",
        "cover": "515ad0e0 e7f9e13c p515ad0e pe7f9e13",
        "embed": "58e838c4 9f82844e cc20f557",
        "fit": "d41c19de",
        "guide": "f8c60ffb",
        "joins": "008ff663 f76648b6",
        "neighbours": "008ff663 f76648b6",
        "order": "0ebd5ab1 435c5498 6750d93d 886bb6f7 e60591e8",
        "ranking": "27d54d12 29ad7c58 356b03ae 9d58b70b a5832620 a5b115cc aee2ab0f f5ad9d15",
        "regroup": "25d2b8e5",
        "rows": "2526b772 c32ac107",
        "subsets": "21cf2dd0 66620a59 bc96ff73 e47a5beb",
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
