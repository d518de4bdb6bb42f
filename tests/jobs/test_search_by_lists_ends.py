"""A search by lists ends, with what was searched for or with one line, whatever is in the work directory."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from job_sources import write_embeddings
from jobs import run

from syllabus.pipeline import JobError
from syllabus.pipeline.stages.neighbours import coarse_quantizer, inverted_lists, stage
from syllabus.pipeline.stages.neighbours.inverted_lists import InvertedLists
from syllabus.pipeline.stages.neighbours.stage import NeighbourGraph

ROWS, LISTS = 2000, 45


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rows that are searched by lists, of which the first try probes too few."""
    monkeypatch.setattr(stage, "EXACT_ROWS", 0)
    monkeypatch.setattr(coarse_quantizer, "TARGET", 0.5)
    write_embeddings(tmp_path / "s.parquet", ROWS)
    return tmp_path / "s.parquet"


def test_all_lists_find_all_there_is(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "LEAST_RECALL", 1.0)
    probes = []
    keys = NeighbourGraph.keys
    monkeypatch.setattr(
        NeighbourGraph, "keys", lambda graph: probes.append(graph.lists.coarse.probes) or keys(graph)
    )
    found = run(source, tmp_path / "m").document["neighbours"]
    widths = sorted(set(probes))
    assert found["recall"] == 1.0
    assert found["probes"] == widths[-1] <= LISTS == found["lists"]
    assert len(widths) > 2
    assert all(wider == min(2 * width, LISTS) for width, wider in pairwise(widths))


def test_a_search_that_finds_its_narrower_shards_ends_with_one_line(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(lists: InvertedLists, group: tuple[int, int]) -> str:
        return lists.knn.key("neighbours", lists=list(group))

    monkeypatch.setattr(InvertedLists, "group_key", key)
    with pytest.raises(JobError, match=r"neighbours: \d+% of the nearest were found in all 45 lists:"):
        run(source, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_rows_that_no_shard_has_are_missed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inverted_lists, "ROUTED_ROWS", 800)
    monkeypatch.setattr("syllabus.pipeline.stages.plan.CHUNK_ROWS", 400)
    key = InvertedLists.list_shard_key

    def first_key(lists: InvertedLists, _: object) -> str:
        return key(lists, lists.blocks()[0])

    monkeypatch.setattr(InvertedLists, "list_shard_key", first_key)
    with pytest.raises(JobError, match=r"neighbours: [\d,]+ of 2,000 rows were searched for: there"):
        run(source, tmp_path / "m")
