"""A look at a job before it runs: some rows read, one block encoded, nothing written."""

from __future__ import annotations

import resource
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from syllabus.manifests import budget
from syllabus.pipeline.encoders import EncoderSpec, check_encoder, encoder_of, spec_of
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.options import Options
from syllabus.pipeline.preparation import checks_before_plan
from syllabus.pipeline.runtime.torch_setup import limit_threads
from syllabus.pipeline.sources import Columns, Records, open_source
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
    """Return what about 1,000 rows of a source hold, and what the whole job is likely to take.

    Raises:
      UserError: what `prepare` would refuse before it embeds, as far as these rows show it.

    Cost: reading the first rows of up to 20 files that are spread over the source, the model's loading, and a
    block of rows encoded on this machine.
    """
    checks_before_plan(options, writes=False)
    source, ignored = open_source(options.source, options.follow_links)
    columns = source.resolved(columns_of(options))
    source.check(columns)
    spec = spec_of(options, source, columns)
    check_encoder(spec)
    sample = source.sample(columns, ROWS)
    if not sample.chunks:
        raise UserError(f"source {options.source}: is empty: {sample.files} files, 0 rows")
    found = _Contents()
    for chunk in sample.chunks:
        found.add(next(iter(source.read([chunk], columns))), columns, chunk.rows)
    if found.labels and not (columns.numeric or columns.where or found.lists):
        check_label_count(options, len(found.labels), sample.rows, "at least ")
    limit_threads(options.threads_per_worker)
    encoded = _encode(spec, found.contents)
    accepted = sample.rows * found.accepted / found.rows
    return {
        "source": {
            "location": options.source,
            "files": len(source.files),
            "not_read": len(ignored),
            "rows": sample.rows,
            "rows_are_counted": sample.counted,
            # Files of lines have names without types.
            "schema": source.schema() or dict.fromkeys(source.names(columns), ""),
        },
        "sample": {"files": sample.files, **found.as_section()},
        "encoder": {**encoded, "name": spec.name, "kind": spec.kind},
        "estimate": _estimate(options, encoded, sample.rows, accepted),
    }


@dataclass
class _Contents:
    """What the rows of a sample hold."""

    rows: int = 0
    accepted: int = 0
    excluded: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    lists: bool = False
    """Whether rows have lists of labels."""
    lengths: list[int] = field(default_factory=list)
    """Characters of texts."""
    contents: list[Any] = field(default_factory=list)
    """What can be encoded."""

    def add(self, records: Records, columns: Columns, count: int) -> None:
        """Add the rows of one chunk."""
        bad = {**records.bad_keys, **records.bad}
        lost = {row: reason for row, (reason, _) in bad.items() if row not in records.excluded}
        for name, values in (
            (columns.label, records.labels and records.labels.texts),
            (columns.id, records.ids),
            (columns.weight, records.weights),
        ):
            if name is not None and values is not None:
                nulls = [row for row in range(count) if values[row] is None and row not in records.excluded]
                lost = {**dict.fromkeys(nulls, f"null {name}"), **lost}
        good = [row for row in range(count) if row not in lost and row not in records.excluded]
        self.rows += count
        self.accepted += len(good)
        self.excluded += len(records.excluded)
        self.rejected.update(lost.values())
        if records.labels is not None:
            self.labels.update(str(records.labels.texts[row]) for row in good)
            self.lists = self.lists or records.labels.lists is not None
        if columns.kind == "text":
            self.lengths += [len(records.content[row]) for row in good]
        readable = (row for row in range(count) if row not in records.bad and row not in records.excluded)
        self.contents += [records.content[row] for row in readable]

    def as_section(self) -> dict[str, Any]:
        """Return what is told of them."""
        found: dict[str, Any] = {
            "rows": self.rows,
            "accepted": self.accepted,
            "excluded": self.excluded,
            "rejected": dict(self.rejected.most_common()),
            "labels": dict(self.labels.most_common()),
        }
        if self.lengths:
            median, longest = int(np.median(self.lengths)), max(self.lengths)
            found["characters"] = {"median": median, "longest": longest}
        return found


def _encode(spec: EncoderSpec, contents: list[Any]) -> dict[str, Any]:
    """Encode one block of the contents; return its width, its rate, and the texts that were cut."""
    encoder = encoder_of(spec)
    identity = encoder.identity()
    found: dict[str, Any] = {
        "dimension": identity.dimension,
        "max_seq_length": identity.max_seq_length,
        "rows": min(len(contents), ENCODED[spec.cheap]),
        "rows_per_second": None,
        "truncated": None,
        "unreadable": {},
    }
    if not contents:
        return found
    # Spread over the rows, which may be sorted by length.
    places = np.linspace(0, len(contents) - 1, found["rows"]).astype(int).tolist()
    chosen = [contents[place] for place in places]
    block: Any = np.stack(chosen) if isinstance(chosen[0], np.ndarray) else chosen
    reasons: Counter[str] = Counter()
    encoder.encode(block[:WARM], lambda *_: None)
    start = time.perf_counter()
    encoder.encode(block, lambda _, reason, *__: reasons.update([reason]))
    found["rows_per_second"] = len(chosen) / max(1e-9, time.perf_counter() - start)
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
