"""The tables of a manifest: their columns, their order, their files. Format version 1.

``docs/manifest-format.md`` is the specification; this module is its executable form.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

FORMAT = "syllabus-manifest"
FORMAT_VERSION = 1
DOCUMENT = "manifest.json"
ROW_GROUP_ROWS = 131_072
PART_ROWS = 8 * ROW_GROUP_ROWS


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


@dataclass(frozen=True)
class Table:
    """One table: `directory` below the manifest's, Arrow `schema`, the columns its rows are sorted by."""

    directory: str
    schema: pa.Schema
    sort_by: tuple[str, ...]


EXAMPLES = Table(
    "examples",
    pa.schema(
        [
            _required("index", pa.int64()),
            _required("id", pa.string()),
            pa.field("label", pa.string()),
            _required("partition", pa.int32()),
            _required("source_file", pa.string()),
            _required("source_row", pa.int64()),
            # Both are null where the neighbours stage did not run.
            pa.field("neighbour_agreement", pa.float32()),
            pa.field("duplicate_group", pa.int64()),
        ]
    ),
    ("index",),
)
_WEIGHTED = Table(
    EXAMPLES.directory, EXAMPLES.schema.append(_required("weight", pa.int64())), EXAMPLES.sort_by
)
SUBSETS = Table(
    "subsets",
    pa.schema(
        [
            _required("fraction", pa.float64()),
            _required("budget", pa.int64()),
            _required("subset", pa.int32()),
            _required("partition", pa.int32()),
            _required("rank", pa.int32()),
            _required("index", pa.int64()),
            _required("gain", pa.float64()),
            _required("position", pa.int32()),
        ]
    ),
    ("budget", "subset", "position"),
)
REJECTS = Table(
    "rejects",
    pa.schema(
        [
            _required("source_file", pa.string()),
            _required("source_row", pa.int64()),
            _required("reason", pa.string()),
            _required("detail", pa.string()),
        ]
    ),
    (),
)


def examples(weighted: bool) -> Table:
    """The table of the accepted examples; where budgets count weights, `weight` is their last column."""
    return _WEIGHTED if weighted else EXAMPLES


def importance(name: str) -> Table:
    """The table of the importance `name`: every accepted example, ranked inside its partition."""
    return Table(
        f"importances/{name}",
        pa.schema(
            [
                _required("partition", pa.int32()),
                _required("rank", pa.int32()),
                _required("index", pa.int64()),
                _required("gain", pa.float64()),
                _required("score", pa.float64()),
                _required("probability", pa.float64()),
            ]
        ),
        ("partition", "rank"),
    )


def order(name: str) -> Table:
    """The table of the order `name`: a permutation of the accepted examples."""
    return Table(
        f"orders/{name}",
        pa.schema([_required("position", pa.int64()), _required("index", pa.int64())]),
        ("position",),
    )


def sketches(dimension: int) -> Table:
    """The table of sketches of the centred embeddings: `dimension` steps each, a signed byte a step."""
    return Table(
        "sketches",
        pa.schema([_required("index", pa.int64()), _required("sketch", pa.binary(dimension))]),
        ("index",),
    )
