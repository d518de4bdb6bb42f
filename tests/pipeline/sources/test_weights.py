"""Weights in every kind of source: what is one, what costs a row, and what is refused before any work."""

from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_files import mistake, write

from syllabus.pipeline.sources import Columns, open_source

COLUMNS = Columns("text", "text", weight="tokens")


def weights(location, columns=COLUMNS):
    """The weights of a source, and the rejects of its rows."""
    source, _ = open_source(str(location))
    found, bad = [], {}
    for chunk in source.chunks(columns):
        (records,) = source.read([chunk], columns)
        bad.update({len(found) + row: reason for row, reason in records.bad_keys.items()})
        found += records.weights
    return found, bad


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv", "tsv"])
def test_whole_numbers_are_read_from_every_source(tmp_path, suffix):
    write(tmp_path / f"a.{suffix}", [{"text": "x", "tokens": number} for number in (1, 12, 2**53)])
    assert weights(tmp_path) == ([1, 12, 2**53], {})


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (pa.int8(), [1, None, -1, 0], [1, None, None, None]),
        (pa.uint64(), [3, 2**53 + 1, 2**64 - 1], [3, None, None]),
        (pa.float32(), [2.0, 2.5, float("nan"), float("inf")], [2, None, None, None]),
        (pa.decimal128(5, 2), [Decimal("7.00"), Decimal("7.25")], [7, None]),
        (pa.decimal128(18, 0), [Decimal(2**53), Decimal(2**53 + 1)], [2**53, None]),
        (pa.dictionary(pa.int8(), pa.int32()), [5, None], [5, None]),
    ],
)
def test_any_column_of_numbers_will_do(tmp_path, kind, values, expected):
    column = pa.array(values, kind.value_type).dictionary_encode() if pa.types.is_dictionary(kind) else values
    table = pa.table({"text": ["x"] * len(values), "tokens": pa.array(column, kind)})
    pq.write_table(table, tmp_path / "a.parquet")
    found, bad = weights(tmp_path)
    assert found == expected
    nulls = {row for row, value in enumerate(values) if value is None}
    assert set(bad) == {row for row, value in enumerate(expected) if value is None} - nulls
    assert {reason for reason, _ in bad.values()} <= {"bad weight"}


def test_what_is_no_weight_costs_its_row_and_is_shown(tmp_path):
    odd = ["5", 5.0, 0, -3, 2.5, "many", True, [1], 1e300, None]
    write(tmp_path / "a.jsonl", [{"text": "x", "tokens": value} for value in odd] + [{"text": "y"}])
    found, bad = weights(tmp_path)
    assert found == [5, 5] + [None] * 9
    assert {row: detail for row, (reason, detail) in bad.items() if reason == "bad weight"} == {
        2: "column tokens: 0 is outside [1, 2^53]",
        3: "column tokens: -3 is outside [1, 2^53]",
        4: "column tokens: 2.5 is not whole",
        5: "column tokens: 'many' is no number",
        6: "column tokens: True is no number",
        7: "column tokens: [1] is no number",
        8: "column tokens: 1e+300 is outside [1, 2^53]",
    }


def test_csv_has_weights_as_text(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"text,tokens\na,7\nb,7.0\nc,\nd,7.5\ne,seven\nf,\xff\ng,0\n")
    found, bad = weights(tmp_path)
    assert found == [7, 7, None, None, None, None, None]
    assert {row: reason for row, (reason, _) in bad.items()} == dict.fromkeys((3, 4, 5, 6), "bad weight")
    assert bad[3][1] == "column tokens: 7.5 is not whole"


def test_text_is_not_rounded_to_a_weight(tmp_path):
    odd = ["9007199254740993", "5.00000000000000001", "1e400", "1e-99999999999999999999", "1e3", " +5. "]
    (tmp_path / "a.csv").write_text("text,tokens\n" + "".join(f"x,{value}\n" for value in odd))
    write(tmp_path / "a.jsonl", [{"text": "x", "tokens": value} for value in odd])
    for name in ("a.csv", "a.jsonl"):
        found, bad = weights(tmp_path / name)
        assert found == [None, None, None, None, 1000, 5]
        assert bad[0][1] == "column tokens: 9007199254740993 is outside [1, 2^53]"
        assert bad[1][1] == "column tokens: 5.00000000000000001 is not whole"


def test_a_weight_beside_clean_vectors(tmp_path):
    pq.write_table(pa.table({"v": [[1.0], [2.0]], "tokens": [3, 0]}), tmp_path / "a.parquet")
    found, bad = weights(tmp_path, Columns("embedding", "v", weight="tokens"))
    assert found == [3, None]
    assert list(bad) == [1]


def test_columns_that_hold_no_weights_are_refused(tmp_path):
    write(tmp_path / "a.parquet", [{"text": "x", "tokens": "3", "truth": True}])
    assert "weight 'tokens' is a column of string; a weight is a whole number" in mistake(tmp_path, COLUMNS)
    assert "is a column of bool" in mistake(tmp_path, Columns("text", "text", weight="truth"))
    assert "column 'token' is unknown; did you mean 'tokens'?" in mistake(
        tmp_path, Columns("text", "text", weight="token")
    )


def test_a_folder_of_images_has_no_weights(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    assert mistake(tmp_path, Columns("image", "image", weight="path")).endswith(
        "weight='path': a folder of images has no column of weights"
    )
