"""A look at a job before it runs: some rows read, one block encoded, nothing written."""

from __future__ import annotations

import resource
import time
from collections import Counter
from typing import Any

import numpy as np

from syllabus.manifests import budget
from syllabus.pipeline.encoders import EncoderSpec, check_encoder, encoder_of, spec_of
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.options import Options
from syllabus.pipeline.preparation import checks_before_plan
from syllabus.pipeline.runtime.torch_setup import limit_threads
from syllabus.pipeline.sources import Chunk, Columns, Records, Source, open_source
from syllabus.pipeline.stages.neighbours.stage import EXACT_ROWS
from syllabus.pipeline.stages.plan import check_label_count, columns_of

ROWS = 1000
ENCODED = {True: 1000, False: 128}
"""Rows of the block that is encoded, where encoding is cheap and where a model does it."""
WARM = 4
PRODUCTS = 2048
"""Rows of the product that neighbours are estimated by."""
SHARD_ROW, MANIFEST_ROW, SUBSET_ROW = 400, 40, 12
"""Bytes of a row beside its vectors: in the work directory, and in the tables of a manifest."""
PREVIEW = 5_000_000


def dry_run(options: Options) -> dict[str, Any]:
    """Return what the first 1,000 rows of a source hold, and what the whole job is likely to take.

    Raises:
      UserError: what `prepare` would refuse before it embeds, as far as these rows show it.

    Cost: one read of the source's first file (of images and lists of files, of 1,000 rows), the model's
    loading, and a block of rows encoded on this machine.
    """
    checks_before_plan(options, writes=False)
    source, ignored = open_source(options.source, options.follow_links)
    columns = columns_of(options)
    source.check(columns)
    spec = spec_of(options, source, columns)
    check_encoder(spec)
    rows, first, exact = _count(source, columns)
    records = next(iter(source.read([first], columns)))
    found = _contents(records, columns, first.rows)
    if (
        records.labels is not None
        and not columns.numeric
        and not columns.where
        and records.labels.lists is None
    ):
        check_label_count(options, len(found["labels"]), rows, "at least ")
    limit_threads(options.threads_per_worker)
    encoded = _encode(spec, records, first.rows)
    accepted = rows * found["accepted"] / max(1, first.rows)
    return {
        "source": {
            "location": options.source,
            "files": len(source.files),
            "not_read": len(ignored),
            "rows": rows,
            "rows_are_counted": exact,
            "schema": source.schema(),
        },
        "sample": found,
        "encoder": {**encoded, "name": spec.name, "kind": spec.kind},
        "estimate": _estimate(options, encoded, rows, accepted),
    }


def _count(source: Source, columns: Columns) -> tuple[int, Chunk, bool]:
    """The rows of the source, its first chunk, and whether they were counted and not judged by bytes."""
    chunks = source.chunks(columns, ROWS)
    first = next((chunk for chunk in chunks if chunk.rows), None)
    if first is None:
        raise UserError(f"source {source.store.url()}: is empty: {len(source.files)} files, 0 rows")
    if first.members:
        return len(source.files), first, True
    rows = first.rows
    for chunk in chunks:
        if chunk.file != first.file:
            break
        rows += chunk.rows
    sizes = [size for size, _ in source.stamps.values()]
    if len(sizes) < 2:
        return rows, first, True
    return round(rows * sum(sizes) / max(1, source.stamps[first.file][0])), first, False


def _contents(records: Records, columns: Columns, count: int) -> dict[str, Any]:
    """What a chunk's rows hold: rejects by reason, labels, lengths of texts."""
    bad = {**records.bad_keys, **records.bad}
    lost = {row: reason for row, (reason, _) in bad.items() if row not in records.excluded}
    for name, values in (
        (columns.label, records.labels and records.labels.texts),
        (columns.id, records.ids),
        (columns.weight, records.weights),
    ):
        if name is not None and values is not None:
            nulls = [row for row, value in enumerate(values) if value is None and row not in records.excluded]
            lost = {**dict.fromkeys(nulls, f"null {name}"), **lost}
    good = [row for row in range(count) if row not in lost and row not in records.excluded]
    texts = [] if records.labels is None else [str(records.labels.texts[row]) for row in good]
    found: dict[str, Any] = {
        "rows": count,
        "accepted": len(good),
        "excluded": len(records.excluded),
        "rejected": dict(Counter(lost.values()).most_common()),
        "labels": dict(Counter(texts).most_common()),
    }
    if columns.kind == "text" and good:
        lengths = np.array([len(records.content[row]) for row in good])
        found["characters"] = {"median": int(np.median(lengths)), "longest": int(lengths.max())}
    return found


def _encode(spec: EncoderSpec, records: Records, count: int) -> dict[str, Any]:
    """Encode one block of the good rows; return its width, its rate, and the texts that were cut."""
    encoder = encoder_of(spec)
    identity = encoder.identity()
    good = [row for row in range(count) if row not in records.bad and row not in records.excluded]
    found: dict[str, Any] = {
        "dimension": identity.dimension,
        "max_seq_length": identity.max_seq_length,
        "rows": min(len(good), ENCODED[spec.cheap]),
        "rows_per_second": None,
        "truncated": None,
        "unreadable": {},
    }
    if not good:
        return found
    # Spread over the rows, which may be sorted by length.
    good = [good[place] for place in np.linspace(0, len(good) - 1, found["rows"]).astype(int).tolist()]
    whole = isinstance(records.content, np.ndarray)
    block = records.content[good] if whole else [records.content[row] for row in good]
    reasons: Counter[str] = Counter()
    encoder.encode(block[:WARM], lambda *_: None)
    start = time.perf_counter()
    encoder.encode(block, lambda _, reason, *__: reasons.update([reason]))
    found["rows_per_second"] = len(good) / max(1e-9, time.perf_counter() - start)
    cut = encoder.truncated(block)
    found["truncated"] = None if cut is None else int(cut.sum())
    found["unreadable"] = dict(reasons)
    return found


def _estimate(options: Options, encoded: dict[str, Any], rows: int, accepted: float) -> dict[str, Any]:
    """Seconds, and bytes of memory and disk, of the whole job; seconds of what is known to take long."""
    n, d, rate = max(1, round(accepted)), encoded["dimension"], encoded["rows_per_second"]
    sketch = d if options.sketch_dim is None else min(d, options.sketch_dim)
    subsets = options.subset_count * sum(budget(fraction, n) for fraction in options.fraction)
    tables = (MANIFEST_ROW + 20 * len(options.importance) + sketch) * n + SUBSET_ROW * subsets
    vectors = 4 * d * n
    held = min(vectors, options.workers * options.memory_per_worker * 1e9)
    return {
        "examples": n,
        "encoding_seconds": None if rate is None else rows / rate / options.workers,
        "neighbours_seconds": _neighbours(n, d, options.workers) if options.neighbours else 0.0,
        "memory_bytes": round(_peak() + held + 100 * n),
        "work_bytes": round(2 * vectors + SHARD_ROW * rows),
        "manifest_bytes": round(tables + (PREVIEW if options.preview else 0) * min(1, n / 20_000)),
    }


def _neighbours(n: int, d: int, workers: int) -> float:
    """Seconds of the search, from a product of this machine: pairs cost a few times their product."""
    rows = np.random.default_rng(0).standard_normal((PRODUCTS, d)).astype(np.float32)
    rows[:8] @ rows.T
    start = time.perf_counter()
    rows @ rows.T
    pair = (time.perf_counter() - start) / PRODUCTS**2
    # Of all pairs each is computed once, beside finding the nearest; lists look at 18 √n rows for each.
    return (n * n / 2 * 2 if n <= EXACT_ROWS else n * 18 * n**0.5 * 4) * pair / workers


def _peak() -> int:
    """Bytes that this process has held at most, with the model and its libraries."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
