"""The tables of a manifest, format version 1: columns, sort order, names of parts.

``docs/manifest-format.md`` is the specification; this module is its executable form.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

FORMAT = "syllabus-manifest"
FORMAT_VERSION = 1
DOCUMENT = "manifest.json"
ROW_GROUP_ROWS = 131_072
PART_ROWS = 8 * ROW_GROUP_ROWS
EXTRA_TABLES = ("preview",)
"""Tables for people: another writer's may have other columns, and manifest.json needs not describe them."""
# A name of an importance or order is a plain word, never a way out of the directory.
PART = re.compile(
    r"(examples|subsets|sketches|rejects|preview|density|hygiene/(?:suspects|duplicates|holdout)"
    r"|(?:importances|orders)/[A-Za-z0-9_][A-Za-z0-9_.-]*)"
    r"/part-(?P<number>[0-9]{5,})(?:-[0-9a-f]{16})?\.parquet"
)
NAME_DIGITS = 16
"""Digits of its sha256 in the name of a part that lies, or may lie, between those of another manifest."""
# Agreement and group are null where the neighbours stage did not run, contents where none is kept.
NULLABLE = ("label", "neighbour_agreement", "duplicate_group", "text", "thumbnail")
SKETCH_LEVELS = 127
"""Values of sketches are whole steps from -127 to 127, so that a sketch and its negative are alike."""


def _schema(**columns: pa.DataType) -> pa.Schema:
    """Return the schema of these columns; only those of `NULLABLE` may be null."""
    return pa.schema([pa.field(name, kind, nullable=name in NULLABLE) for name, kind in columns.items()])


@dataclass(frozen=True)
class Table:
    """One table: `directory` below the manifest's, Arrow `schema`, the columns its rows are sorted by."""

    directory: str
    schema: pa.Schema
    sort_by: tuple[str, ...]

    def problems(self, found: pa.Schema) -> Iterator[str]:
        """Yield what is wrong with the columns of a part; those that a later version appended are fine."""
        for place, field in enumerate(self.schema):
            if place >= len(found) or found.field(place).name != field.name:
                got = f"{found.field(place).name!r:.60}".strip("'") if place < len(found) else "nothing"
                yield f"column {place} is {got}, expected {field.name}"
                return
            actual = found.field(place)
            if actual.type != field.type:
                yield f"column {field.name} is of type {actual.type}, expected {field.type}"
            elif actual.nullable and not field.nullable:
                yield f"column {field.name} may be null, which it must not"


EXAMPLES = Table(
    "examples",
    _schema(
        index=pa.int64(),
        id=pa.string(),
        label=pa.string(),
        partition=pa.int32(),
        source_file=pa.string(),
        source_row=pa.int64(),
        neighbour_agreement=pa.float32(),
        duplicate_group=pa.int64(),
    ),
    ("index",),
)
SUBSETS = Table(
    "subsets",
    _schema(
        fraction=pa.float64(),
        budget=pa.int64(),
        subset=pa.int32(),
        partition=pa.int32(),
        rank=pa.int32(),
        index=pa.int64(),
        gain=pa.float64(),
        position=pa.int32(),
    ),
    ("budget", "subset", "position"),
)
REJECTS = Table(
    "rejects",
    _schema(source_file=pa.string(), source_row=pa.int64(), reason=pa.string(), detail=pa.string()),
    (),
)
PREVIEW = Table(
    "preview",
    _schema(
        index=pa.int64(),
        x=pa.float32(),
        y=pa.float32(),
        drawn=pa.bool_(),
        text=pa.string(),
        thumbnail=pa.binary(),
    ),
    ("index",),
)
DENSITY = Table(
    "density", _schema(partition=pa.int32(), cell=pa.int32(), examples=pa.int64()), ("partition", "cell")
)
SUSPECTS = Table(
    "hygiene/suspects",
    _schema(index=pa.int64(), rank=pa.int32(), neighbour=pa.int64(), cosine=pa.float32()),
    ("index", "rank"),
)
DUPLICATES = Table(
    "hygiene/duplicates",
    _schema(index=pa.int64(), other=pa.int64(), cosine=pa.float32()),
    ("index", "other"),
)
HOLDOUT = Table(
    "hygiene/holdout",
    _schema(
        test_index=pa.int64(),
        source_file=pa.string(),
        source_row=pa.int64(),
        index=pa.int64(),
        cosine=pa.float32(),
        text=pa.string(),
        thumbnail=pa.binary(),
    ),
    ("test_index",),
)
FIXED = {
    table.directory: table for table in (SUBSETS, REJECTS, PREVIEW, DENSITY, SUSPECTS, DUPLICATES, HOLDOUT)
}
"""The tables whose columns are the same in every manifest, by directory."""


def examples(weighted: bool, covered: bool = False) -> Table:
    """The table of the accepted examples.

    Where budgets count weights it has a column `weight`; where near-duplicates were covered, `duplicate_of`.
    """
    columns = EXAMPLES.schema
    for name, wanted in (("weight", weighted), ("duplicate_of", covered)):
        if wanted:
            columns = columns.append(pa.field(name, pa.int64(), nullable=False))
    return Table(EXAMPLES.directory, columns, EXAMPLES.sort_by)


def examples_of(description: dict[str, Any]) -> Table:
    """The table of the accepted examples that `description`, the content of manifest.json, goes with."""
    return examples("weight" in description, covered(description))


def table_of(directory: str, description: dict[str, Any]) -> Table | None:
    """Return the table that a directory holds; None where this version does not fix its columns."""
    kind, _, name = directory.partition("/")
    if kind == "importances":
        return importance(name)
    if kind == "orders":
        return order(name)
    if kind == "examples":
        return examples_of(description)
    if kind == "sketches" and "sketches" in description:
        return sketches(description["sketches"]["dimension"])
    if kind in EXTRA_TABLES and kind not in description:
        return None
    return FIXED.get(directory)


def covered(description: dict[str, Any]) -> bool:
    """Whether the examples know which other one stands for them."""
    return "cover" in description.get("neighbours", {}).get("duplicates", {})


def importance(name: str) -> Table:
    """The table of the importance `name`: every accepted example, ranked inside its partition."""
    return Table(
        f"importances/{name}",
        _schema(
            partition=pa.int32(),
            rank=pa.int32(),
            index=pa.int64(),
            gain=pa.float64(),
            score=pa.float64(),
            probability=pa.float64(),
        ),
        ("partition", "rank"),
    )


def order(name: str) -> Table:
    """The table of the order `name`: a permutation of the accepted examples."""
    return Table(f"orders/{name}", _schema(position=pa.int64(), index=pa.int64()), ("position",))


def sketches(dimension: int) -> Table:
    """The table of sketches of the centred embeddings: `dimension` steps each, a signed byte a step."""
    return Table("sketches", _schema(index=pa.int64(), sketch=pa.binary(dimension)), ("index",))


def sketches_table(index: npt.NDArray[np.int64], steps: npt.NDArray[np.int8]) -> pa.Table:
    """Return rows of the table: (m,) ascending indices and their (m, D) int8 sketches, not copied."""
    table = sketches(steps.shape[1])
    steps = np.ascontiguousarray(steps)
    column = pa.Array.from_buffers(table.schema.field("sketch").type, len(steps), [None, pa.py_buffer(steps)])
    return pa.Table.from_arrays([pa.array(index, pa.int64()), column], schema=table.schema)


def table_rows(document: dict[str, Any]) -> dict[str, int]:
    """Return {directory: rows} of the tables listed in `document`, a parsed manifest.json."""
    rows: dict[str, int] = {}
    for entry in document["files"]:
        directory = entry["path"].rpartition("/")[0]
        rows[directory] = rows.get(directory, 0) + entry["rows"]
    return rows
