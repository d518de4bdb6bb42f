"""The embed stage: one shard of vectors and one of labels and ids for each chunk.

The chunk is the block that the plan fixed: it is encoded in one go, sorted by length inside, whatever
worker takes it and whatever else runs, so its bytes are always the same.
"""

from __future__ import annotations

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.metrics import Metrics

from syllabus.pipeline.encoders import EncoderSpec, encoder_of
from syllabus.pipeline.encoders.batches import check_width
from syllabus.pipeline.errors import working_on
from syllabus.pipeline.runtime.for_each import ForEach
from syllabus.pipeline.sources import Records
from syllabus.pipeline.sources.labels import Labels
from syllabus.pipeline.sources.reasons import NOT_FINITE, ZERO_VECTOR
from syllabus.pipeline.stages.plan import Plan, PlannedChunk
from syllabus.pipeline.work_directory import WorkDirectory, vectors_column


class EmbedChunks(beam.DoFn):
    """Embeds runs of chunks: what it leaves is in the work directory."""

    def __init__(self, plan: Plan, work: WorkDirectory) -> None:
        self.source, self.columns, self.spec, self.work = plan.source, plan.columns, plan.encoder, work
        self.width = plan.identity.dimension
        self.encoded = Metrics.counter("syllabus", "encoded")
        self.halvings = Metrics.counter("syllabus", "out_of_memory")

    def process(self, run: list[PlannedChunk]) -> None:
        """Make the shards that are missing; an attempt that is repeated finds them there."""
        missing = [planned for planned in run if not all(self.work.has(*each) for each in planned.shards)]
        if not missing:
            return
        read = self.source.read([planned.chunk for planned in missing], self.columns)
        for planned in missing:
            with working_on(str(planned)):
                self._make(planned, next(read))

    def _make(self, planned: PlannedChunk, records: Records) -> None:
        self.source.check_unchanged(planned.chunk)
        if not self.work.has("rows", planned.rows_key):
            self.work.write("rows", planned.rows_key, _rows_table(records, planned.chunk.rows))
        if not self.work.has("embed", planned.embed_key):
            table, encoded, halvings = encode_records(records, self.spec, self.width)
            self.work.write("embed", planned.embed_key, table)
            self.encoded.inc(encoded)
            self.halvings.inc(halvings)


class Embed(ForEach):
    """Embeds those chunks of a plan whose shards are missing, each run of them on one worker."""

    def __init__(self, plan: Plan, chunks: list[PlannedChunk], work: WorkDirectory) -> None:
        super().__init__(plan.runs(chunks), EmbedChunks(plan, work))


def encode_records(records: Records, spec: EncoderSpec, width: int) -> tuple[pa.Table, int, int]:
    """Return a chunk's shard, the number of rows that were encoded, and how often memory ran out.

    The shard has a column `truncated` where the encoder says which texts it cuts.

    Raises:
      UserError: the vectors have not the `width` of the plan's.
    """
    encoder = encoder_of(spec)
    before = _halvings(encoder)
    count = len(records.content)
    good = [row for row in range(count) if row not in records.bad and row not in records.excluded]
    content = (
        records.content[good]
        if isinstance(records.content, np.ndarray)
        else [records.content[i] for i in good]
    )
    vectors = np.zeros((count, width), np.float32)
    if good:
        made = encoder.encode(content, lambda row, *reason: records.reject(good[row], *reason))
        # A column of vectors has a width of its own, which its reader checks.
        if spec.kind != "column":
            check_width(spec.name, made.shape[1], width)
        vectors = np.zeros((count, made.shape[1]), np.float32)
        vectors[good] = made
        _reject_useless(records, vectors, good)
    columns = {
        "content": pa.array(records.digests(), pa.binary(32)),
        "vector": vectors_column(vectors),
        **_reasons(records.bad, count),
        **_truncated(encoder.truncated(content), good, count),
    }
    return pa.table(columns), len(good), _halvings(encoder) - before


def _truncated(cut: np.ndarray | None, good: list[int], count: int) -> dict[str, pa.Array]:
    if cut is None:
        return {}
    mask = np.zeros(count, bool)
    mask[good] = cut
    return {"truncated": pa.array(mask)}


def _rows_table(records: Records, count: int) -> pa.Table:
    """The shard of a chunk's labels and ids, and of its weights where they were asked for."""
    none = [None] * count
    labels = records.labels or Labels(none)
    columns = {
        "id": pa.array(none if records.ids is None else records.ids, pa.string()),
        "label": pa.array(labels.texts, pa.string()),
        # What the label is beside its text: what it is cut into bins by, or the classes of a list.
        "number": pa.array(none if labels.numbers is None else labels.numbers, pa.float64()),
        "list": pa.array(none if labels.lists is None else labels.lists, pa.list_(pa.string())),
        "excluded": pa.array([row in records.excluded for row in range(count)]),
        **_reasons(records.bad_keys, count),
    }
    if records.weights is not None:
        columns["weight"] = pa.array(records.weights, pa.int64())
    return pa.table(columns)


def _reasons(bad: dict[int, tuple[str, str]], count: int) -> dict[str, pa.Array]:
    found = [bad.get(row, (None, None)) for row in range(count)]
    return {
        name: pa.array([each[place] for each in found], pa.string())
        for place, name in enumerate(("reason", "detail"))
    }


def _reject_useless(records: Records, vectors: np.ndarray, good: list[int]) -> None:
    # Never the encoder's name, which may be a path: the details are in the manifest.
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
