"""Shards of the work directory: their keys, their columns of vectors, and whole or not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syllabus.pipeline.work_directory import VERSIONS, WorkDirectory, key_of, vectors_column, vectors_of


@given(rows=st.integers(0, 40), width=st.integers(1, 9), cut=st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_vectors_survive_their_column(rows: int, width: int, cut: int) -> None:
    vectors = np.random.default_rng(rows).standard_normal((rows, width)).astype(np.float32)
    column = vectors_column(vectors)
    assert np.array_equal(vectors_of(pa.chunked_array([column])), vectors)
    parts = [column.slice(0, cut), column.slice(cut)]
    assert np.array_equal(vectors_of(pa.chunked_array(parts)), vectors)
    assert np.array_equal(vectors_of(pa.chunked_array([column.slice(cut)])), vectors[cut:])


def test_a_shard_is_whole_or_not_there(tmp_path: Path) -> None:
    work = WorkDirectory(str(tmp_path))
    key = key_of("fit", a=1)
    table = pa.table({"x": [1, 2]})

    def broken() -> None:
        with work.writer("fit", key, table.schema) as writer:
            writer.write(table)
            raise KeyError("in the middle")

    with pytest.raises(KeyError):
        broken()
    assert not work.has("fit", key)
    assert work.store.files() == {}
    work.write("fit", key, table, {"note": 1})
    assert work.keys("fit") == {key}
    assert work.read("fit", key).equals(table)
    assert work.metadata("fit", key) == {"note": 1}


def test_a_key_says_everything_that_it_was_made_from() -> None:
    keys = {key_of("fit", a=1, b=2), key_of("fit", a=1, b=3), key_of("fit", a=1), key_of("order", a=1, b=2)}
    assert len(keys) == 4
    assert key_of("fit", b=2, a=1) == key_of("fit", a=1, b=2)
    before = key_of("fit", a=1)
    VERSIONS["fit"] += 1
    try:
        assert key_of("fit", a=1) != before
    finally:
        VERSIONS["fit"] -= 1
