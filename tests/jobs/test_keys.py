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
        "census": "96d10e21",
        "chosen": "v6bbe894 vc59bb8c",
        "cover": "c83a42b2 cb5b4d35 pc83a42b pcb5b4d3",
        "embed": "6b322037",
        "joins": "fb348397",
        "neighbours": "fb348397",
        "order": "93afb1da dee6fd08",
        "ranking": "4c7d060f 86132465",
        "regroup": "923bc1eb",
        "rows": "6144d882",
        "subsets": "6bbe8942 c59bb8c7",
    },
    "everything": {
        "census": "2da6899f d0eb9a1e",
        "chosen": "v40baced v4159045 vdbd2177 ve8791c7",
        "cover": "85b230c5 9255c4e6 p85b230c p9255c4e",
        "embed": "89d05202 c3987aa5 cabd154b",
        "fit": "924c6291",
        "guide": "62f0f955",
        "joins": "857e4139 f367f27b",
        "neighbours": "857e4139 f367f27b",
        "order": "10c6ee53 6fdbed15 7d715d08 d2d96eaf f5e1ed55",
        "ranking": "28820bde 66dc1822 7951d74f 97012774 b3205246 bf369bef c4cc5ae2 cfa3c513",
        "regroup": "4d2f94cc",
        "rows": "47d5a4c0 7634ec88",
        "subsets": "40baced1 41590458 dbd21776 e8791c7b",
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
