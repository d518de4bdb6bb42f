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
        "census": "3cddd621",
        "cover": "9879280e bfd899f0 p9879280 pbfd899f",
        "embed": "6b052256",
        "joins": "8af17537",
        "neighbours": "8af17537",
        "order": "54fb96f6 b98ce0f2",
        "ranking": "0ee789ff d9ed6741",
        "regroup": "f452d047",
        "rows": "ef1c1544",
        "subsets": "5a851a31 7a3382de",
    },
    "everything": {
        "census": "0b1c7657 3837f08d",
        "cover": "c0598e36 ef180953 pc0598e3 pef18095",
        "embed": "01b15c08 52602ea4 cf7155c8",
        "fit": "abd264ba",
        "guide": "928f85cf",
        "joins": "7f325e3f fc21c870",
        "neighbours": "7f325e3f fc21c870",
        "order": "4fdbdc83 563d78ee ba036f1b c47135fe cc69d849",
        "parts": "0240b27f 14fcdc17 1662a458 2c8ed017 9c1972a4 f9a6b66d",
        "ranking": "2413ffa9 2fb16693 3b43a604 53f7408b 7ef71004 8876c28b 9ca003f0 e938c832",
        "regroup": "963ee95c",
        "rows": "1edb9a85 d7e99a91",
        "subsets": "1c643710 6bfe5070 8170d8a2 a9612a64",
        "sums": "963ee95c",
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
