"""The plan: all chunks in canonical order, with the keys of their shards.

It is made in the submitting process and streams: files are read once, for their digests and their rows.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from syllabus.pipeline.encoders import EncoderSpec, Identity, check_encoder, spec_of
from syllabus.pipeline.encoders.identity_cache import identify
from syllabus.pipeline.errors import UserError, naming
from syllabus.pipeline.options import Bounds, Options
from syllabus.pipeline.runtime.progress import advance
from syllabus.pipeline.sources import CHUNK_ROWS, Chunk, Columns, Records, Source, open_source
from syllabus.pipeline.sources.labels import FEW_LABELS
from syllabus.pipeline.sources.listing import LeftOut
from syllabus.pipeline.sources.reasons import BAD_WEIGHT
from syllabus.pipeline.sources.records import Limits
from syllabus.pipeline.work_directory import WorkDirectory, digest_of, key_of

RUN_CHUNKS = 16
ENCODED_ROWS = 1024
"""Rows in a chunk where a model encodes, half a minute or less on one core: a killed worker loses no more, a
few thousand rows keep all workers busy, and sorting by length saves nearly as much padding as in 8,192."""


@dataclass(frozen=True)
class PlannedChunk:
    """A chunk with its place in the data set and the keys of its shards."""

    chunk: Chunk
    first_index: int
    """Index of its first row: all source rows are counted, those that turn out to be bad included."""
    embed_key: str
    rows_key: str

    def __str__(self) -> str:
        last = self.chunk.first_row + self.chunk.rows - 1
        return f"{self.chunk.file}, rows {self.chunk.first_row:,} to {last:,}"

    @property
    def shards(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """The (stage, key) of its vectors, and of its labels and ids."""
        return ("embed", self.embed_key), ("rows", self.rows_key)


@dataclass(frozen=True)
class Plan:
    """All chunks in canonical order."""

    source: Source
    columns: Columns
    encoder: EncoderSpec
    identity: Identity
    chunks: tuple[PlannedChunk, ...]
    ignored: tuple[LeftOut, ...]
    """Files in the source directory that are not read."""
    mean_weight: float | None = None
    """Of the first rows; None where budgets count examples."""

    @property
    def source_rows(self) -> int:
        """Rows in the source, bad ones included."""
        last = self.chunks[-1]
        return last.first_index + last.chunk.rows

    @cached_property
    def digest(self) -> str:
        """Digest of everything that the later stages read: contents, labels, ids and their places."""
        return digest_of(
            [f"{planned.embed_key} {planned.rows_key} {planned.first_index}" for planned in self.chunks]
        )

    def runs(self, chunks: list[PlannedChunk]) -> list[list[PlannedChunk]]:
        """Group chunks into elements of work.

        One chunk an element where encoding costs most. Where reading does, consecutive chunks of a file go
        together: a row group that holds many chunks is then decoded once, not once for each.
        """
        runs: list[list[PlannedChunk]] = []
        for planned in chunks:
            near = runs and runs[-1][0].chunk.file == planned.chunk.file and len(runs[-1]) < RUN_CHUNKS
            if near and self.encoder.cheap and not planned.chunk.members:
                runs[-1].append(planned)
            else:
                runs.append([planned])
        return runs


def make_plan(options: Options) -> Plan:
    """Return the plan of a job; every mistake in the source or encoder is found here, as a `UserError`."""
    source, ignored = open_source(options.source, options.follow_links)
    columns = source.resolved(columns_of(options))
    source.check(columns)
    spec = spec_of(options, source, columns)
    # Before every file is read for its digest; what loads it finds out the rest.
    check_encoder(spec)
    chunks = []
    for chunk in source.chunks(columns, CHUNK_ROWS if spec.cheap else ENCODED_ROWS):
        chunks.append(chunk)
        advance("plan", chunk.rows)
    if not any(chunk.rows for chunk in chunks):
        raise UserError(f"source {options.source}: is empty: {len(source.files)} files, 0 rows")
    mean_weight = _check_values(options, source, columns, chunks)
    spec, identity = identify(spec, WorkDirectory(options.work))
    first = np.cumsum([0] + [chunk.rows for chunk in chunks])
    encoder, classes = identity.key_fields(), source.classes(columns)
    planned = tuple(
        PlannedChunk(
            chunk,
            int(index),
            embed_key(chunk, columns, source.format_of(chunk.file), encoder, spec),
            _rows_key(chunk, columns, source.format_of(chunk.file), classes),
        )
        for chunk, index in zip(chunks, first[:-1], strict=True)
    )
    return Plan(source, columns, spec, identity, planned, tuple(ignored), mean_weight)


def plan_holdout(options: Options, plan: Plan) -> Plan:
    """Return the plan of the test data: its contents in the same column, whatever else its rows have.

    Raises:
      UserError: a mistake in the test data, or vectors of another width than those of `plan`, the examples'.
    """
    assert options.holdout is not None
    unread = {"label": None, "id": None, "weight": None, "bins": None, "where": ()}
    content = {options.content_kind: plan.columns.content}
    with naming("holdout"):
        tested = make_plan(options.model_copy(update={"source": options.holdout, **unread, **content}))
    width, dimension = tested.identity.dimension, plan.identity.dimension
    if width != dimension:
        raise UserError(f"holdout {options.holdout}: vectors have {width} values; the data have {dimension}")
    return tested


def columns_of(options: Options) -> Columns:
    """Return the columns that a job reads."""
    return Columns(
        options.content_kind,
        options.content,
        options.label,
        options.id,
        numeric=options.bins is not None,
        weight=options.weight,
        where=options.filters,
        limits=Limits.of(options.model_dump(include=set(Bounds.model_fields))),
    )


def _check_values(options: Options, source: Source, columns: Columns, chunks: list[Chunk]) -> float | None:
    """Find a column of no classes, or of no weights, in the first chunk, rather than after hours of encoding.

    Returns the mean weight of its rows.
    """
    total = sum(chunk.rows for chunk in chunks)
    if (options.bins or 0) > (most := max(FEW_LABELS, total // 20)):
        raise UserError(f"bins={options.bins}: is above {most:,}; a bin has 20 or more of {total:,} examples")
    classes = columns.label is not None and not columns.numeric
    if chunks[0].members or not (classes or columns.weight is not None):
        return None
    records = next(iter(source.read(chunks[:1], columns)))
    # How many of the classes of lists are the rarest of some list is found when all are counted.
    if records.labels is not None and classes and records.labels.lists is None and not columns.where:
        check_label_count(options, len(set(records.labels.texts) - {None}), total, "at least ")
    return _mean_weight(source, columns, chunks[0], records)


def _mean_weight(source: Source, columns: Columns, chunk: Chunk, records: Records) -> float | None:
    rows = [row for row in range(chunk.rows) if row not in records.excluded]
    if records.weights is None or not rows:
        return None
    weights = [weight for row in rows if (weight := records.weights[row]) is not None]
    if not weights:
        bad = (detail for reason, detail in records.bad_keys.values() if reason == BAD_WEIGHT)
        raise UserError(
            f"{source.store.url(chunk.file)}: weight {columns.weight!r} holds no whole number of 1 or more"
            f" in the first {len(rows):,} rows: {next(bad, f'column {columns.weight} is null')}"
        )
    return sum(weights) / len(weights)


def check_label_count(options: Options, values: int, examples: int, least: str = "") -> None:
    """Refuse a label column with more than a value for every 20 examples."""
    if values > max(FEW_LABELS, examples // 20):
        raise UserError(
            f"label={options.label!r}: has {least}{values:,} values for {examples:,} examples; a class has 20"
            " or more. Cut numbers into quantiles with --bins, or leave --label out for k-means partitions"
            " (--clusters)"
        )


def _rows_of(chunk: Chunk, form: str) -> dict[str, object]:
    # Never the file's name or place: a renamed or moved file, or one added before it, embeds nothing.
    return {"digest": chunk.digest, "form": form, "first_row": chunk.first_row, "rows": chunk.rows}


def embed_key(
    chunk: Chunk, columns: Columns, form: str, identity: dict[str, object], spec: EncoderSpec
) -> str:
    """Return the key of a chunk's vectors."""
    return key_of(
        "embed",
        **_rows_of(chunk, form),
        kind=columns.kind,
        content=columns.content,
        limits=columns.limits.of_content(columns.kind),
        encoder=identity,
        **_filter(columns),
        # The number of threads sets the last bits of a model's products.
        threads=None if spec.cheap else spec.threads,
    )


def _rows_key(chunk: Chunk, columns: Columns, form: str, classes: tuple[str, ...] | None) -> str:
    return key_of(
        "rows",
        **_rows_of(chunk, form),
        # A folder of images: labels and ids come from the paths.
        members=list(chunk.members),
        label=columns.label,
        id=columns.id,
        numeric=columns.numeric,
        limits=columns.limits.of_keys(),
        **({"weight": columns.weight} if columns.weight is not None else {}),
        **({"classes": classes} if classes is not None else {}),
        **_filter(columns),
    )


def _filter(columns: Columns) -> dict[str, object]:
    # Left out where there is none, so that what was encoded before stays good.
    return {"where": [condition.for_key for condition in columns.where]} if columns.where else {}
