"""The tables of hygiene: neighbours of suspects, pairs of near-duplicates, test rows among the examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from syllabus.manifests import ManifestWriter, schema
from syllabus.pipeline.stages.commit.contents import read_contents
from syllabus.pipeline.stages.commit.context import CommitContext
from syllabus.pipeline.stages.neighbours.holdout import HoldoutPairs

TESTED_CONTENTS = 200
"""Test rows that are kept with their content."""


def write_hygiene(context: CommitContext, writer: ManifestWriter) -> dict[str, Any]:
    """Write what there is of the tables; return their section of manifest.json."""
    section: dict[str, Any] = {}
    found = context.found
    if found.evidence is not None:
        index = context.index
        if found.agreement is not None:
            own, rank, neighbour, cosine = found.evidence.suspects
            _write(
                writer,
                schema.SUSPECTS,
                [index[own], rank.astype(np.int32), index[neighbour], cosine.astype(np.float32)],
            )
            section["suspects"] = _listed(len(own), len(np.unique(own)), found.evidence.suspects_found)
        one, other, cosine = found.evidence.copies
        _write(writer, schema.DUPLICATES, [index[one], index[other], cosine.astype(np.float32)])
        groups = 0 if found.groups is None else len(np.unique(found.groups[one]))
        section["duplicates"] = _listed(len(one), groups, found.evidence.groups_found)
    if found.holdout is not None:
        _write(writer, schema.HOLDOUT, _tested(context, found.holdout))
        rows = len(found.holdout.tested)
        section["holdout"] = _listed(rows, rows, rows)
    return {"hygiene": section} if section else {}


def _tested(context: CommitContext, pairs: HoldoutPairs) -> list[Any]:
    """The columns of the test rows; the first of them with their content where there is a preview."""
    count = len(pairs.tested)
    texts: list[str | None] = [None] * count
    images: list[bytes | None] = [None] * count
    if context.options.preview and context.options.private is None:
        shown = pairs.tested[:TESTED_CONTENTS]
        places = np.arange(len(shown))
        texts[: len(shown)], images[: len(shown)] = read_contents(pairs.plan, context.work, shown, places)
    found = [pairs.place(row) for row in range(count)]
    return [
        pairs.tested,
        pa.array([each["source_file"] for each in found], pa.string()),
        np.array([each["source_row"] for each in found], np.int64),
        pairs.index,
        pairs.cosine.astype(np.float32),
        pa.array(texts, pa.string()),
        pa.array(images, pa.binary()),
    ]


def _listed(rows: int, listed: int, found: int) -> dict[str, int]:
    return {"rows": rows, "listed": listed, "found": found}


def _write(writer: ManifestWriter, table: schema.Table, columns: list[Any]) -> None:
    writer.table(table).write(pa.table(columns, schema=table.schema))
