"""Ids: whatever a source took as an id, whoever has the column finds the example again."""

import datetime
import uuid
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from syllabus.manifests import ManifestError
from syllabus.manifests.ids import as_arrow, as_strings, id_text
from syllabus.pipeline.sources import Columns, open_source

MOMENT = datetime.datetime(2026, 1, 31, 12, 30, 0, 250_000)
COLUMNS = {
    "text": (pa.array(["a", "é"]), ["a", "é"]),
    "dictionary": (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
    "view": (pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
    "bytes": (pa.array([b"a", "é".encode()]), ["a", "é"]),
    "int": (pa.array([1, -2]), ["1", "-2"]),
    "uint64": (pa.array([1, 2**64 - 1], pa.uint64()), ["1", "18446744073709551615"]),
    "bool": (pa.array([True, False]), ["True", "False"]),
    "bool8": (pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0], pa.int8())), ["True", "False"]),
    "float64": (pa.array([0.1, 2.0]), ["0.1", "2.0"]),
    "float32": (pa.array([0.1, 2.0], pa.float32()), ["0.10000000149011612", "2.0"]),
    "decimal": (pa.array([Decimal("1.50"), Decimal("2.00")]), ["1.50", "2.00"]),
    "date": (pa.array([MOMENT.date(), datetime.date(1, 1, 1)]), ["2026-01-31", "0001-01-01"]),
    "time": (pa.array([MOMENT.time(), datetime.time(1)]), ["12:30:00.250000", "01:00:00"]),
    "timestamp": (
        pa.array([MOMENT, MOMENT.replace(microsecond=0)]),
        ["2026-01-31 12:30:00.250000", "2026-01-31 12:30:00"],
    ),
    "uuid": (
        pa.ExtensionArray.from_storage(
            pa.uuid(), pa.array([uuid.UUID(int=1).bytes, uuid.UUID(int=255).bytes], pa.binary(16))
        ),
        ["00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-0000000000ff"],
    ),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_gives_the_same_ids_to_the_job_and_to_the_caller(tmp_path, name):
    column, expected = COLUMNS[name]
    pq.write_table(pa.table({"text": ["x", "y"], "id": column}), tmp_path / "d.parquet")
    columns = Columns("text", "text", id="id")
    source, _ = open_source(str(tmp_path))
    (records,) = source.read(list(source.chunks(columns)), columns)
    assert (records.ids, records.bad_keys) == (expected, {})
    back = pq.read_table(tmp_path / "d.parquet")["id"]
    for ids in (column, back, back.slice(0, 1), pa.chunked_array([column, column])):
        assert as_strings(ids).to_pylist() == (expected * 2)[: len(ids)]
    if name != "float32":  # Python's own floats have more digits than they had in the column
        assert as_strings(back.to_pylist()).to_pylist() == expected
    if name not in ("uuid", "dictionary", "bool8", "view", "decimal"):
        assert as_strings(column.to_numpy(zero_copy_only=False)).to_pylist() == expected


def test_strings_and_integers_are_not_copied():
    for ids in (pa.array(["a"]), pa.array([1, 2]), pa.array(["a"], pa.large_string())):
        assert as_arrow(ids).type == ids.type
    assert as_arrow(np.array([uuid.UUID(int=1)], object)).type == pa.string()


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        (["a", "\ud800"], "has no form in UTF-8"),
        ([b"a", b"\xff"], r"row 1: b'\\xff' is not UTF-8"),
        ([[1.5]], "of type list<item: double>"),
        (np.zeros((2, 2)), "is a list; an id is one value"),
        (pa.array([10**18], pa.timestamp("us")), r"row 0: timestamp\[us\]: date value out of range"),
        ([uuid.UUID(int=1), None], "1 of 2 are null"),
        ("abc", "are a str"),
    ],
)
def test_what_is_no_id_is_one_line(ids, told):
    with pytest.raises(ManifestError, match=told) as error:
        as_strings(ids)
    assert len(str(error.value).splitlines()) == 1


def test_one_value_has_one_text():
    assert id_text(None) is None
    assert as_strings([]).to_pylist() == []
    # As JSON may have them side by side.
    for given in ([1, "a", 10**30], np.array([1, "a", 10**30], object)):
        assert as_strings(given).to_pylist() == ["1", "a", str(10**30)]
    for value in ([1], {"a": 1}, (1, 2), np.zeros(2)):
        with pytest.raises(TypeError, match="an id is one value"):
            id_text(value)
