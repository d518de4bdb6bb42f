"""The commit: from the work directory's shards to a manifest, as a stream, in the submitting process."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

import syllabus
from syllabus.manifests import Fingerprint, ManifestWriter, budget, schema
from syllabus.pipeline.options import Options
from syllabus.pipeline.stages.census import Census, UnitRows, read_rows
from syllabus.pipeline.stages.commit.importances import check_importances, write_importance
from syllabus.pipeline.stages.commit.sketches import write_sketches
from syllabus.pipeline.stages.guide import Guide
from syllabus.pipeline.stages.neighbours.agreement import agreement
from syllabus.pipeline.stages.neighbours.findings import Findings, findings
from syllabus.pipeline.stages.neighbours.holdout import Holdout
from syllabus.pipeline.stages.neighbours.stage import Search
from syllabus.pipeline.stages.order.stage import Ordering
from syllabus.pipeline.stages.plan import Plan
from syllabus.pipeline.stages.regroup.buckets import Bucket, Group, read_partitions, references
from syllabus.pipeline.stages.regroup.stage import Layout
from syllabus.pipeline.stages.select.quality import subset_quality
from syllabus.pipeline.stages.select.subsets import partition_budgets
from syllabus.pipeline.work_directory import Work

PIECE = 131_072


@dataclass(frozen=True)
class Buckets:
    """What the buckets hold, ascending."""

    rows: dict[Bucket, int]
    units: dict[Bucket, int]
    """What budgets count: the rows, or what they weigh."""

    def by_partition(self, held: dict[Bucket, int]) -> Counter[int]:
        """Return the sums of `rows` or `units` over the buckets of each partition."""
        sums: Counter[int] = Counter()
        for (partition, _), count in held.items():
            sums[partition] += count
        return sums


@dataclass(frozen=True)
class Made:
    """Everything that the stages have made."""

    options: Options
    plan: Plan
    census: Census
    layout: Layout
    groups: list[Group]
    ordering: Ordering
    work: Work
    search: Search | None
    holdout: Holdout | None
    guide: Guide | None

    def buckets(self) -> Buckets:
        """Return what each bucket holds that has any rows."""
        rows: Counter[Bucket] = Counter()
        units: Counter[Bucket] = Counter()
        for group in self.groups:
            for bucket, reference in references(self.work, group.key):
                rows[bucket] += reference.rows
                units[bucket] += reference.units
        return Buckets(dict(sorted(rows.items())), dict(sorted(units.items())))


def commit(made: Made) -> dict[str, Any]:
    """Write the manifest; return its document."""
    buckets, total, n = made.buckets(), _sum(made), made.census.accepted
    check_importances(made, buckets)
    found = _findings(made)
    with ManifestWriter(made.options.output, overwrite=made.options.overwrite) as writer:
        fingerprint = _write_examples(made, found, writer)
        importances = {
            each.name: write_importance(made, writer, each, buckets) for each in made.options.importances
        }
        description = {
            "code_version": syllabus.__version__,
            "fingerprint": fingerprint.as_section(),
            "encoder": {
                **made.plan.identity.described(),
                "mean_cosine": _mean_cosine(total, n),
            },
            "options": made.options.recorded(),
            "counts": {
                "source_rows": made.plan.source_rows,
                "accepted": n,
                "rejected": made.census.rejected,
                "excluded": made.census.excluded,
                "reasons": made.census.reasons,
            },
            "partitions": _partitions(made, buckets),
            "subsets": _write_subsets(made, writer, buckets),
            "importances": importances,
            "orders": _write_order(made, writer),
            **found.sections,
            **({"guide": made.guide.described()} if made.guide is not None else {}),
            **_weight(made),
            **write_sketches(made, writer, total / n),
        }
        return writer.commit(description)


def _findings(made: Made) -> Findings:
    """What the neighbours say; it needs the index and label of every example at once, 12 bytes each."""
    if made.search is None and made.holdout is None:
        return Findings(None, None, {})
    parts = [read_partitions(made.work, group) for group in made.groups]
    index, partitions = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    cut = made.census.cut
    if cut is None:
        return findings(made.search, made.holdout, index, None, "class")

    def agreeing(search: Search) -> np.ndarray:
        return agreement(search, made.plan, made.census, made.work, partitions)

    return findings(made.search, made.holdout, index, agreeing, cut.kind)


def _write_examples(made: Made, found: Findings, writer: ManifestWriter) -> Fingerprint:
    """Examples and rejects, group by group: ids and labels from the rows, partitions from regroup."""
    fingerprint = Fingerprint()
    described = schema.examples(weighted=made.options.weight is not None)
    examples, rejects = writer.table(described), writer.table(schema.REJECTS)
    duplicates = np.array(made.census.duplicates, np.int64)
    position = 0
    for group in made.groups:
        index, partitions = read_partitions(made.work, group)
        first = 0
        for planned in group.units:
            rows = read_rows(made.plan.columns, made.work, planned, duplicates)
            accepted = rows.accepted
            kept = pa.array(accepted)
            stop = first + int(accepted.sum())
            ids, labels = rows.ids.filter(kept), rows.labels.texts.filter(kept)
            given = labels if made.options.label is not None else None
            fingerprint.update(index[first:stop], ids, given, rows.content.filter(kept))
            columns = {
                "index": index[first:stop],
                "id": ids,
                "label": labels,
                "partition": partitions[first:stop],
            }
            columns |= found.columns(position, position + stop - first)
            columns |= {} if rows.weights is None else {"weight": rows.weights[accepted]}
            examples.write(_examples(rows, accepted, columns, described.schema))
            position += stop - first
            if any(rows.reasons):
                rejects.write(_rejects(rows))
            first = stop
    return fingerprint


def _examples(rows: UnitRows, accepted: np.ndarray, columns: dict[str, Any], kinds: pa.Schema) -> pa.Table:
    unit = rows.planned.unit
    places = {
        "source_file": pa.array(unit.source_files()).filter(pa.array(accepted)),
        "source_row": unit.source_rows()[accepted],
    }
    every = {**columns, **places}
    return pa.table({name: every[name] for name in kinds.names}, schema=kinds)


def _rejects(rows: UnitRows) -> pa.Table:
    unit = rows.planned.unit
    files, numbers = unit.source_files(), unit.source_rows()
    bad = [row for row, reason in enumerate(rows.reasons) if reason is not None]
    columns = {
        "source_file": [files[row] for row in bad],
        "source_row": numbers[bad],
        "reason": [rows.reasons[row] for row in bad],
        "detail": [rows.details[row] or "" for row in bad],
    }
    return pa.table(columns, schema=schema.REJECTS.schema)


def _sum(made: Made) -> np.ndarray:
    """Σ of all embeddings, (d,) float64, added unit by unit."""
    notes = [made.work.note("regroup", group.key) for group in made.groups]
    return np.sum([sums for note in notes for sums in note["sums"]], axis=0)


def _mean_cosine(total: np.ndarray, n: int) -> float:
    """Mean cosine of two different examples: (‖Σx‖² − n) / (n(n − 1)) for unit rows."""
    return float((np.dot(total, total) - n) / (n * (n - 1))) if n > 1 else 1.0


def _weight(made: Made) -> dict[str, Any]:
    """The section that says what budgets count, where it is not examples."""
    weighted = made.options.weight is not None
    return {"weight": {"column": made.options.weight, "total": made.census.weight}} if weighted else {}


def _partitions(made: Made, buckets: Buckets) -> list[dict[str, Any]]:
    sizes, weights = buckets.by_partition(buckets.rows), buckets.by_partition(buckets.units)
    weighted = made.options.weight is not None
    return [
        {
            "partition": number,
            "label": label,
            "examples": sizes[number],
            **({"weight": weights[number]} if weighted else {}),
        }
        for number, label in enumerate(made.layout.labels)
    ]


def _write_subsets(made: Made, writer: ManifestWriter, buckets: Buckets) -> list[dict[str, Any]]:
    options = made.options
    table = writer.table(schema.SUBSETS)
    described = []
    for number, fraction in enumerate(options.fraction if options.subset_count else ()):
        wanted = budget(fraction, made.census.units_of_budgets)
        chosen: list[np.ndarray] = []
        weights: list[int] = []
        taken: set[int] = set()
        for subset in range(options.subset_count):
            rows = made.work.read("order", made.ordering.subset_key(number, subset))
            index = rows.column("index").to_numpy()
            chosen.append(np.sort(index))
            count = len(index)
            if options.weight is not None:
                weights.append(sum(rows.column("weight").to_pylist()))
                taken.update(rows.column("partition").to_pylist())
            columns = {
                "fraction": np.full(count, fraction),
                "budget": np.full(count, wanted, np.int64),
                "subset": np.full(count, subset, np.int32),
                **{name: rows.column(name) for name in ("partition", "rank", "index", "gain")},
                "position": np.arange(count, dtype=np.int32),
            }
            table.write(pa.table(columns, schema=schema.SUBSETS.schema))
        notes = [
            made.work.note("subsets", made.ordering.selecting.subsets_key(bucket)) for bucket in buckets.rows
        ]
        shares = partition_budgets(buckets.units, fraction, options.budgets)
        found = [note[str(number)] for note in notes if str(number) in note]
        described.append(
            {
                "fraction": fraction,
                "budget": wanted,
                "count": options.subset_count,
                "objective": options.objective,
                **subset_quality(found, chosen, made.census.accepted),
                "partitions": _padded(shares, made.layout),
                **(_costs(chosen, weights, buckets, taken) if weights else {}),
                **({"interleaved": True} if made.ordering.apart(max(map(len, chosen))) else {}),
            }
        )
    return described


def _costs(chosen: list[np.ndarray], weights: list[int], buckets: Buckets, taken: set[int]) -> dict[str, Any]:
    """What subsets have and weigh, and the partitions whose every example is too heavy for their share."""
    empty = [number for number in buckets.by_partition(buckets.rows) if number not in taken]
    return {"rows": [len(index) for index in chosen], "weights": weights, "empty_partitions": empty}


def _padded(budgets: np.ndarray, layout: Layout) -> list[int]:
    """The budgets of all partitions: the last clusters may have no rows."""
    return [*budgets.tolist(), *[0] * (len(layout.buckets) - len(budgets))]


def _write_order(made: Made, writer: ManifestWriter) -> dict[str, Any]:
    if made.options.order == "none":
        return {}
    key = made.ordering.full_key()
    table = writer.table(schema.order("herding"))
    index = made.work.read("order", key).column("index").to_numpy()
    for first in range(0, len(index), PIECE):
        piece = index[first : first + PIECE]
        position = np.arange(first, first + len(piece))
        table.write(pa.table({"position": position, "index": piece}, schema=schema.order("herding").schema))
    return {"herding": {"passes": made.options.passes, **made.work.note("order", key)}}
