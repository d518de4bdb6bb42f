"""The census: the accepted rows, counted by reject reason, chunk and partition.

It needs every row's label, id and the digest of its content, not their vectors, and runs in the submitting
process: by turns 8 bytes a row are held of ids, of contents where there are labels, and of numbers.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from syllabus.manifests import budget
from syllabus.manifests.format import LARGEST_TOTAL
from syllabus.manifests.ids import RepetitionCheck
from syllabus.pipeline.errors import JobError, UserError
from syllabus.pipeline.options import Options
from syllabus.pipeline.runtime.progress import advance
from syllabus.pipeline.stages.conflicts import ConflictingLabels
from syllabus.pipeline.stages.partitions import Partitioning, RowLabels, by_class, by_quantile, partition_name
from syllabus.pipeline.stages.plan import Plan, check_label_count
from syllabus.pipeline.stages.rows import AcceptedRows
from syllabus.pipeline.work_directory import WorkDirectory, key_of

SHOWN_REASONS = 8


@dataclass(frozen=True)
class Census:
    """The accepted rows in numbers; JSON in the work directory."""

    accepted: int
    rejected: int
    reasons: dict[str, int]
    excluded: int
    """Rows that the filter does not let through: neither accepted nor rejected."""
    partitioning: Partitioning | None
    """The partitions by label; None without a label column."""
    duplicates: list[int]
    """Indices whose id another accepted row of smaller index carries."""
    chunks: list[int]
    """Accepted rows of each chunk."""
    places: str
    """Digest of which rows of which chunks are accepted."""
    weight: int | None = None
    """Total weight of the accepted rows; None where budgets count examples."""
    conflicting: int = 0
    """Accepted rows whose content is also there under another label."""
    truncated: int | None = None
    """Accepted rows whose text the encoder cut; None where it does not say."""

    @property
    def units_of_budgets(self) -> int:
        """The total that a fraction is a share of: examples, or what they weigh."""
        return self.accepted if self.weight is None else self.weight

    def rows(self, plan: Plan, work: WorkDirectory) -> AcceptedRows:
        """Return the plan's rows, to be read by any worker."""
        return AcceptedRows(plan.columns, plan.chunks, np.array(self.duplicates, np.int64), work)

    def partitions(self) -> list[tuple[str, int]]:
        """Return the name and the accepted rows of each partition that is known: none before k-means."""
        if self.partitioning is None:
            return []
        names = (partition_name(number, label) for number, label in enumerate(self.partitioning.labels))
        return list(zip(names, self.partitioning.sizes, strict=True))


_IN_FILE = {"partitioning": "cut", "chunks": "units"}
"""Fields that go by another name in the work directory."""


def take_census(plan: Plan, bins: int | None, work: WorkDirectory) -> Census:
    """Return the census of the plan's rows, from the work directory where it has been taken before."""
    columns = plan.columns
    key = key_of("census", plan=plan.digest, label=columns.label, id=columns.id, bins=bins)
    if work.has("census", key, ".json"):
        return _from_json(work.read_json("census", key))
    none = AcceptedRows(columns, plan.chunks, np.zeros(0, np.int64), work)
    accepted = none if columns.id is None else replace(none, duplicates=_duplicate_ids(none))
    reasons: Counter[str] = Counter()
    excluded = 0
    chunks: list[int] = []
    places = hashlib.sha256()
    weight = 0 if columns.weight is not None else None
    truncated = None
    conflicts = None if columns.label is None else ConflictingLabels(plan.source_rows)
    for rows in accepted.all():
        chunks.append(int(rows.accepted.sum()))
        advance("census", rows.planned.chunk.rows)
        places.update(np.packbits(rows.accepted).tobytes() + rows.planned.chunk.rows.to_bytes(8, "little"))
        reasons.update(reason for reason in rows.reasons if reason is not None)
        excluded += int(rows.excluded.sum())
        if conflicts is not None:
            conflicts.add(rows.accepted_content)
        if weight is not None and rows.weights is not None:
            weight += sum(rows.weights[rows.accepted].tolist())
        if rows.truncated is not None:
            truncated = (truncated or 0) + int(rows.truncated[rows.accepted].sum())
    again = ((rows.accepted_content, rows.accepted_labels.texts) for rows in accepted.all())
    conflicting = 0 if conflicts is None else conflicts.count(again)
    del conflicts
    census = Census(
        sum(chunks),
        reasons.total(),
        dict(sorted(reasons.items())),
        excluded,
        _partitioning(accepted, bins, sum(chunks)) if columns.label is not None and any(chunks) else None,
        accepted.duplicates.tolist(),
        chunks,
        places.hexdigest(),
        weight,
        conflicting,
        truncated,
    )
    # Left out where there is none.
    kept = {
        name: value
        for name, value in asdict(census).items()
        if value is not None or name not in ("weight", "truncated")
    }
    work.write_json("census", key, {_IN_FILE.get(name, name): value for name, value in kept.items()})
    return census


def _partitioning(accepted: AcceptedRows, bins: int | None, count: int) -> Partitioning:
    def labels() -> Iterator[RowLabels]:
        return (rows.accepted_labels for rows in accepted.all())

    if bins is None:
        return by_class(labels)
    numbers, first = np.empty(count), 0
    for each in labels():
        numbers[first : first + len(each.numbers)] = each.numbers.to_numpy()
        first += len(each.numbers)
    numbers.sort()
    return by_quantile(numbers, bins)


def _from_json(value: dict[str, Any]) -> Census:
    fields = {name: value.get(_IN_FILE.get(name, name)) for name in Census.__dataclass_fields__}
    if fields["partitioning"] is not None:
        held = {name: v if name == "kind" else tuple(v) for name, v in fields["partitioning"].items()}
        fields["partitioning"] = Partitioning(**held)
    return Census(**fields)


def check_census(census: Census, options: Options, plan: Plan) -> None:
    """Stop the job where too many rows are bad, or where the label is no class."""
    looked_at = plan.source_rows - census.excluded
    if not looked_at:
        raise UserError(
            f"where={' and '.join(options.where)}: holds for none of {plan.source_rows:,} source rows"
        )
    rate = census.rejected / looked_at
    if rate > options.max_reject_rate or census.accepted == 0:
        most = sorted(census.reasons.items(), key=lambda item: -item[1])[:SHOWN_REASONS]
        raise JobError(
            f"{census.rejected:,} of {looked_at:,} rows are bad ({rate:.2%}; max_reject_rate is"
            f" {options.max_reject_rate:.2%}): {', '.join(f'{reason} {count:,}' for reason, count in most)};"
            f" {_first_reject(census.rows(plan, WorkDirectory(options.work)))}. Mend them, leave them out by"
            " --where, or raise --max-reject-rate"
        )
    if census.weight is not None and census.weight > LARGEST_TOTAL:
        raise UserError(f"weight={options.weight!r}: the weights sum to {census.weight:,}, above 2^53")
    check_fractions(options, census.units_of_budgets)
    if census.partitioning is not None and census.partitioning.kind != "number":
        check_label_count(options, len(census.partitioning.labels), census.accepted)


def check_fractions(options: Options, total: int) -> None:
    """Refuse fractions of `total` examples, or units of weight, that are none, or as many as of another."""
    unit = "examples" if options.weight is None else options.weight
    budgets = [budget(fraction, total) for fraction in options.fraction]
    for number, (fraction, k) in enumerate(zip(options.fraction, budgets, strict=True)):
        if k == 0:
            raise UserError(f"fraction={fraction:g} of {total:,} {unit} is less than one")
        if k in budgets[:number]:
            other = options.fraction[budgets.index(k)]
            raise UserError(f"fraction={fraction:g} of {total:,} {unit} is {k:,}, and so is {other:g}")


def _first_reject(rejecting: AcceptedRows) -> str:
    for rows in rejecting.all():
        for row, reason in enumerate(rows.reasons):
            if reason is not None:
                file, number = rows.planned.chunk.source_files()[row], rows.planned.chunk.source_rows()[row]
                return f"the first is {file} row {number}: {reason} {rows.details[row] or ''}".rstrip()
    return ""


def _duplicate_ids(accepted: AcceptedRows) -> np.ndarray:
    """Return the ascending indices of all but the first accepted row of each id."""
    repetitions = RepetitionCheck()
    for rows in accepted.all():
        repetitions.add(pa.chunked_array([rows.accepted_ids]))
    again = ((rows.index, pa.chunked_array([rows.accepted_ids])) for rows in accepted.all())
    return repetitions.repeated_rows(again)
