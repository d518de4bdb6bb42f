"""Files of every format for the tests of sources, and what reading them gives."""

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from syllabus.pipeline.errors import UserError
from syllabus.pipeline.sources import Columns, open_source

TEXT = Columns("text", "text", "label", "id")


def _writes_nulls_of_fixed_size() -> bool:
    try:
        pq.write_table(
            pa.table({"v": pa.array([[0, 0], None, [0, 0]], pa.list_(pa.float32(), 2))}),
            pa.BufferOutputStream(),
        )
    except pa.ArrowNotImplementedError:
        return False
    return True


nulls_of_fixed_size = pytest.mark.skipif(
    not _writes_nulls_of_fixed_size(), reason="this pyarrow writes no nulls among lists of a fixed size"
)


ROWS = [{"id": f"r{i}", "label": f"c{i % 3}", "text": f"text {i} é"} for i in range(10)]


def write(path: Path, rows, row_group_size=None):
    """Write rows in the format that the suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=row_group_size)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)


def read(location, columns=TEXT):
    """Return the records of a source as rows (file, row, content, label, id) and the rejects."""
    source, _ = open_source(str(location))
    rows, rejects = [], []
    for chunk in source.chunks(columns):
        (records,) = source.read([chunk], columns)
        assert len(records.content) == chunk.rows
        for row in range(chunk.rows):
            place = (chunk.source_files()[row], int(chunk.source_rows()[row]))
            texts = records.labels and records.labels.texts
            labels, ids = ([None] * chunk.rows if got is None else got for got in (texts, records.ids))
            rows.append((*place, records.content[row], labels[row], ids[row]))
            rejects += [(*place, *held[row]) for held in (records.bad, records.bad_keys) if row in held]
    return rows, rejects


def contents(location, columns=TEXT):
    return [row[2] for row in read(location, columns)[0]]


def mistake(location, columns=TEXT):
    """The one line that a source which cannot be used is refused with."""
    with pytest.raises(UserError) as error:
        read(location, columns)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)
