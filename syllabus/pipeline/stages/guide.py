"""The guide of a selection: rows of a query to resemble, or private rows to avoid; none of them is selected.

They are embedded in the submitting process, with the encoder and column of the data, into the same shards.
"""

import hashlib
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from syllabus.pipeline.errors import UserError, naming
from syllabus.pipeline.options import Options
from syllabus.pipeline.sources import Columns, open_source
from syllabus.pipeline.stages.embed import encode_records
from syllabus.pipeline.stages.plan import Plan, content_of_data, embed_key
from syllabus.pipeline.stages.transform import Transform
from syllabus.pipeline.work_directory import WorkDirectory, key_of, vectors_column, vectors_of


@dataclass(frozen=True)
class Guide:
    """The rows of ``--query`` or ``--private``, as the encoder gives them."""

    option: str
    vectors: np.ndarray
    """(m, d) float32"""
    content: str
    """sha256 of the digests of the rows' contents."""
    truncated: int | None = None
    """Rows whose text the encoder cut; None where it does not say."""

    def as_section(self) -> dict[str, Any]:
        """Return what the manifest says of them: never where they lay."""
        section = {"kind": self.option, "rows": len(self.vectors), "sha256": self.content}
        return section if self.truncated is None else {**section, "truncated": self.truncated}

    def store(self, transform: Transform, fitted: str, work: WorkDirectory) -> str:
        """Leave the rows for the workers as they are compared, and return their key."""
        vectors = transform.apply(self.vectors)
        digest = hashlib.sha256(np.ascontiguousarray(vectors, "<f4")).hexdigest()
        key = key_of("guide", vectors=digest, fitted=fitted)
        if not work.has("guide", key):
            work.write("guide", key, pa.table({"vector": vectors_column(vectors)}))
        return key


def make_guide(options: Options, plan: Plan, work: WorkDirectory) -> Guide | None:
    """Return the rows that guide the objective, or None; each of them has to be sound.

    Raises:
      UserError: the file cannot be read, is empty, lacks the column, or a row is bad.
    """
    option = "query" if options.query is not None else "private"
    location = getattr(options, option)
    if location is None:
        return None
    with naming(option):
        return Guide(option, *_read(options, location, plan, work))


def _read(
    options: Options, location: str, plan: Plan, work: WorkDirectory
) -> tuple[np.ndarray, str, int | None]:
    """The rows as the encoder gives them, the digest of their contents' digests, and how many were cut."""
    source, _ = open_source(location, options.follow_links)
    columns = Columns(options.content_kind, content_of_data(options), limits=plan.columns.limits)
    encoder = plan.identity.key_fields()
    vectors, digest, rows = [], hashlib.sha256(), 0
    truncated = None
    for file, held in groupby(source.chunks(columns), key=lambda chunk: chunk.file):
        chunks = list(held)
        keys = [embed_key(chunk, columns, source.format_of(file), encoder, plan.encoder) for chunk in chunks]
        missing = [n for n, key in enumerate(keys) if not work.has("embed", key)]
        found = source.read([chunks[n] for n in missing], columns) if missing else iter(())
        for number, records in zip(missing, found, strict=True):
            work.write(
                "embed", keys[number], encode_records(records, plan.encoder, plan.identity.dimension)[0]
            )
        for chunk, key in zip(chunks, keys, strict=True):
            table = work.read("embed", key)
            for row, reason in enumerate(table.column("reason").to_pylist()):
                if reason is not None:
                    detail = table.column("detail")[row].as_py() or ""
                    place = f"{chunk.source_files()[row]} row {chunk.source_rows()[row]}"
                    raise UserError(f"{location}: {place}: {reason} {detail}".rstrip())
            vectors.append(vectors_of(table.column("vector")))
            digest.update(b"".join(table.column("content").to_pylist()))
            if "truncated" in table.column_names:
                truncated = (truncated or 0) + int(table.column("truncated").to_numpy().sum())
            rows += chunk.rows
    if not rows:
        raise UserError(f"{location}: is empty")
    width = vectors[0].shape[1]
    if width != plan.identity.dimension:
        raise UserError(f"{location}: vectors have {width} values; the data have {plan.identity.dimension}")
    return np.concatenate(vectors), digest.hexdigest(), truncated


def check_guide(guide: Guide | None, largest: int, options: Options) -> None:
    """Refuse rows whose similarities to a largest bucket of about so many rows no worker can hold."""
    needed = 8 * len(guide.vectors) * largest / 1e9 if guide is not None else 0.0
    if guide is not None and guide.option == "query" and needed > options.memory_per_worker:
        raise UserError(
            f"query={options.query!r}: the similarities of {len(guide.vectors):,} rows to a bucket of"
            f" {largest:,} examples take {needed:.2g} GB; memory_per_worker is"
            f" {options.memory_per_worker:g} GB. Give fewer rows, or lower bucket_size"
        )


def read_guide(work: WorkDirectory, key: str | None) -> np.ndarray | None:
    """Return the (m, D) float32 rows that `Guide.store` left."""
    return None if key is None else vectors_of(work.read("guide", key).column("vector"))
