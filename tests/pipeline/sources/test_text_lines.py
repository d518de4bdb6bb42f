"""Sources of lines: what is a record, and what becomes of a broken one."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_files import contents, mistake, read

from syllabus.pipeline.sources import Columns

INVALID = {
    "jsonl": b'{"id": "0", "label": "a", "text": "fine"}\n{"id": "1", "label": "a", "text": "\xff"}\n'
    b'{"id": "2", "label": "\xff", "text": "fine"}\n{"id": "\xff", "label": "a", "text": "fine"}\n'
    b'{"id": "4", "label": "a", "text": "\\ud800"}\n{"id": "\\udcff", "label": "a", "text": "\xc3\xa9"}\n'
    b'{"id": "6", "label": "a", "text": "\xff\\ud800"}\n',
    "csv": b"id,label,text\n0,a,fine\n1,a,\xff\n2,\xff,fine\n\xff,a,fine\n",
}


def test_bom_crlf_blank_lines_and_no_newline_at_the_end(tmp_path):
    (tmp_path / "d.csv").write_bytes(
        b'\xef\xbb\xbfid,label,text\r\n\r\n1,a,"two\r\n\r\nlines, and ""quotes"""\r\n\n2,b,last'
    )
    assert [row[2:] for row in read(tmp_path)[0]] == [
        ('two\r\n\r\nlines, and "quotes"', "a", "1"),
        ("last", "b", "2"),
    ]
    (tmp_path / "d.csv").unlink()
    (tmp_path / "d.jsonl").write_bytes(
        b'\xef\xbb\xbf{"id": 1, "label": true, "text": "x"}\r\n\r\n  \n{"id": 2, "label": null, "text": "y"}'
    )
    assert read(tmp_path)[0] == [("d.jsonl", 0, "x", "true", "1"), ("d.jsonl", 1, "y", None, "2")]


def test_quotes_inside_a_csv_cell_do_not_join_lines(tmp_path):
    (tmp_path / "d.csv").write_text('text,label,id\n5" pipe,a,1\n6" pipe and 7",b,2\n8" pipe,c,3\n')
    assert contents(tmp_path) == ['5" pipe', '6" pipe and 7"', '8" pipe']


def test_a_quote_that_is_never_closed_loses_no_row_in_silence(tmp_path):
    (tmp_path / "d.csv").write_text('text,label,id\na,a,1\n"b,b,2\nc,c,3\n')
    assert "record 2: a quote is opened and never closed" in mistake(tmp_path)
    (tmp_path / "d.csv").write_text('text,label,id\na,a,1\nb,b,"2\n')
    rows, rejects = read(tmp_path)
    assert len(rows) == 2
    assert [reject[:3] for reject in rejects] == [("d.csv", 1, "unreadable record")]


def test_csv_rows_of_the_wrong_width_and_long_cells(tmp_path):
    long = "x" * 300_000
    (tmp_path / "d.csv").write_text(f"text,label,id\na,b\na,b,c,d\n{long},l,1\n,l,2\n")
    rows, rejects = read(tmp_path)
    assert [row[2] for row in rows] == [None, None, long, ""]
    assert [(reject[1], reject[2]) for reject in rejects] == [
        (0, "unreadable record"),
        (1, "unreadable record"),
        (3, "blank text"),
    ]
    assert rejects[1][3].startswith("4 values under 3 columns")


def test_a_tsv_row_of_empty_cells_is_a_record(tmp_path):
    (tmp_path / "a.csv").write_text("text,label,id\nx,l,0\n")
    (tmp_path / "b.tsv").write_text("text\tlabel\tid\n\t\t\na,b\tl\t1\n")
    rows, rejects = read(tmp_path)
    assert [row[2] for row in rows] == ["x", "", "a,b"]
    assert [reject[:3] for reject in rejects] == [
        ("b.tsv", 0, reason) for reason in ("blank text", "blank label")
    ]


def test_json_that_is_no_object(tmp_path):
    deep = "[" * 100_000
    (tmp_path / "d.jsonl").write_text(
        f'{{"text": "a"}}\n[1, 2]\n{{"text": \n{deep}\n{{"text": 3}}\n{{}}\n"s"\n'
    )
    columns = Columns("text", "text")
    rows, rejects = read(tmp_path, columns)
    assert [row[2] for row in rows] == ["a", *[None] * 6]
    reasons = [(reject[1], reject[2]) for reject in rejects]
    bad = "unreadable record"
    assert reasons == [(1, bad), (2, bad), (3, bad), (4, "not text"), (5, "null text"), (6, bad)]
    (tmp_path / "d.jsonl").write_text('[\n {\n  "text": "a"\n }\n]\n')
    assert "holds no JSON object a line" in mistake(tmp_path / "d.jsonl", Columns("text", "label"))


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_invalid_utf8_costs_one_row_each(tmp_path, suffix, kind):
    path = tmp_path / f"d.{suffix}"
    if suffix == "parquet":
        cells = {
            "id": [b"0", b"1", b"2", b"\xff"],
            "label": [b"a", b"a", b"\xff", b"a"],
            "text": [b"fine", b"\xff", b"fine", b"fine"],
        }
        columns = {name: pa.array(values, pa.binary()).view(pa.string()) for name, values in cells.items()}
        if kind != pa.string():
            columns = {
                name: pa.DictionaryArray.from_arrays(pa.array(range(4), pa.int32()), column)
                if pa.types.is_dictionary(kind)
                else pa.array(cells[name], pa.large_binary()).view(pa.large_string())
                for name, column in columns.items()
            }
        pq.write_table(pa.table(columns), path)
    elif kind != pa.string():
        pytest.skip("the types of columns are Parquet's")
    else:
        path.write_bytes(INVALID[suffix])
    rows, rejects = read(tmp_path)
    assert [(r[1], r[2], r[3].partition(":")[0]) for r in rejects[:3]] == [
        (1, "invalid UTF-8", "column text"),
        (2, "invalid UTF-8", "column label"),
        (3, "invalid UTF-8", "column id"),
    ]
    assert rows[0][2:] == ("fine", "a", "0")
    assert [r[:3] for r in rejects[3:]] == (
        [(path.name, row, "invalid UTF-8") for row in (4, 5, 6)] if suffix == "jsonl" else []
    )
    # What is left can be written.
    for row in rows:
        "".join(value for value in row[2:] if value is not None).encode("utf-8")


def test_a_header_that_is_not_utf8_is_told_where_it_hides_a_column(tmp_path):
    (tmp_path / "d.csv").write_bytes("text,café\na,b\nc,d\n".encode("latin-1"))
    assert mistake(tmp_path, Columns("text", "text", "café")).endswith(
        "column 'café' is unknown, and the header is not UTF-8: b'caf\\xe9'; write the file as UTF-8"
    )
    assert [row[2] for row in read(tmp_path, Columns("text", "text"))[0]] == ["a", "c"]
