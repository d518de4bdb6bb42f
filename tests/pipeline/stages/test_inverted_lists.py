"""Inverted lists on their way to a worker, and the blocks that a worker has room for."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_sources import write_embeddings
from jobs import run

from syllabus.pipeline.stages.neighbours import inverted_lists, stage
from syllabus.pipeline.stages.neighbours.coarse_quantizer import CoarseQuantizer
from syllabus.pipeline.stages.neighbours.vectors import Block, NeighbourSearch, Vectors


def test_lists_travel_without_their_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expand, held = inverted_lists.SearchInvertedLists.expand, []

    def watched(self, pipeline):
        held.append(self.lists)
        return expand(self, pipeline)

    monkeypatch.setattr(stage, "EXACT_ROWS", 100)
    monkeypatch.setattr(inverted_lists.SearchInvertedLists, "expand", watched)
    write_embeddings(tmp_path / "s" / "a.parquet", 400)
    run(tmp_path / "s", tmp_path / "m", subsets=0, importance=(), order="none", sketch_dim=0)
    lists = held[0]
    wider = replace(lists, coarse=replace(lists.coarse, probes=lists.coarse.probes + 1))
    for sent in (lists, wider):
        packed = pickle.dumps(sent)
        got = pickle.loads(packed)
        for name in ("centroids", "queries", "query_vectors"):
            ours = getattr(sent.coarse, name)
            np.testing.assert_array_equal(getattr(got.coarse, name), ours)
            assert ours.tobytes() not in packed
        assert (got.coarse.probes, got.coarse_key) == (sent.coarse.probes, sent.coarse_key)
        assert got.groups() == sent.groups()


def test_groups_of_lists_may_have_no_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "EXACT_ROWS", 100)
    vectors = np.repeat(np.eye(3, 8, dtype=np.float32), 200, axis=0)
    (tmp_path / "s").mkdir()
    pq.write_table(pa.table({"vector": list(vectors)}), tmp_path / "s" / "a.parquet")
    outcome = run(tmp_path / "s", tmp_path / "m", label=None, subsets=0, importance=(), order="none")
    found = outcome.document["neighbours"]
    assert (found["method"], found["duplicates"]["groups"]) == ("ivf", 3)


def test_rows_that_are_routed_by_other_groups_are_not_believed() -> None:
    def lists(most: int) -> inverted_lists.InvertedLists:
        vectors: Any = SimpleNamespace(digest="vectors", n=100_000, most_rows=lambda *_: most)
        rows = np.eye(400, dtype=np.float32)
        coarse = CoarseQuantizer(rows, 1, np.arange(2), rows[:2])
        return inverted_lists.InvertedLists(NeighbourSearch(vectors, 10, 0.95), coarse, "fit")

    block, (many, few, fewer) = Block((), 0, 7), map(lists, (1000, 10_000, 20_000))
    assert len(many.groups()) > len(few.groups()) == len(fewer.groups())
    assert many.list_shard_key(block) != few.list_shard_key(block) == fewer.list_shard_key(block)


@given(
    rows=st.integers(1, 10**6),
    dimension=st.integers(1, 4096),
    memory=st.floats(1, 1e10),
    blocks=st.integers(1, 32),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_a_worker_has_room_for_its_blocks(rows: int, dimension: int, memory: float, blocks: int) -> None:
    vectors = Vectors(None, (), None, "", 1, 1, None, dimension, memory)  # type: ignore[arg-type]
    most = vectors.most_rows(rows, blocks)
    assert 1 <= most <= rows
    assert most == 1 or 4 * dimension * most * blocks <= memory
    # No more would have room.
    assert most == rows or 4 * dimension * (most + 1) * blocks > memory
