"""The keys of a chunk's shards: everything that determines their bytes, and no place."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from syllabus.pipeline.conditions import parse_condition
from syllabus.pipeline.encoders.base import EncoderSpec, Identity
from syllabus.pipeline.sources.records import Chunk, Columns, Limits
from syllabus.pipeline.stages.plan import _rows_key, embed_key

CHUNK = Chunk("a.jsonl", 0, 10, "digest", members=("a/1.png",), images="images")
COLUMNS = Columns("text", "text", "label", "id", weight="tokens", where=(parse_condition("split=train"),))
IDENTITY = Identity("module", "p:f", "weights", "float32", 8, 32, "cpu", "preprocessing", 128)
SPEC = EncoderSpec("module", "p:f", "text", "float32", None, 32, threads=1)

OTHER: dict[str, Any] = {
    "kind": "image", "content": "title", "label": "topic", "id": None, "numeric": True,
    "weight": None, "where": (), "first_row": 10, "rows": 9, "digest": "other", "members": ("b/1.png",),
    "weights_sha256": "other", "dtype": "float16", "dimension": 9, "batch_size": 5, "device": "cuda",
    "preprocessing_sha256": None, "max_seq_length": 64,
    "long_texts": "chunks",
}  # fmt: skip
PLACES = {"file", "start", "length", "skipped", "images"}
"""Of a chunk: where its rows lie; what lies there is in its digest."""


def keys(
    chunk: Chunk = CHUNK,
    columns: Columns = COLUMNS,
    form: str = "jsonl",
    identity: Identity = IDENTITY,
    spec: EncoderSpec = SPEC,
    classes: tuple[str, ...] | None = None,
) -> tuple[str, str]:
    """The keys of a chunk's vectors, and of its labels and ids."""
    embed = embed_key(chunk, columns, form, identity.key_fields(), spec)
    return embed, _rows_key(chunk, columns, form, classes)


def changed(**given: Any) -> tuple[bool, bool]:
    """Whether the two keys are others than before."""
    before, after = keys(), keys(**given)
    return before[0] != after[0], before[1] != after[1]


@pytest.mark.parametrize("name", [field.name for field in fields(Chunk) if field.name not in PLACES])
def test_the_rows_of_a_chunk_are_in_both_keys(name: str) -> None:
    # Members have their labels and ids from their paths; their contents are in the digest.
    assert changed(chunk=replace(CHUNK, **{name: OTHER[name]})) == (name != "members", True)


def test_the_bounds_of_a_record_are_in_the_keys_of_what_they_may_reject() -> None:
    for field in fields(Limits):
        bounded = replace(COLUMNS, limits=Limits(**{field.name: 9}))
        assert changed(columns=bounded) != (False, False) or field.name.startswith("max_image"), field.name


@pytest.mark.parametrize("name", [field.name for field in fields(Columns) if field.name != "limits"])
def test_a_column_is_in_the_keys_of_what_is_made_from_it(name: str) -> None:
    of_vectors, of_rows = name in ("kind", "content", "where"), name not in ("kind", "content")
    assert changed(columns=replace(COLUMNS, **{name: OTHER[name]})) == (of_vectors, of_rows)


@pytest.mark.parametrize("name", [field.name for field in fields(Identity)])
def test_the_encoder_is_in_the_key_of_the_vectors_but_for_its_name(name: str) -> None:
    other = {**OTHER, "kind": "sentence", "name": "p:g"}
    assert changed(identity=replace(IDENTITY, **{name: other[name]})) == (name != "name", False)


def test_the_form_of_a_file_is_in_both_keys_and_threads_in_that_of_a_models_vectors() -> None:
    assert changed(form="csv") == (True, True)
    assert changed(spec=replace(SPEC, threads=2)) == (True, False)
    assert changed(classes=("neg", "pos")) == (False, True)
    hashing = [replace(SPEC, kind="hashing", threads=threads) for threads in (1, 2)]
    assert keys(spec=hashing[0]) == keys(spec=hashing[1])
    assert changed(chunk=replace(CHUNK, file="z.jsonl", start=5, length=7)) == (False, False)
