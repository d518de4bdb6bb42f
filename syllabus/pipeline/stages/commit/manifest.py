"""The commit: from the work directory's shards to a manifest, as a stream, in the submitting process."""

from typing import Any

import numpy as np
import pyarrow as pa

import syllabus
from syllabus.manifests import ManifestWriter, schema
from syllabus.pipeline.stages.commit.context import Buckets, CommitContext
from syllabus.pipeline.stages.commit.examples import write_examples
from syllabus.pipeline.stages.commit.hygiene import write_hygiene
from syllabus.pipeline.stages.commit.importances import write_importance
from syllabus.pipeline.stages.commit.preview import write_preview
from syllabus.pipeline.stages.commit.sketches import write_sketches
from syllabus.pipeline.stages.commit.subsets import write_subsets
from syllabus.pipeline.stages.regroup.buckets import by_partition


def commit(context: CommitContext) -> dict[str, Any]:
    """Write the manifest; return its document."""
    options, plan, census = context.options, context.plan, context.census
    buckets, total, n = context.buckets(), _sum(context), census.accepted
    with ManifestWriter(options.output, overwrite=options.overwrite) as writer:
        fingerprint = write_examples(context, writer)
        importances = {
            each.name: write_importance(context, writer, each, buckets) for each in options.importances
        }
        description = {
            "code_version": syllabus.__version__,
            "fingerprint": fingerprint.as_section(),
            "encoder": {**plan.identity.as_section(), "mean_cosine": _mean_cosine(total, n)},
            "options": options.recorded(),
            "counts": {
                "source_rows": plan.source_rows,
                "accepted": n,
                "rejected": census.rejected,
                "excluded": census.excluded,
                "reasons": census.reasons,
                **({} if census.truncated is None else {"truncated": census.truncated}),
                **({"conflicting_labels": census.conflicting} if census.conflicting else {}),
            },
            "partitions": _partitions(context, buckets),
            "subsets": write_subsets(context, writer, buckets),
            "importances": importances,
            "orders": _write_order(context, writer),
            **context.found.sections,
            **({"guide": context.guide.as_section()} if context.guide is not None else {}),
            **_weight(context),
            **_buckets(context),
            **write_sketches(context, writer, total / n),
            **write_preview(context, writer, buckets, total / n),
            **write_hygiene(context, writer),
        }
        return writer.commit(description)


def _sum(context: CommitContext) -> np.ndarray:
    """Σ of all embeddings, (d,) float64, added chunk by chunk."""
    found = [context.work.metadata("regroup", group.key) for group in context.groups]
    return np.sum([sums for each in found for sums in each["sums"]], axis=0)


def _mean_cosine(total: np.ndarray, n: int) -> float:
    """Mean cosine of two different examples: (‖Σx‖² − n) / (n(n − 1)) for unit rows."""
    return float((np.dot(total, total) - n) / (n * (n - 1))) if n > 1 else 1.0


def _weight(context: CommitContext) -> dict[str, Any]:
    """The section that says what budgets count, where it is not examples."""
    column = context.options.weight
    return {} if column is None else {"weight": {"column": column, "total": context.census.weight}}


def _buckets(context: CommitContext) -> dict[str, Any]:
    """The section on buckets that a worker's memory made smaller than was asked for."""
    limited = context.layout.limited
    if limited is None:
        return {}
    return {"buckets": {"examples": limited, "memory_per_worker": context.options.memory_per_worker}}


def _partitions(context: CommitContext, buckets: Buckets) -> list[dict[str, Any]]:
    sizes, weights = by_partition(buckets.rows), by_partition(buckets.units)
    weighted = context.options.weight is not None
    return [
        {
            "partition": number,
            "label": label,
            "examples": sizes[number],
            **({"weight": weights[number]} if weighted else {}),
        }
        for number, label in enumerate(context.layout.labels)
    ]


def _write_order(context: CommitContext, writer: ManifestWriter) -> dict[str, Any]:
    if context.options.order == "none":
        return {}
    key = context.ordering.full_key()
    table = writer.table(schema.order("herding"))
    first = 0
    for rows in context.work.pieces("order", key):
        columns = {"position": np.arange(first, first + rows.num_rows), "index": rows.column("index")}
        table.write(pa.table(columns, schema=schema.order("herding").schema))
        first += rows.num_rows
    found = context.work.metadata("order", key)
    if "interleaved" in found:
        found["memory_per_worker"] = context.options.memory_per_worker
    return {"herding": {"passes": context.options.passes, **found}}
