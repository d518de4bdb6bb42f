"""The census: which rows are accepted, and how many examples each label has.

It needs every row's label and id, not their vectors, and runs in the submitting process: 8 bytes a row
are held where there is an id column, none otherwise.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syllabus.manifests import budget
from syllabus.manifests.format import LARGEST_TOTAL
from syllabus.manifests.ids import RepetitionCheck
from syllabus.pipeline.errors import JobError, UserError
from syllabus.pipeline.options import Options
from syllabus.pipeline.sources import Columns
from syllabus.pipeline.sources.records import DETAIL_LENGTH
from syllabus.pipeline.stages.partitions import Cut, RowLabels, cut_bins, cut_classes
from syllabus.pipeline.stages.plan import Plan, PlannedUnit, check_label_count
from syllabus.pipeline.stages.select.sample_sizes import partition_name
from syllabus.pipeline.work_directory import Work, key_of

SHOWN_REASONS = 8


@dataclass(frozen=True)
class Census:
    """The accepted rows in numbers; JSON in the work directory."""

    accepted: int
    rejected: int
    reasons: dict[str, int]
    excluded: int
    """Rows that the filter does not let through: neither accepted nor rejected."""
    cut: Cut | None
    """The partitions by label; None without a label column."""
    duplicates: list[int]
    """Indices whose id another accepted row of smaller index carries."""
    units: list[int]
    """Accepted rows of each unit."""
    places: str
    """Digest of which rows of which units are accepted."""
    weight: int | None = None
    """What the accepted rows weigh together; None where budgets count examples."""

    @property
    def units_of_budgets(self) -> int:
        """What a fraction is a share of."""
        return self.accepted if self.weight is None else self.weight

    def partitions(self) -> list[tuple[str, int]]:
        """Return the name and the accepted rows of each partition that is known: none before k-means."""
        if self.cut is None:
            return []
        names = (partition_name(number, label) for number, label in enumerate(self.cut.labels))
        return list(zip(names, self.cut.sizes, strict=True))


@dataclass(frozen=True)
class UnitRows:
    """Ids, labels, weights and rejects of one unit."""

    planned: PlannedUnit
    ids: pa.Array
    labels: RowLabels
    content: pa.Array
    reasons: list[str | None]
    details: list[str | None]
    excluded: np.ndarray
    """(rows,) mask of what the filter does not let through; it has no reason to be rejected."""
    weights: np.ndarray | None
    """(rows,) int64, 0 where there is none; None where budgets count examples."""

    @property
    def index(self) -> np.ndarray:
        """The (rows,) int64 indices of the unit's rows."""
        first = self.planned.first_index
        return np.arange(first, first + self.planned.unit.rows, dtype=np.int64)

    @property
    def accepted(self) -> np.ndarray:
        """The (rows,) mask of the rows that nothing speaks against."""
        return np.array([reason is None for reason in self.reasons]) & ~self.excluded


def read_rows(columns: Columns, work: Work, planned: PlannedUnit, duplicates: np.ndarray) -> UnitRows:
    """Return a unit's rows with every reason for a reject, in the order of their weight."""
    rows = work.read("rows", planned.rows_key)
    made = work.read("embed", planned.embed_key, ["content", "reason", "detail"])
    reasons, details = made.column("reason").to_pylist(), made.column("detail").to_pylist()
    held = {name: rows.column(name).combine_chunks() for name in rows.column_names}
    ids, labels = held["id"], RowLabels(held["label"], held["number"], held["list"])
    excluded = held["excluded"].to_numpy(zero_copy_only=False)
    found = [(rows.column("reason").to_pylist(), rows.column("detail").to_pylist())]
    for name, values in (("id", ids), ("label", labels.texts), ("weight", held.get("weight"))):
        column = getattr(columns, name)
        if column is not None and values.null_count:
            missing = [f"missing {name}" if null else None for null in values.is_null().to_pylist()]
            found.append((missing, [f"column {column} is null"[:DETAIL_LENGTH]] * len(missing)))
    for more_reasons, more_details in found:
        for row, reason in enumerate(more_reasons):
            if reason is not None and reasons[row] is None:
                reasons[row], details[row] = reason, more_details[row]
    for row in np.flatnonzero(excluded):
        reasons[row] = details[row] = None
    first = planned.first_index
    begin, end = np.searchsorted(duplicates, [first, first + planned.unit.rows])
    for index in duplicates[begin:end]:
        row = int(index) - first
        reasons[row], details[row] = "duplicate id", f"{ids[row].as_py()!r:.150} is taken by an earlier row"
    if columns.id is None:
        ids = pc.cast(pa.array(np.arange(first, first + planned.unit.rows)), pa.string())
    content = made.column("content").combine_chunks()
    weights = held["weight"].fill_null(0).to_numpy() if "weight" in held else None
    return UnitRows(planned, ids, labels, content, reasons, details, excluded, weights)


def all_rows(plan: Plan, work: Work, duplicates: np.ndarray) -> Iterator[UnitRows]:
    """Yield the rows of all units in canonical order."""
    for planned in plan.units:
        yield read_rows(plan.columns, work, planned, duplicates)


def take_census(plan: Plan, bins: int | None, work: Work) -> Census:
    """Return the census of the plan's rows, from the work directory where it has been taken before."""
    columns = plan.columns
    key = key_of("census", plan=plan.digest, label=columns.label, id=columns.id, bins=bins)
    if work.has("census", key, ".json"):
        return _from_json(work.read_json("census", key))
    duplicates = _duplicate_ids(plan, work) if columns.id is not None else np.zeros(0, np.int64)
    reasons: Counter[str] = Counter()
    excluded = 0
    units: list[int] = []
    places = hashlib.sha256()
    weight = 0 if columns.weight is not None else None
    for rows in all_rows(plan, work, duplicates):
        units.append(int(rows.accepted.sum()))
        places.update(np.packbits(rows.accepted).tobytes() + rows.planned.unit.rows.to_bytes(8, "little"))
        reasons.update(reason for reason in rows.reasons if reason is not None)
        excluded += int(rows.excluded.sum())
        if weight is not None and rows.weights is not None:
            weight += sum(rows.weights[rows.accepted].tolist())
    rejected = reasons.total()
    accepted = plan.source_rows - rejected - excluded
    census = Census(
        accepted,
        rejected,
        dict(sorted(reasons.items())),
        excluded,
        _cut(plan, bins, work, duplicates) if columns.label is not None and accepted else None,
        duplicates.tolist(),
        units,
        places.hexdigest(),
        weight,
    )
    # Left out where there is none, so that the same key has the same bytes as ever.
    kept = {name: value for name, value in asdict(census).items() if (name, value) != ("weight", None)}
    work.write_json("census", key, kept)
    return census


def _cut(plan: Plan, bins: int | None, work: Work, duplicates: np.ndarray) -> Cut:
    def accepted_labels() -> Iterator[RowLabels]:
        for rows in all_rows(plan, work, duplicates):
            yield rows.labels.filter(pa.array(rows.accepted))

    if bins is None:
        return cut_classes(accepted_labels)
    return cut_bins(np.concatenate([labels.numbers.to_numpy() for labels in accepted_labels()]), bins)


def _from_json(value: dict[str, Any]) -> Census:
    cut = value.pop("cut")
    return Census(**value, cut=cut and Cut(**{k: v if k == "kind" else tuple(v) for k, v in cut.items()}))


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
            f" {_first_reject(plan, Work(options.work), census)}"
        )
    if census.weight is not None and census.weight > LARGEST_TOTAL:
        raise UserError(f"weight={options.weight!r}: the weights sum to {census.weight:,}, above 2^53")
    check_fractions(options, census.units_of_budgets)
    if census.cut is not None and census.cut.kind != "number":
        check_label_count(options, len(census.cut.labels), census.accepted)


def check_fractions(options: Options, total: int) -> None:
    """Refuse fractions of `total` examples, or units of weight, that are none, or as many as of another."""
    unit = "examples" if options.weight is None else options.weight
    budgets = [budget(fraction, total) for fraction in options.fraction]
    for number, (fraction, k) in enumerate(zip(options.fraction, budgets, strict=True)):
        if k == 0:
            raise UserError(f"fraction={fraction:g}: of {total:,} {unit} is less than one")
        if k in budgets[:number]:
            other = options.fraction[budgets.index(k)]
            raise UserError(f"fraction={fraction:g}: of {total:,} {unit} is {k:,}, and so is {other:g}")


def _first_reject(plan: Plan, work: Work, census: Census) -> str:
    for rows in all_rows(plan, work, np.array(census.duplicates, np.int64)):
        for row, reason in enumerate(rows.reasons):
            if reason is not None:
                file, number = rows.planned.unit.source_files()[row], rows.planned.unit.source_rows()[row]
                return f"the first is {file} row {number}: {reason} {rows.details[row] or ''}".rstrip()
    return ""


def _duplicate_ids(plan: Plan, work: Work) -> np.ndarray:
    """Return the ascending indices of all but the first accepted row of each id."""

    def accepted() -> Iterator[tuple[np.ndarray, pa.ChunkedArray]]:
        for rows in all_rows(plan, work, np.zeros(0, np.int64)):
            ids = rows.ids.filter(pa.array(rows.accepted))
            yield rows.index[rows.accepted], pa.chunked_array([ids])

    repetitions = RepetitionCheck()
    for _, ids in accepted():
        repetitions.add(ids)
    return repetitions.repeated_rows(accepted())
