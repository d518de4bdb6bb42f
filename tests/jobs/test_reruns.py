"""A rerun in a used work directory has the bytes of a run in an empty one, whatever was changed between.

The tables are compared file by file, apart from the options that `manifest.json` records: what was chosen by
an old shard would differ there, however well the options are written down.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from job_sources import digests
from jobs import run
from option_pairs import BASES, MORE, PAIRS, WITHOUT_TRACE, Pair, rows_of, write, write_data

from syllabus.manifests import validate
from syllabus.pipeline import Options
from syllabus.pipeline.runtime import torch_setup
from syllabus.pipeline.stages.neighbours import all_pairs, holdout, inverted_lists, stage


class Jobs:
    """The data and one run of each base, made once; further runs of them in copies of its work directory."""

    def __init__(self, root: Path) -> None:
        self.root, self.data = root, root / "data"
        write_data(self.data)

    def base(self, name: str) -> Path:
        """The directory of a base's run: its manifest `m` and its work directory `w`."""
        place = self.root / name
        if not place.exists():
            self.run(name, place)
        return place

    def run(self, name: str, place: Path, **changes: Any) -> None:
        """Run a base, with other values of some options, in a directory."""
        given = {**BASES[name], **changes}
        told = {option: self._filled(value) for option, value in given.items()}
        source = Path(told.pop("source", str(self.data / "source")))
        with pytest.MonkeyPatch.context() as patch:
            # Three blocks, as if there were many rows; and a precision that this processor may only emulate.
            for module, rows in (
                (all_pairs, "BLOCK_ROWS"),
                (holdout, "BLOCK_ROWS"),
                (inverted_lists, "ROUTED_ROWS"),
            ):
                patch.setattr(module, rows, 32)
            patch.setattr(all_pairs, "PART_PAIRS", 4)
            patch.setattr(all_pairs, "LEAST_PARTS", 1)
            # As if it was killed in the middle of the search.
            patch.setattr(stage.NeighbourGraph, "discard_routed", lambda _: None)
            patch.setattr(stage, "EXACT_ROWS", 0 if name == "lists" else stage.EXACT_ROWS)
            patch.setattr(torch_setup, "_has_native", lambda _: True)
            run(source, place / "m", work_dir=str(place / "w"), **told)

    def used(self, name: str, place: Path) -> Path:
        """A directory with the shards of a base's run, as links to the same files."""
        shutil.copytree(self.base(name) / "w", place / "w", copy_function=os.link)
        return place

    def _filled(self, value: Any) -> Any:
        return value.format(data=self.data) if isinstance(value, str) else value


@pytest.fixture(scope="session")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    return Jobs(tmp_path_factory.mktemp("reruns"))


def shards(place: Path, stage: str = "") -> dict[str, Path]:
    """The shards of a work directory, of one stage or all, by their path in it."""
    root = place / "w"
    paths = (path for path in (root / stage).rglob("*") if path.is_file() and path.parent != root)
    return {str(path.relative_to(root)): path for path in paths}


def tables(place: Path) -> dict[str, str]:
    """The digests of the data parts, without what describes them."""
    return {name: value for name, value in digests(place / "m").items() if name != "manifest.json"}


def described(place: Path) -> dict[str, Any]:
    """What manifest.json says beside the options, and the digests of what is compared anyway."""
    document = json.loads((place / "m" / "manifest.json").read_text())
    return {name: value for name, value in document.items() if name not in ("options", "files", "digest")}


def assert_same_manifest(rerun: Path, fresh: Path) -> None:
    assert tables(rerun) == tables(fresh)
    assert digests(rerun / "m") == digests(fresh / "m")


def assert_same_shards(used: Path, fresh: Path) -> set[str]:
    """Assert that what two runs have under one key has the same bytes; return these paths."""
    old, new = shards(used), shards(fresh)
    both = old.keys() & new.keys()
    assert [name for name in both if old[name].read_bytes() != new[name].read_bytes()] == []
    return both


def assert_used_again(rerun: Path, base: Path, names: set[str]) -> None:
    """Assert that these shards are the files of the base's run still, and were not written again."""
    old, new = shards(base), shards(rerun)
    assert [name for name in names if not new[name].samefile(old[name])] == []


def test_every_option_has_another_value_or_a_reason() -> None:
    assert not PAIRS.keys() & WITHOUT_TRACE.keys()
    assert PAIRS.keys() | WITHOUT_TRACE.keys() == set(Options.model_fields)


@pytest.mark.parametrize("name", BASES)
def test_no_two_shards_of_a_job_have_one_key(jobs: Jobs, name: str) -> None:
    # The later one would not be made, and rows would be missing or there twice.
    place = jobs.base(name)
    assert validate(str(place / "m")).problems == []
    if name == "parts":
        # Six pairs of three blocks, by four.
        assert len(shards(place, "neighbours")) == 2
    if name == "lists":
        # Three blocks, and groups of lists that are searched once they are joined.
        groups = len(shards(place, "cells")) - 3
        assert groups > 3
        assert len(shards(place, "neighbours")) == groups + 3
    if name == "holdout":
        assert len(shards(place, "neighbours")) == 3


@pytest.mark.parametrize(
    ("option", "pair"),
    [*PAIRS.items(), *MORE.values()],
    ids=[*PAIRS, *MORE],
)
def test_a_rerun_with_another_value(jobs: Jobs, tmp_path: Path, option: str, pair: Pair) -> None:
    base, fresh = jobs.base(pair.base), tmp_path / "fresh"
    rerun = jobs.used(pair.base, tmp_path / "rerun")
    jobs.run(pair.base, fresh, **{option: pair.value})
    jobs.run(pair.base, rerun, **{option: pair.value})
    assert_same_manifest(rerun, fresh)
    # Two values that lead to the same rows would tell nothing of stale ones.
    before, after = tables(base), tables(fresh)
    for table in pair.changed.split():
        if table == "manifest.json":
            assert described(base) != described(fresh)
        else:
            parts = [{n: d for n, d in each.items() if n.startswith(f"{table}/")} for each in (before, after)]
            assert parts[0] != parts[1], table
    both = assert_same_shards(base, fresh)
    stages = {name.partition("/")[0] for name in both}
    assert not stages.intersection(pair.anew.split())
    assert stages.issuperset(pair.reused.split())
    assert_used_again(rerun, base, both)


@pytest.mark.parametrize("option", [name for name, (value, _) in WITHOUT_TRACE.items() if value is not None])
def test_a_rerun_with_an_option_that_leaves_no_trace(jobs: Jobs, tmp_path: Path, option: str) -> None:
    name = "texts" if option == "device" else "vectors"
    base, rerun = jobs.base(name), jobs.used(name, tmp_path / "rerun")
    jobs.run(name, rerun, **{option: WITHOUT_TRACE[option][0]})
    assert_same_manifest(rerun, base)
    assert shards(rerun).keys() == shards(base).keys()
    assert_used_again(rerun, base, set(shards(base)))


Change = Callable[[Path], None]


def edited(column: str, value: Any, rows: slice = slice(None)) -> Change:
    """A change of one column in rows of the first file, which keeps their number."""

    def change(source: Path) -> None:
        records = rows_of(0)
        for record in records[rows]:
            record[column] = value(record[column]) if callable(value) else value
        write(source / "a.jsonl", records)

    return change


def swapped(source: Path) -> None:
    (source / "a.jsonl").rename(source / "swap")
    (source / "c.jsonl").rename(source / "a.jsonl")
    (source / "swap").rename(source / "c.jsonl")


LATER = "embed rows"
"""Stages that the rows of the later files stay as they are in, wherever they come to lie."""
CHANGES: dict[str, tuple[str, Change, str]] = {
    # As many rows as before: only the repeated id tells of the other file.
    "a duplicate id in an earlier file": ("parts", edited("key", "2/7", slice(3, 4)), LATER),
    "an earlier file that shifts the index": (
        "parts", lambda source: write(source / "0.jsonl", rows_of(5)[:5]), LATER
    ),
    "a file renamed to the end": (
        "parts", lambda source: (source / "a.jsonl").rename(source / "z.jsonl"), LATER
    ),
    "files in another order": ("parts", swapped, LATER),
    "a file renamed in its place": (
        "parts", lambda source: (source / "b.jsonl").rename(source / "bb.jsonl"),
        f"{LATER} census regroup subsets ranking order neighbours cover",
    ),
    "a file removed": ("parts", lambda source: (source / "b.jsonl").unlink(), LATER),
    "a file in a folder of its own": (
        "parts", lambda source: write(source / "d" / "d.jsonl", rows_of(5)), f"{LATER} regroup"
    ),
    "an earlier file with a new first label": ("parts", edited("label", "0", slice(0, 6)), LATER),
    # As many classes and buckets as before, and all but one of them have another number.
    "another name of a class": (
        "grades", edited("grade", lambda grade: "a" if grade == "z" else grade), LATER
    ),
    "numbers that move the edges of bins": ("numbers", edited("score", lambda score: score + 900), LATER),
    "tags that make another one the rarest": ("tags", edited("tags", ["x", "z"]), LATER),
    "a rejected row in an earlier file": ("parts", edited("label", None, slice(4, 5)), LATER),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_rerun_over_other_data(jobs: Jobs, tmp_path: Path, name: str) -> None:
    base_name, change, reused = CHANGES[name]
    source = shutil.copytree(jobs.data / "source", tmp_path / "source")
    change(source)
    base, fresh = jobs.base(base_name), tmp_path / "fresh"
    rerun = jobs.used(base_name, tmp_path / "rerun")
    for place in (fresh, rerun):
        jobs.run(base_name, place, source=str(source))
    assert_same_manifest(rerun, fresh)
    assert tables(rerun) != tables(base)
    both = assert_same_shards(base, fresh)
    assert {shard.partition("/")[0] for shard in both}.issuperset(reused.split())
    assert_used_again(rerun, base, both)


@pytest.mark.parametrize(("name", "section"), [("query", "guide"), ("holdout", "holdout")])
def test_a_rerun_with_other_rows_in_the_file_beside(
    jobs: Jobs, tmp_path: Path, name: str, section: str
) -> None:
    base, fresh = jobs.base(name), tmp_path / "fresh"
    rerun = jobs.used(name, tmp_path / "rerun")
    shutil.copy(jobs.data / "other.jsonl", tmp_path / "query.jsonl")
    for place in (fresh, rerun):
        jobs.run(name, place, **{name: str(tmp_path / "query.jsonl")})
    assert_same_manifest(rerun, fresh)
    assert described(base)[section] != described(fresh)[section]
    assert_used_again(rerun, base, assert_same_shards(base, fresh))


@pytest.mark.parametrize("objective", ["graph_cut", "facility_location"])
def test_another_order_chooses_nothing_again(jobs: Jobs, tmp_path: Path, objective: str) -> None:
    """The vectors of chosen rows are gone once all is ordered; another order has them read again."""
    place, fresh = tmp_path / "used", tmp_path / "fresh"
    given = {"objective": objective, "bucket_size": 16, "passes": 5}
    jobs.run("parts", place, **given)

    def shards(stage: str) -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in (place / "w" / stage).glob("*/*")}

    chosen = shards("subsets")
    assert chosen
    assert not shards("chosen")
    shutil.rmtree(place / "m")
    jobs.run("parts", place, **{**given, "passes": 1})
    assert shards("subsets") == chosen
    assert not shards("chosen")
    jobs.run("parts", fresh, **{**given, "passes": 1})
    assert digests(place / "m") == digests(fresh / "m")
