"""The embed stage: one shard of vectors and one of labels and ids for each unit.

The unit is the block that the plan fixed: it is encoded in one go, sorted by length inside, whatever
worker takes it and whatever else runs, so its bytes are always the same.
"""

from __future__ import annotations

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.metrics import Metrics

from syllabus.pipeline.encoders import EncoderSpec, encoder_of
from syllabus.pipeline.sources import Columns, Records, Source
from syllabus.pipeline.sources.reasons import NOT_FINITE, ZERO_VECTOR
from syllabus.pipeline.stages.plan import Plan, PlannedUnit
from syllabus.pipeline.work_directory import Work, vectors_column


class EmbedUnits(beam.DoFn):
    """Embeds runs of units: what it leaves is in the work directory."""

    def __init__(self, source: Source, columns: Columns, spec: EncoderSpec, work: Work) -> None:
        self.source, self.columns, self.spec, self.work = source, columns, spec, work
        self.encoded = Metrics.counter("syllabus", "encoded")
        self.halvings = Metrics.counter("syllabus", "out_of_memory")

    def process(self, run: list[PlannedUnit]) -> None:
        """Make the shards that are missing; an attempt that is repeated finds them there."""
        missing = [
            planned
            for planned in run
            if not (self.work.has("embed", planned.embed_key) and self.work.has("rows", planned.rows_key))
        ]
        if not missing:
            return
        read = self.source.read([planned.unit for planned in missing], self.columns)
        for planned, records in zip(missing, read, strict=True):
            self.source.check_unchanged(planned.unit)
            if not self.work.has("rows", planned.rows_key):
                self.work.write("rows", planned.rows_key, rows_table(records, planned.unit.rows))
            if not self.work.has("embed", planned.embed_key):
                table, encoded, halvings = embed(records, self.spec)
                self.work.write("embed", planned.embed_key, table)
                self.encoded.inc(encoded)
                self.halvings.inc(halvings)


def build(pipeline: beam.Pipeline, plan: Plan, work: Work, units: list[PlannedUnit]) -> None:
    """Add the embed stage for `units` to a pipeline."""
    _ = (
        pipeline
        | "Units" >> beam.Create(plan.runs(units), reshuffle=False)
        | "Spread" >> beam.Reshuffle()
        | "Embed" >> beam.ParDo(EmbedUnits(plan.source, plan.columns, plan.encoder, work))
    )


def embed(records: Records, spec: EncoderSpec) -> tuple[pa.Table, int, int]:
    """Return a unit's shard, the number of rows that were encoded, and how often memory ran out."""
    encoder = encoder_of(spec)
    before = _halvings(encoder)
    count = len(records.content)
    good = [row for row in range(count) if row not in records.bad and row not in records.excluded]
    content = (
        records.content[good]
        if isinstance(records.content, np.ndarray)
        else [records.content[i] for i in good]
    )
    vectors = np.zeros((count, 0), np.float32)
    if good:
        made = encoder.encode(content, lambda row, *reason: records.reject(good[row], *reason))
        vectors = np.zeros((count, made.shape[1]), np.float32)
        vectors[good] = made
        _reject_useless(records, vectors, good)
    if vectors.shape[1] == 0:
        vectors = np.zeros((count, encoder.identity().dimension), np.float32)
    table = pa.table(
        {
            "content": pa.array(records.digests(), pa.binary(32)),
            "vector": vectors_column(vectors),
            "reason": pa.array([records.bad.get(row, (None, None))[0] for row in range(count)], pa.string()),
            "detail": pa.array([records.bad.get(row, (None, None))[1] for row in range(count)], pa.string()),
        }
    )
    return table, len(good), _halvings(encoder) - before


def rows_table(records: Records, count: int) -> pa.Table:
    """Return the shard of a unit's labels and ids, and of its weights where they were asked for."""
    none = [None] * count
    weights = {} if records.weights is None else {"weight": pa.array(records.weights, pa.int64())}
    return pa.table(
        {
            "id": pa.array(records.ids if records.ids is not None else none, pa.string()),
            "label": pa.array(records.labels if records.labels is not None else none, pa.string()),
            # What the label is beside its text: what it is cut into bins by, or the classes of a list.
            "number": pa.array(records.numbers if records.numbers is not None else none, pa.float64()),
            "list": pa.array(records.lists if records.lists is not None else none, pa.list_(pa.string())),
            "excluded": pa.array([row in records.excluded for row in range(count)]),
            "reason": pa.array(
                [records.bad_keys.get(row, (None, None))[0] for row in range(count)], pa.string()
            ),
            "detail": pa.array(
                [records.bad_keys.get(row, (None, None))[1] for row in range(count)], pa.string()
            ),
            **weights,
        }
    )


def _reject_useless(records: Records, vectors: np.ndarray, good: list[int]) -> None:
    finite = np.isfinite(vectors).all(axis=1)
    norms = np.linalg.norm(np.where(finite[:, None], vectors, 0).astype(np.float64), axis=1)
    for row in good:
        if not finite[row]:
            records.reject(row, NOT_FINITE, "the encoder gave a value that is not finite")
        elif norms[row] == 0:
            records.reject(row, ZERO_VECTOR, "a vector of norm 0 has no direction")
    vectors[[row for row in good if row in records.bad]] = 0


def _halvings(encoder: object) -> int:
    batches = getattr(encoder, "batches", None)
    return batches.halvings if batches is not None else 0
