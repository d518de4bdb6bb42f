"""Conditions of a filter, by the type of the column; what they cannot compare is one line."""

import datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from source_files import mistake, write

from syllabus.pipeline.conditions import parse_condition
from syllabus.pipeline.sources import Columns, open_source

DAY = datetime.date(2026, 1, 2)
TABLE = {
    "n": pa.array([1, 5, 10, None, 2**60]),
    "x": pa.array([0.1, float("nan"), -1.5, None, 10.0]),
    "d": pa.array([Decimal("1.50"), Decimal("2.00"), None, Decimal("3.25"), Decimal("10.00")]),
    "s": pa.array(["a", "b,c", None, "", "é"]),
    "day": pa.array([DAY, DAY.replace(day=1), None, DAY.replace(year=2027), DAY]),
    "at": pa.array([datetime.datetime(2026, 1, 2, 3), None, None, None, None], pa.timestamp("us", "UTC")),
    "b": pa.array([True, False, None, True, True]),
    "a,b": pa.array([*"vwxyz"]),
    "half": pa.array([0.1, 1.1, None, float("nan"), -0.1], pa.float32()),
    "far": pa.array([10**17, 0, None, 1, 2], pa.timestamp("s")),
    "took": pa.array([1, 2, 3, 4, 5], pa.duration("s")),
}
HUGE = "9" * 400
ROWS = range(5)


def kept(location, *conditions):
    columns = Columns("text", "text", where=tuple(map(parse_condition, conditions)))
    source, _ = open_source(str(location))
    return [
        chunk.first_row + row
        for chunk in source.chunks(columns, 2)
        for records in source.read([chunk], columns)
        for row in range(chunk.rows)
        if row not in records.excluded
    ]


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    path = tmp_path_factory.mktemp("typed") / "d.arrow"
    with pa.ipc.new_file(path, (table := pa.table({"text": ["t"] * 5, **TABLE})).schema) as sink:
        sink.write_table(table)
    return path


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("n<10", [0, 1]),
        ("n <= 10", [0, 1, 2]),
        ("n>9.5", [2, 4]),
        ("n>=1152921504606846977", []),  # exact beyond 2^53
        ("n!=5", [0, 2, 4]),  # a null fulfils nothing
        ("n=5.0", [1]),
        ("n in 1,10,7", [0, 2]),
        ("x<=0.1", [0, 2]),
        ("x=0.10", [0]),
        ("x>0", [0, 4]),
        ("d>=2", [1, 3, 4]),
        ("d=1.5", [0]),
        ("s>a", [1, 4]),
        ('s in "b,c",a', [0, 1]),
        ("s=", [3]),
        ("s!=a", [1, 3, 4]),
        ("day<2026-01-02", [1]),
        ("day=2026-01-02", [0, 4]),
        ("at>2026-01-02", [0]),
        ("at>2026-01-02T05:00+03:00", [0]),
        ("b=true", [0, 3, 4]),
        ("b!=true", [1]),
        ("a,b>=y", [3, 4]),
        ("half=0.1", [0]),  # in single precision
        ("half>0.1", [1]),
        ("half<=-0.1", [4]),
        ("half in 1.1,7", [1]),
        pytest.param(f"x<{HUGE}", [0, 2, 4], id="beyond floats"),
        pytest.param(f"x={HUGE}", [], id="equal to none"),
        ("far<2026-01-01", [1, 3, 4]),  # what Python has no time for fulfils nothing
        ("far>2026-01-01", []),
    ],
)
def test_typed_columns(typed, condition, rows):
    assert kept(typed, condition) == rows


def test_all_conditions_have_to_hold(typed):
    assert kept(typed, "n>1", "n<2000", "s!=x") == [1]


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("n<x", "'n' is a column of int64, and 'x' is no number"),
        ("n in 1,x", "'x' is no number"),
        ("n=one", "'one' is no number"),
        ("n<nan", "'nan' is no number"),
        ("b>false", "which > does not compare"),
        ("took>a", "'took' is a column of duration[s], which > does not compare"),
        ("b=yes", "true and false; got 'yes'"),
        ("day<soon", "'soon' is none, such as 2026-01-31"),
        ("s<5", "'s' is a column of string"),
        ("nn<5", "column 'nn' is unknown"),
    ],
)
def test_what_cannot_be_compared_is_one_line(typed, condition, said):
    columns = Columns("text", "text", where=(parse_condition(condition),))
    assert said in mistake(typed, columns)


def test_cells_of_csv_are_numbers_where_the_condition_is_one(tmp_path):
    (tmp_path / "d.csv").write_text("text,n\na,9\nb,10\nc,\nd,1e1\ne,x\n")
    assert kept(tmp_path, "n>=10") == [1, 3]
    assert kept(tmp_path, "n<x") == [0, 1, 3]  # texts
    assert kept(tmp_path, "n!=10") == [0, 3, 4]
    assert kept(tmp_path, 'n in "",x') == [2, 4]
    columns = Columns("text", "text", where=(parse_condition("text<5"),))
    assert "'text' holds nothing that < compares with '5', such as" in mistake(tmp_path, columns)


def test_values_of_json_have_their_own_types(tmp_path):
    cells = [9, 10, None, 10.5, "11", True]
    write(tmp_path / "d.jsonl", [{"text": "t", "n": n} for n in cells])
    assert kept(tmp_path, "n>=10") == [1, 3]
    assert kept(tmp_path, "n in 11,true") == [4, 5]


def test_a_list_that_cannot_be_read_is_refused():
    with pytest.raises(ValueError, match="the list cannot be read"):
        parse_condition("n in a\nb")


@pytest.mark.parametrize("text", ["", "n", "=5", " <5", "n in ", "n in", "a in  "])
def test_what_is_no_condition_is_refused(text):
    with pytest.raises(ValueError, match="is not COLUMN=VALUE"):
        parse_condition(text)


@pytest.mark.parametrize(
    "text", ["split=train", "a= b", "x<=5", "lang in de,fr", 'lang in "d,e",fr', "a=b<c"]
)
def test_a_condition_reads_as_it_was_written(text):
    assert str(parse_condition(text)) == text
    assert parse_condition(str(parse_condition(text))) == parse_condition(text)


def test_keys_of_equality_are_as_ever():
    assert parse_condition("split=train").for_key == ["split", "train"]
    assert parse_condition("n<=5").for_key != parse_condition("n>=5").for_key
