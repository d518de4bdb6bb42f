"""What the tests of the command line have in common: one data set, and `syllabus prepare` on it."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from job_sources import sentences

from syllabus.pipeline.command_line import app as cli

COUNT = 300
ROWS = {
    "text": sentences(COUNT, 0),
    "class": [f"class {row % 3}" for row in range(COUNT)],
    "id": [f"key {row}" for row in range(COUNT)],
    "score": [row / 7 for row in range(COUNT)],
}


def write_rows(path: Path) -> Path:
    pq.write_table(pa.table(ROWS), path)
    return path


def prepare(source, output, *flags, label="class", text="text", encoder="hashing"):
    arguments = ["prepare", "--source", str(source), "--output", str(output), "--text", text]
    arguments += ["--encoder", encoder] + (["--label", label] if label is not None else [])
    return cli.run([*arguments, *flags])


def lines_of(capsys):
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()
