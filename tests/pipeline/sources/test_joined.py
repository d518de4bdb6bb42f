"""Texts of several columns and of chats, and vectors of columns of numbers."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_files import contents, mistake, read, write

from syllabus.pipeline.errors import UserError
from syllabus.pipeline.sources import Columns, open_source
from syllabus.pipeline.sources.records import Limits

CHATS = [
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello é"}],
    [{"role": "system", "content": None}, {"role": "user", "content": " "}],
    [],
    None,
    [{"role": "user", "content": "\ud800"[:0] + "one"}],
]
SAID = ["user: Hi\n\nassistant: Hello é", "", "", None, "user: one"]


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "arrow"])
def test_messages_are_a_text(tmp_path, kind):
    rows = [{"messages": chat} for chat in CHATS]
    if kind == "arrow":
        table = pa.Table.from_pylist(rows)
        with pa.ipc.new_stream(tmp_path / "d.arrow", table.schema) as writer:
            writer.write_table(table)
    else:
        write(tmp_path / f"d.{kind}", rows)
    found, rejects = read(tmp_path, Columns("text", "messages"))
    assert [row[2] for row in found] == SAID
    assert [reject[1:3] for reject in rejects] == [(1, "blank text"), (2, "blank text"), (3, "null text")]


def test_messages_of_sharegpt_and_of_parts(tmp_path):
    parts = [{"type": "text", "text": "Look:"}, {"type": "image"}, {"type": "text", "text": "a cat?"}]
    rows = [
        {"c": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        {
            "c": [
                {"role": "user", "content": parts},
                {"role": "assistant", "content": None, "tool_calls": [1]},
                {"role": "assistant", "tool_calls": [2]},
            ]
        },
        {"c": [{"role": "user", "content": 5}]},
        {"c": [{"no": "chat"}]},
        {"c": ["a", "b"]},
    ]
    write(tmp_path / "d.jsonl", rows)
    found, rejects = read(tmp_path, Columns("text", "c"))
    assert [row[2] for row in found[:2]] == ["human: Hi\n\ngpt: Hello", "user: Look:\n\na cat?"]
    assert [reject[1:3] for reject in rejects] == [(2, "not text"), (3, "not text"), (4, "not text")]


JOINED = [
    {"prompt": "a", "input": "", "response": "b"},
    {"prompt": None, "input": None, "response": "c"},
    {"prompt": None, "input": None, "response": None},
    {"prompt": "é" * 9, "input": " ", "response": "é" * 9},
]


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
def test_columns_are_joined_in_the_order_asked_for(tmp_path, kind):
    write(tmp_path / f"d.{kind}", JOINED)
    columns = Columns("text", "response, prompt,input", limits=Limits(max_text_bytes=37))
    found, rejects = read(tmp_path, columns)
    assert [row[2] for row in found[:2]] == ["b\n\na", "c"]
    nothing = "blank text" if kind == "csv" else "null text"
    assert [reject[1:3] for reject in rejects] == [(2, nothing), (3, "text above max_text_bytes")]
    assert "column 'answer' is unknown" in mistake(tmp_path, Columns("text", "prompt,answer"))


def test_a_chat_may_be_joined_with_a_column(tmp_path):
    write(tmp_path / "d.jsonl", [{"title": "T", "messages": CHATS[0]}])
    assert contents(tmp_path, Columns("text", "title,messages")) == [f"T\n\n{SAID[0]}"]


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
def test_a_column_whose_name_has_a_comma_is_one(tmp_path, kind):
    write(tmp_path / f"d.{kind}", [{"a,b": "one", "a": "x", "b": "y"}])
    assert contents(tmp_path, Columns("text", "a,b")) == ["one"]
    assert contents(tmp_path, Columns("text", "a, b")) == ["x\n\ny"]


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
def test_columns_of_numbers_are_a_vector(tmp_path, kind):
    rows = [{"w": 1, "h": 2.5}, {"w": None, "h": 1.0}, {"w": 3, "h": 4.0}]
    if kind == "parquet":
        table = pa.table({"w": pa.array([1, None, 3]), "h": [2.5, 1.0, 4.0], "s": [*"abc"]})
        pq.write_table(table, tmp_path / "d.parquet")
        assert "embedding 's' is a column of string" in mistake(tmp_path, Columns("embedding", "w,s"))
    else:
        write(tmp_path / f"d.{kind}", rows)
    found, rejects = read(tmp_path, Columns("embedding", "h,w"))
    assert [found[row][2].tolist() for row in (0, 2)] == [[2.5, 1.0], [4.0, 3.0]]
    assert [reject[1:3] for reject in rejects] == [(1, "null vector")]


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
def test_a_star_stands_for_columns_but_those_of_keys(tmp_path, kind):
    write(tmp_path / f"d.{kind}", [{"mean b": 1, "mean a": 2, "x": 3, "mean label": "k"}])
    source, _ = open_source(str(tmp_path))

    def found(content):
        return source.resolved(Columns("embedding", content, "mean label")).content

    assert found("x,mean *") == "x,mean a,mean b"
    assert found("*") == "mean a,mean b,x"
    assert found("mean a,*") == "mean a,mean b,x"
    for content in ("x,y*", "y*"):
        with pytest.raises(UserError, match=r"d\.\w+: column 'y\*' is unknown"):
            found(content)
    ((_, _, vector, label, _),), _ = read(tmp_path, Columns("embedding", found("x,mean *"), "mean label"))
    assert (vector.tolist(), label) == ([3, 2, 1], "k")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_star_stands_for_the_same_columns_in_every_file(tmp_path, kind):
    write(tmp_path / f"a.{kind}", [{"x": 1.5, "y": 2.5, "z": 3.5}])
    write(tmp_path / f"b.{kind}", [{"z": 3.5, "y": 2.5, "x": 1.5}])
    columns = open_source(str(tmp_path))[0].resolved(Columns("embedding", "*"))
    (one, other), _ = read(tmp_path, columns)
    assert one[2].tolist() == other[2].tolist() == [1.5, 2.5, 3.5]
    write(tmp_path / f"c.{kind}", [{"x": 1.5, "y": 2.5, "other": 3.5}])
    told = mistake(tmp_path, columns)
    assert "c." in told
    assert "'z' is unknown" in told


def test_a_cell_that_is_no_number_costs_its_row(tmp_path):
    (tmp_path / "d.csv").write_text("w,h\n1,2\nx,3\n4,inf\n")
    _, rejects = read(tmp_path, Columns("embedding", "w,h"))
    assert [reject[1:3] for reject in rejects] == [(1, "not a vector"), (2, "NaN vector")]


def test_a_list_of_structs_that_are_no_messages_is_refused(tmp_path):
    pq.write_table(pa.table({"c": [[{"a": 1}]]}), tmp_path / "d.parquet")
    assert "text 'c' is a column of list" in mistake(tmp_path, Columns("text", "c"))
