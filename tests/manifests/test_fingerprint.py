"""The fingerprint against a loop over rows, and against every way of handing the rows over."""

import hashlib
import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syllabus.manifests import Fingerprint, ManifestError
from syllabus.manifests.format.fingerprint import combine

TEXT = st.text(max_size=6)
ROW = st.tuples(TEXT, st.none() | TEXT, st.binary(min_size=32, max_size=32))


@st.composite
def tables(draw, min_size=0):
    rows = draw(st.lists(ROW, min_size=min_size, max_size=12))
    steps = draw(st.lists(st.integers(1, 9), min_size=len(rows), max_size=len(rows)))
    ids, labels, content = ([row[place] for row in rows] for place in range(3))
    return np.cumsum(np.asarray(steps, np.int64)) - 1, ids, labels, content


def oracle(index, ids, labels, content, block_rows):
    blocks = {}
    for row in zip(index.tolist(), ids, labels, content, strict=True):
        blocks.setdefault(row[0] // block_rows, []).append(row)
    digests = []
    for number, rows in sorted(blocks.items()):
        data = struct.pack("<QQ", number, len(rows))
        data += b"".join(struct.pack("<q", i) for i, *_ in rows)
        data += b"".join(struct.pack("<I", len(name.encode())) for _, name, *_ in rows)
        data += b"".join(name.encode() for _, name, *_ in rows)
        data += b"".join(struct.pack("<B", label is not None) for *_, label, _ in rows)
        data += b"".join(struct.pack("<I", len((label or "").encode())) for *_, label, _ in rows)
        data += b"".join((label or "").encode() for *_, label, _ in rows)
        digests.append(hashlib.sha256(data + b"".join(digest for *_, digest in rows)))
    whole = hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()
    return [digest.hexdigest() for digest in digests], whole


def take(fingerprint, table, start, stop):
    index, ids, labels, content = table
    # Slices of arrays: an offset into Arrow's buffers is the usual mistake.
    fingerprint.update(
        index[start:stop],
        pa.array(ids, pa.string()).slice(start, stop - start),
        pa.array(labels, pa.string()).slice(start, stop - start),
        pa.array(content, pa.binary(32)).slice(start, stop - start),
    )


@given(tables(), st.integers(1, 40), st.data())
@settings(deadline=None, max_examples=60)
def test_equals_the_loop_over_rows_in_any_pieces(table, block_rows, data):
    n = len(table[0])
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=4)))
    fingerprint = Fingerprint(block_rows)
    for start, stop in zip([0, *cuts], [*cuts, n], strict=True):
        take(fingerprint, table, start, stop)
    assert (fingerprint.blocks, fingerprint.hexdigest()) == oracle(*table, block_rows)
    assert combine(fingerprint.blocks) == fingerprint.hexdigest()


@given(tables(min_size=1), st.data())
@settings(deadline=None, max_examples=30)
def test_feels_every_field(table, data):
    def digest(table):
        fingerprint = Fingerprint(8)
        take(fingerprint, table, 0, len(table[0]))
        return fingerprint.hexdigest()

    row = data.draw(st.integers(0, len(table[0]) - 1))
    index, ids, labels, content = (list(column) for column in table)
    label = labels[row]
    changes = {
        "index": (np.asarray([*index[:row], *(i + 1 for i in index[row:])]), ids, labels, content),
        "id": (np.asarray(index), [*ids[:row], ids[row] + "x", *ids[row + 1 :]], labels, content),
        "label": (np.asarray(index), ids, [*labels[:row], (label or "") + "x", *labels[row + 1 :]], content),
        "no label": (
            np.asarray(index),
            ids,
            [*labels[:row], "" if label is None else None, *labels[row + 1 :]],
            content,
        ),
        "content": (
            np.asarray(index),
            ids,
            labels,
            [*content[:row], hashlib.sha256(content[row]).digest(), *content[row + 1 :]],
        ),
    }
    digests = {name: digest(changed) for name, changed in changes.items()}
    digests["as it was"] = digest(table)
    assert len(set(digests.values())) == len(digests)


def test_bytes_cannot_move_between_ids():
    digests = np.zeros((2, 32), np.uint8)
    found = set()
    for ids in (["ab", "c"], ["a", "bc"]):
        fingerprint = Fingerprint()
        fingerprint.update(np.arange(2), pa.array(ids), None, digests)
        found.add(fingerprint.hexdigest())
    assert len(found) == 2


def test_spellings_of_the_same_rows_agree():
    index, digests = np.arange(3), np.arange(96, dtype=np.uint8).reshape(3, 32)
    ids, none = pa.array(["a", "b", "c"]), pa.nulls(3, pa.string())
    binary = pa.array([bytes(row) for row in digests], pa.binary(32))
    # A null slot that hides bytes.
    hidden = pa.StringArray.from_buffers(
        3, pa.py_buffer(np.asarray([0, 1, 2, 3], np.int32)), pa.py_buffer(b"xyz"), pa.py_buffer(b"\0")
    )
    found = set()
    for names, labels, content in (
        (ids, None, digests),
        (ids, none, binary),
        (pa.chunked_array([ids.slice(0, 1), ids.slice(1)]), none, pa.chunked_array([binary])),
        (ids.cast(pa.large_string()), hidden, digests),
    ):
        fingerprint = Fingerprint()
        fingerprint.update(index, names, labels, content)
        found.add(fingerprint.hexdigest())
    assert len(found) == 1


@pytest.mark.parametrize(
    ("index", "ids", "content", "message"),
    [
        ([0, 0], ["a", "b"], (2, 32), "index 0 does not come after"),
        ([-1, 0], ["a", "b"], (2, 32), "index -1 does not come after"),
        ([0, 1], ["a"], (2, 32), "ids has 1 rows, index has 2"),
        ([0, 1], ["a", None], (2, 32), "1 ids are null"),
        ([0, 1], [1, 2], (2, 32), "ids is int64, not string"),
        ([0, 1], ["a", "b"], (2, 31), r"shape \(2, 31\)"),
    ],
)
def test_refuses(index, ids, content, message):
    with pytest.raises(ManifestError, match=message):
        Fingerprint().update(np.asarray(index), pa.array(ids), None, np.zeros(content, np.uint8))


def test_refuses_rows_that_go_back():
    fingerprint = Fingerprint()
    fingerprint.update(np.asarray([5]), pa.array(["a"]), None, np.zeros((1, 32), np.uint8))
    with pytest.raises(ManifestError, match="index 5 does not come after"):
        fingerprint.update(np.asarray([5]), pa.array(["b"]), None, np.zeros((1, 32), np.uint8))
