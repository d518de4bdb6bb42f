"""Two manifests compared: overlaps by id, correlations of ranks, and what differs in their options."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len
from scipy.stats import spearmanr
from small_manifest import write_small_manifest

from syllabus.manifests import Manifest
from syllabus.pipeline.command_line import app as cli
from syllabus.pipeline.reporting.compare import compare

HOSTILE = "\x1b[31m id"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Manifest]:
    """Two of the same source by other seeds, and one of a source that shares 50 ids with theirs."""
    folder: Path = tmp_path_factory.mktemp("compare")
    ids = [f"{HOSTILE}{row}" for row in range(80)]
    settings = {"n": 80, "fractions": (0.1, 0.5), "subsets": 3, "neighbours": True}
    one = write_small_manifest(folder / "one", ids=ids, **settings)
    other = write_small_manifest(
        folder / "other", ids=[*ids[30:][::-1], *map(str, range(30))], seed=3, **settings
    )
    few = write_small_manifest(folder / "few", n=60, ids=ids[:60], gap=0, fractions=(0.5,), neighbours=False)
    return {"one": one, "other": other, "few": few}


def named(manifest: Manifest, index: np.ndarray) -> list[str]:
    return manifest.records(index, ["id"])["id"].to_pylist()


@pytest.mark.parametrize("pair", [("one", "other"), ("other", "few"), ("few", "one")])
def test_overlaps_and_correlations_are_by_id(made: dict[str, Manifest], pair: tuple[str, str]) -> None:
    one, other = (made[name] for name in pair)
    found = compare(one, other)
    ids = [named(each, each.examples()) for each in (one, other)]
    shared = sorted({*ids[0]} & {*ids[1]})
    assert found["in_both"] == len(shared)
    assert not found["same_data"]
    assert [each["fraction"] for each in found["subsets"]] == [
        f for f in one.fractions if f in other.fractions
    ]
    for entry in found["subsets"]:
        for i, overlap in enumerate(entry["jaccard"]):
            sets = [{*named(each, each.subset(entry["fraction"], i))} for each in (one, other)]
            assert overlap == pytest.approx(len(sets[0] & sets[1]) / len(sets[0] | sets[1]), abs=1e-6)
    (order,) = found["orders"]
    places = [
        {name: place for place, name in enumerate(named(each, each.order("balance")))}
        for each in (one, other)
    ]
    expected = spearmanr([places[0][name] for name in shared], [places[1][name] for name in shared]).statistic
    assert order["correlation"] == pytest.approx(expected, abs=1e-6)
    for entry in found["importances"]:
        rows = [each.importance(entry["name"]) for each in (one, other)]
        chances = [
            dict(zip(named(each, np.asarray(row["index"])), row["probability"].to_pylist(), strict=True))
            for each, row in zip((one, other), rows, strict=True)
        ]
        expected = spearmanr(*([chance[name] for name in shared] for chance in chances)).statistic
        assert entry["correlation"] == pytest.approx(expected, abs=1e-6)
        tops = [{*named(each, each.top(entry["name"], 0.5))} for each in (one, other)]
        overlap = len(tops[0] & tops[1]) / len(tops[0] | tops[1])
        assert entry["top_jaccard"]["0.5"] == pytest.approx(overlap, abs=1e-6)


def test_a_manifest_is_like_itself(made: dict[str, Manifest]) -> None:
    found = compare(made["one"], made["one"])
    assert found["same_data"]
    assert [found[name] for name in ("options", "encoder", "counts", "partitions")] == [{}] * 4
    assert {1.0} == {overlap for each in found["subsets"] for overlap in each["jaccard"]}
    assert {1.0} == {each["correlation"] for each in (*found["orders"], *found["importances"])}


def test_the_command_fits_80_columns_and_gives_json(
    made: dict[str, Manifest], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    places = [made[name].location for name in ("one", "few")]
    assert cli.run(["compare", *places]) == 0
    shown = capsys.readouterr().out
    assert max(map(cell_len, shown.splitlines()[2:])) <= 80
    assert "other data (contents, ids or labels): 80 and 60 examples, 60 ids in both" in shown
    assert "neither has ids" in shown
    assert "0.1, 0.5" in shown
    assert cli.run(["compare", *places, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == json.loads(json.dumps(compare(made["one"], made["few"])))
    assert captured.out.count("\n") == 1
    assert cli.run(["compare", places[0], "nowhere"]) == 2


def test_fractions_that_are_not_shared_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = []
    for name, fraction in (("a", 0.1), ("b", 0.2)):
        places.append(write_small_manifest(tmp_path / name, n=60, fractions=(fraction,)).location)
    assert cli.run(["compare", *places]) == 0
    assert "subsets: no fraction is in both" in capsys.readouterr().out
