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
        "census": "bcaa5877",
        "chosen": "v176f0cc vc15fc29",
        "cover": "5bf14e7c f6c2b10e p5bf14e7 pf6c2b10",
        "embed": "9c2a7a61",
        "joins": "ea4ee57d",
        "neighbours": "ea4ee57d",
        "order": "b93038ff f28db5bf",
        "ranking": "8bfd0046 f0264519",
        "regroup": "49d80a9f",
        "rows": "eab565cc",
        "subsets": "176f0cc0 c15fc298",
    },
    "everything": {
        "census": "241935c6 8c1f85a1",
        "chosen": "v23371c5 v4104176 v423d891 vf641b50",
        "cover": "23c25a2a 3854836e p23c25a2 p3854836",
        "embed": "bb173a4b dd41bc63 f5ea7e45",
        "fit": "d4ecc92a",
        "guide": "1d8a2d49",
        "joins": "cc913c1e f2470b5f",
        "neighbours": "cc913c1e f2470b5f",
        "order": "324cae4a 8aded090 8db7c62a e20321bd e37577db",
        "ranking": "2349c952 2939f151 4373cd15 4a48e3d0 6f1490f9 8faa2714 bc41f566 d529737b",
        "regroup": "c510b81a",
        "rows": "8612e48a f9664b53",
        "subsets": "23371c53 41041763 423d8913 f641b505",
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
