"""The tables of examples and rejects, written group by group."""

from typing import Any

import pyarrow as pa

from syllabus.manifests import Fingerprint, ManifestWriter, schema
from syllabus.pipeline.stages.commit.context import CommitContext
from syllabus.pipeline.stages.regroup.buckets import read_partitions
from syllabus.pipeline.stages.rows import ChunkRows


def write_examples(context: CommitContext, writer: ManifestWriter) -> Fingerprint:
    """Write both tables: ids and labels from the rows, partitions from regroup; return the fingerprint."""
    fingerprint = Fingerprint()
    found = context.found
    described = schema.examples(context.options.weight is not None, covered=found.covers is not None)
    examples, rejects = writer.table(described), writer.table(schema.REJECTS)
    accepted = context.census.rows(context.plan, context.work)
    position = 0
    for group in context.groups:
        _, partitions = read_partitions(context.work, group)
        first = 0
        for rows in map(accepted.of, group.chunks):
            index, ids, labels = rows.index, rows.accepted_ids, rows.accepted_labels.texts
            given = labels if context.options.label is not None else None
            fingerprint.update(index, ids, given, rows.accepted_content)
            columns = {
                "index": index,
                "id": ids,
                "label": labels,
                "partition": partitions[first : first + len(index)],
                **found.columns(context.index, position, position + len(index)),
                **_places(rows),
            }
            if rows.weights is not None:
                columns["weight"] = rows.weights[rows.accepted]
            kinds = described.schema
            examples.write(pa.table({name: columns[name] for name in kinds.names}, schema=kinds))
            if any(rows.reasons):
                rejects.write(_rejects(rows))
            first += len(index)
            position += len(index)
    return fingerprint


def _places(rows: ChunkRows) -> dict[str, Any]:
    chunk = rows.planned.chunk
    return {
        "source_file": pa.array(chunk.source_files()).filter(pa.array(rows.accepted)),
        "source_row": chunk.source_rows()[rows.accepted],
    }


def _rejects(rows: ChunkRows) -> pa.Table:
    chunk = rows.planned.chunk
    files, numbers = chunk.source_files(), chunk.source_rows()
    bad = [row for row, reason in enumerate(rows.reasons) if reason is not None]
    columns = {
        "source_file": [files[row] for row in bad],
        "source_row": numbers[bad],
        "reason": [rows.reasons[row] for row in bad],
        "detail": [rows.details[row] or "" for row in bad],
    }
    return pa.table(columns, schema=schema.REJECTS.schema)
