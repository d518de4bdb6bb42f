"""What must hold between the rows of a manifest, checked table by table in a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from syllabus.manifests import hygiene, schema
from syllabus.manifests.budgets import RULES, allocate
from syllabus.manifests.errors import ManifestError
from syllabus.manifests.identity import RepetitionCheck
from syllabus.manifests.reader import Manifest
from syllabus.manifests.schema import ROW_GROUP_ROWS
from syllabus.manifests.sorting import SortCheck

TOLERANCE = 1e-6  # of the sum of a partition's probabilities
DETAIL_CHARACTERS = 200

Indices = npt.NDArray[np.int64]


class Examples:
    """The accepted examples as far as other tables refer to them: index and partition of each."""

    def __init__(self, index: Indices, partition: npt.NDArray[np.int32]) -> None:
        self.index = index
        self.partition = partition

    def places(self, index: Indices) -> tuple[Indices, npt.NDArray[np.bool_]]:
        """Return the place of each index among the accepted ones, and whether it is one of them."""
        places = np.searchsorted(self.index, index)
        places[places == len(self.index)] = 0
        return places, self.index[places] == index


def problems(manifest: Manifest, damaged: set[str]) -> list[str]:
    """Return one line for each rule that the rows break, tables in `damaged` directories left out."""
    found: list[str] = []
    if "examples" in damaged:
        return found
    try:
        examples = _collect(manifest)
        found += [f"examples/: {line}" for line in _examples(manifest, examples)]
    except ManifestError as error:
        return [str(error)]
    if found:
        # The others refer to these rows.
        return found
    for directory, check in _checks(manifest):
        if directory in damaged:
            continue
        try:
            found += [f"{directory}/: {line}" for line in check(manifest, directory, examples)]
        except ManifestError as error:
            found.append(str(error))
    return found


def _checks(manifest: Manifest) -> Iterator[tuple[str, Callable[[Manifest, str, Examples], Iterator[str]]]]:
    yield "subsets", _subsets
    yield from ((f"importances/{name}", _importance) for name in manifest.importances)
    yield from ((f"orders/{name}", _order) for name in manifest.orders)
    if any(entry["path"].startswith("sketches/") for entry in manifest.description["files"]):
        yield "sketches", _sketches
    yield "rejects", _rejects


def _collect(manifest: Manifest) -> Examples:
    rows = manifest.table(schema.EXAMPLES, ["index", "partition"])
    return Examples(rows.column("index").to_numpy(), rows.column("partition").to_numpy())


def _examples(manifest: Manifest, examples: Examples) -> Iterator[str]:
    description = manifest.description
    index, sizes = examples.index, manifest.partition_sizes
    order = SortCheck(schema.EXAMPLES.sort_by)
    repetitions = RepetitionCheck()
    groups: list[pa.Array] = []
    for rows in manifest.batches(schema.EXAMPLES, ["index", "id", "duplicate_group"]):
        if problem := order.problem(rows):
            yield problem
            return
        repetitions.add(rows.column("id"))
        groups += rows.column("duplicate_group").chunks
        group = pc.greater(rows.column("duplicate_group"), rows.column("index"))
        if pc.any(group).as_py():
            row = int(np.flatnonzero(group.fill_null(False).to_numpy())[0])
            yield (
                f"index {rows.column('index')[row]} has duplicate_group "
                f"{rows.column('duplicate_group')[row]}, which must not be above it"
            )
    source_rows = description["counts"]["source_rows"]
    if index[0] < 0 or index[-1] >= source_rows:
        yield f"the indices run from {index[0]} to {index[-1]}, outside the {source_rows} source rows"
    if "neighbours" in description:
        yield from _groups(description["neighbours"], index, pa.chunked_array(groups))
    block_rows = description["fingerprint"]["block_rows"]
    blocks = 1 + int(np.count_nonzero(np.diff(index // block_rows)))
    if blocks != len(description["fingerprint"]["blocks"]):
        recorded = len(description["fingerprint"]["blocks"])
        yield f"the indices fall into {blocks} fingerprint blocks, manifest.json lists {recorded}"
    outside = _first((examples.partition < 0) | (examples.partition >= len(sizes)))
    if outside is not None:
        yield f"index {index[outside]} is in partition {examples.partition[outside]} of {len(sizes)}"
        return
    counts = np.bincount(examples.partition, minlength=len(sizes))
    wrong = _first(counts != sizes)
    if wrong is not None:
        yield f"partition {wrong} has {counts[wrong]} examples, manifest.json says {sizes[wrong]}"
    twice = repetitions.repeated(rows.column("id") for rows in manifest.batches(schema.EXAMPLES, ["id"]))
    if twice:
        yield f"{len(twice)} ids occur more than once ({', '.join(map(repr, twice[:3]))})"


def _groups(section: dict[str, Any], index: Indices, groups: pa.ChunkedArray) -> Iterator[str]:
    if groups.null_count:
        row = int(np.flatnonzero(groups.is_null())[0])
        yield f"index {index[row]} has no duplicate_group, and neighbours were searched"
    else:
        yield from hygiene.group_problems(section, index, groups.to_numpy())


def _subsets(manifest: Manifest, directory: str, examples: Examples) -> Iterator[str]:
    entries = manifest.description["subsets"]
    sizes = chain.from_iterable(repeat(entry["budget"], entry["count"]) for entry in entries)
    tables = manifest.parts(directory).cut(None, sizes)
    rule = manifest.description["options"].get("budgets")
    for entry in entries:
        share = None
        if isinstance(rule, str) and rule in RULES:
            share = allocate(entry["budget"], manifest.partition_sizes, rule)
        for number in range(entry["count"]):
            columns = {name: column.to_numpy() for name, column in _columns(next(tables))}
            for line in _subset(columns, entry, number, share, examples):
                yield f"subset {number} of fraction {entry['fraction']}: {line}"


def _subset(
    columns: dict[str, Any], entry: dict[str, Any], number: int, share: Indices | None, examples: Examples
) -> Iterator[str]:
    size = entry["budget"]
    expected: dict[str, Any] = {
        "fraction": np.float64(entry["fraction"]),
        "budget": np.int64(size),
        "subset": np.int64(number),
        "position": np.arange(size),
    }
    for name, right in expected.items():
        row = _first(columns[name] != right)
        if row is not None:
            yield f"row {row} has {name} {columns[name][row]}, expected {np.broadcast_to(right, size)[row]}"
            return
    places, inside = examples.places(columns["index"])
    yield from _membership(columns, places, inside, examples)
    if not inside.all():
        return
    again = np.sort(columns["index"])
    again = again[1:][again[1:] == again[:-1]]
    if again.size:
        yield f"index {again[0]} occurs more than once"
    row = _first(~np.isfinite(columns["gain"]))
    if row is not None:
        yield f"index {columns['index'][row]} has gain {columns['gain'][row]}"
    # The ranks of each partition, sorted, count from 0.
    rows = np.lexsort((columns["rank"], columns["partition"]))
    partition, rank = columns["partition"][rows], columns["rank"][rows]
    first = np.searchsorted(partition, partition)
    row = _first(rank != np.arange(size) - first)
    if row is not None:
        yield f"the ranks of partition {partition[row]} are not 0, 1, … each once"
    if share is not None and not np.array_equal(held := np.bincount(partition, minlength=len(share)), share):
        wrong = int((held != share).argmax())
        yield f"partition {wrong} has {held[wrong]} examples, its budget is {share[wrong]}"


def _importance(manifest: Manifest, directory: str, examples: Examples) -> Iterator[str]:
    sizes = manifest.partition_sizes
    stops = np.cumsum(sizes)
    sums = np.zeros(len(sizes))
    seen = np.zeros(manifest.n, np.bool_)
    start = 0
    for rows in manifest.batches(directory, None, ROW_GROUP_ROWS):
        columns = {name: column.to_numpy() for name, column in _columns(rows)}
        number = np.arange(start, start + rows.num_rows)
        partition = np.searchsorted(stops, number, side="right")
        rank = number - (stops - sizes)[partition]
        row = _first((columns["partition"] != partition) | (columns["rank"] != rank))
        if row is not None:
            got = f"({columns['partition'][row]}, {columns['rank'][row]})"
            yield f"row {number[row]} has (partition, rank) {got}, expected ({partition[row]}, {rank[row]})"
            return
        places, inside = examples.places(columns["index"])
        wrong = list(_membership(columns, places, inside, examples))
        if wrong:
            yield from wrong
            return
        seen[places] = True
        for name in ("gain", "score", "probability"):
            row = _first(~np.isfinite(columns[name]) | ((columns[name] < 0) & (name == "probability")))
            if row is not None:
                yield f"index {columns['index'][row]} has {name} {columns[name][row]}"
                return
        sums += np.bincount(partition, columns["probability"], minlength=len(sizes))
        start += rows.num_rows
    yield from _complete(seen, examples)
    row = _first((np.abs(sums - 1) > TOLERANCE) & (sizes > 0))
    if row is not None:
        yield f"the probabilities of partition {row} sum to {sums[row]:.9g}, not to 1"


def _order(manifest: Manifest, directory: str, examples: Examples) -> Iterator[str]:
    seen = np.zeros(manifest.n, np.bool_)
    start = 0
    for rows in manifest.batches(directory, ["position", "index"]):
        columns = {name: column.to_numpy() for name, column in _columns(rows)}
        row = _first(columns["position"] != np.arange(start, start + rows.num_rows))
        if row is not None:
            yield f"row {start + row} has position {columns['position'][row]}, expected {start + row}"
            return
        places, inside = examples.places(columns["index"])
        row = _first(~inside)
        if row is not None:
            yield f"position {start + row} has index {columns['index'][row]}, which is no accepted example"
            return
        seen[places] = True
        start += rows.num_rows
    yield from _complete(seen, examples)


def _sketches(manifest: Manifest, directory: str, examples: Examples) -> Iterator[str]:
    start = 0
    for rows in manifest.batches(directory, ["index"]):
        index = rows.column("index").to_numpy()
        row = _first(index != examples.index[start : start + len(index)])
        if row is not None:
            row += start
            yield f"row {row} has index {index[row - start]}, the examples have {examples.index[row]} there"
            return
        start += len(index)


def _rejects(manifest: Manifest, directory: str, examples: Examples) -> Iterator[str]:  # noqa: ARG001
    reasons: dict[str, int] = {}
    for rows in manifest.batches(directory, ["reason", "detail"]):
        for entry in rows.column("reason").value_counts().to_pylist():
            reasons[entry["values"]] = reasons.get(entry["values"], 0) + entry["counts"]
        longest = pc.max(pc.utf8_length(rows.column("detail"))).as_py()
        if longest > DETAIL_CHARACTERS:
            yield f"a detail has {longest} characters, above {DETAIL_CHARACTERS}"
    recorded = {reason: count for reason, count in manifest.description["counts"]["reasons"].items() if count}
    if reasons != recorded:
        yield f"the reasons are {reasons}, manifest.json says {recorded}"


def _membership(
    columns: dict[str, Any], places: Indices, inside: npt.NDArray[np.bool_], examples: Examples
) -> Iterator[str]:
    """Yield a line if an index is no accepted example, or has another partition than there."""
    row = _first(~inside)
    if row is not None:
        yield f"index {columns['index'][row]} is no accepted example"
        return
    row = _first(examples.partition[places] != columns["partition"])
    if row is not None:
        yield (
            f"index {columns['index'][row]} has partition {columns['partition'][row]}, "
            f"the examples say {examples.partition[places[row]]}"
        )


def _complete(seen: npt.NDArray[np.bool_], examples: Examples) -> Iterator[str]:
    """Yield a line unless every example was seen: of n rows that are all examples, some then came twice."""
    missing = np.flatnonzero(~seen)
    if missing.size:
        yield (
            f"is no permutation of the examples: {missing.size} do not occur, such as index "
            f"{examples.index[missing[0]]}, others more than once"
        )


def _columns(rows: Any) -> Iterator[tuple[str, Any]]:
    return zip(rows.column_names, rows.columns, strict=True)


def _first(mask: npt.NDArray[np.bool_]) -> int | None:
    """Return the first place where `mask` holds, None if nowhere."""
    place = int(mask.argmax()) if mask.size else 0
    return place if mask.size and mask[place] else None
