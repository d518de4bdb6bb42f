"""Checks of the rows of a manifest against each other and its document, table by table in a stream."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from syllabus.manifests.errors import ManifestError
from syllabus.manifests.format import schema
from syllabus.manifests.format.schema import ROW_GROUP_ROWS
from syllabus.manifests.format.sorting import SortCheck
from syllabus.manifests.ids import RepetitionCheck
from syllabus.manifests.reading.manifest import Manifest
from syllabus.manifests.validation import preview
from syllabus.manifests.validation import subsets as subset_contents
from syllabus.manifests.validation.examples import Examples, Indices, arrays, first, membership

TOLERANCE = 1e-6  # of the sum of a partition's probabilities
DETAIL_CHARACTERS = 200


def problems(manifest: Manifest, damaged: set[str]) -> list[str]:
    """Return one line for each rule that the rows break, tables in `damaged` directories left out."""
    found: list[str] = []
    if "examples" in damaged:
        return found
    try:
        examples = Examples.of(manifest)
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
    yield "subsets", subset_contents.problems
    yield from ((f"importances/{name}", _importance) for name in manifest.importances)
    yield from ((f"orders/{name}", _order) for name in manifest.orders)
    if any(entry["path"].startswith("sketches/") for entry in manifest.description["files"]):
        yield "sketches", _sketches
    if "preview" in manifest.description:
        yield "preview", preview.preview
        yield "density", preview.density
    lists = (f"hygiene/{name}" for name in manifest.description.get("hygiene", {}))
    yield from ((directory, preview.hygiene) for directory in lists if directory in schema.FIXED)
    yield "rejects", _rejects


def _examples(manifest: Manifest, examples: Examples) -> Iterator[str]:
    index, sizes = examples.index, manifest.partition_sizes
    order = SortCheck(schema.EXAMPLES.sort_by)
    repetitions = RepetitionCheck()
    groups: list[pa.Array] = []
    covers: list[pa.Array] = []
    covered = schema.covered(manifest.description)
    names = ["index", "id", "duplicate_group", *(["duplicate_of"] if covered else [])]
    for rows in manifest.batches(schema.EXAMPLES, names):
        if problem := order.problem(rows):
            yield problem
            return
        repetitions.add(rows.column("id"))
        groups += rows.column("duplicate_group").chunks
        covers += rows.column("duplicate_of").chunks if covered else []
        group = pc.greater(rows.column("duplicate_group"), rows.column("index"))
        if pc.any(group).as_py():
            row = int(np.flatnonzero(group.fill_null(False).to_numpy())[0])
            yield (
                f"index {rows.column('index')[row]} has duplicate_group "
                f"{rows.column('duplicate_group')[row]}, which must not be above it"
            )
    rows_of_source = manifest.source_rows
    if index[0] < 0 or index[-1] >= rows_of_source:
        yield f"the indices run from {index[0]} to {index[-1]}, outside the {rows_of_source} source rows"
    if "neighbours" in manifest.description:
        found = list(_groups(manifest.description["neighbours"], index, pa.chunked_array(groups)))
        yield from found
        if covered and not found:
            same = manifest.description["neighbours"]["duplicates"]
            columns = (pa.chunked_array(each).to_numpy() for each in (groups, covers))
            yield from _cover(same["cover"]["left_out"], index, *columns)
    blocks = 1 + int(np.count_nonzero(np.diff(index // manifest.block_rows)))
    recorded = len(manifest.fingerprint_blocks)
    if blocks != recorded:
        yield f"the indices fall into {blocks} fingerprint blocks, manifest.json lists {recorded}"
    outside = first((examples.partition < 0) | (examples.partition >= len(sizes)))
    if outside is not None:
        yield f"index {index[outside]} is in partition {examples.partition[outside]} of {len(sizes)}"
        return
    counts = np.bincount(examples.partition, minlength=len(sizes))
    wrong = first(counts != sizes)
    if wrong is not None:
        yield f"partition {wrong} has {counts[wrong]} examples, manifest.json says {sizes[wrong]}"
    yield from _weights(manifest.partition_units, examples)
    twice = repetitions.repeated(rows.column("id") for rows in manifest.batches(schema.EXAMPLES, ["id"]))
    if twice:
        yield f"{len(twice)} ids occur more than once ({', '.join(map(repr, twice[:3]))})"


def _weights(units: Indices, examples: Examples) -> Iterator[str]:
    """`units` are those of each partition as manifest.json has them."""
    if examples.weight is None:
        return
    row = first(examples.weight < 1)
    if row is not None:
        yield f"index {examples.index[row]} has weight {examples.weight[row]}, below 1"
        return
    # In float64, as good as whole numbers up to their bound.
    weights = np.bincount(examples.partition, examples.weight, minlength=len(units))
    wrong = first(weights != units)
    if wrong is not None:
        yield f"partition {wrong} weighs {int(weights[wrong])}, manifest.json says {units[wrong]}"


def _groups(section: dict[str, Any], index: Indices, column: pa.ChunkedArray) -> Iterator[str]:
    """Yield what is wrong with the (n,) column duplicate_group; `section` is `neighbours` of the document."""
    if column.null_count:
        row = int(np.flatnonzero(column.is_null())[0])
        yield f"index {index[row]} has no duplicate_group, and neighbours were searched"
        return
    groups = column.to_numpy()
    places = np.minimum(np.searchsorted(index, groups), len(index) - 1)
    # The first of a group names it, so it is in the group that bears its own name.
    wrong = np.flatnonzero((index[places] != groups) | (groups[places] != groups))
    if len(wrong):
        row = wrong[0]
        yield f"index {index[row]} has duplicate_group {groups[row]}, which is not the first of that group"
        return
    _, sizes = np.unique(groups, return_counts=True)
    found = {"groups": int((sizes > 1).sum()), "examples": int(sizes[sizes > 1].sum())}
    for name, count in found.items():
        if section["duplicates"][name] != count:
            yield (
                f"duplicate_group has {count} {name} in groups of two or more, manifest.json says"
                f" {section['duplicates'][name]}"
            )


def _cover(left_out: int, index: Indices, groups: Indices, covers: Indices) -> Iterator[str]:
    """Yield what is wrong with the (n,) column duplicate_of; `left_out` is that of manifest.json."""
    places = np.minimum(np.searchsorted(index, covers), len(index) - 1)
    row = first((index[places] != covers) | (covers > index) | (covers[places] != covers))
    if row is not None:
        yield f"index {index[row]} has duplicate_of {covers[row]}, which is no example before it that is kept"
        return
    row = first(groups[places] != groups)
    if row is not None:
        yield f"index {index[row]} has duplicate_of {covers[row]}, which is of another duplicate_group"
        return
    count = int((covers != index).sum())
    if count != left_out:
        yield f"duplicate_of leaves out {count} examples, manifest.json says {left_out}"


def _importance(manifest: Manifest, directory: str, examples: Examples) -> Iterator[str]:
    sizes = manifest.partition_sizes
    stops = np.cumsum(sizes)
    sums = np.zeros(len(sizes))
    seen = np.zeros(manifest.n, np.bool_)
    start = 0
    for rows in manifest.batches(directory, None, ROW_GROUP_ROWS):
        columns = arrays(rows)
        number = np.arange(start, start + rows.num_rows)
        partition = np.searchsorted(stops, number, side="right")
        rank = number - (stops - sizes)[partition]
        row = first((columns["partition"] != partition) | (columns["rank"] != rank))
        if row is not None:
            got = f"({columns['partition'][row]}, {columns['rank'][row]})"
            yield f"row {number[row]} has (partition, rank) {got}, expected ({partition[row]}, {rank[row]})"
            return
        places, inside = examples.places(columns["index"])
        wrong = list(membership(columns, places, inside, examples))
        if wrong:
            yield from wrong
            return
        seen[places] = True
        for name in ("gain", "score", "probability"):
            row = first(~np.isfinite(columns[name]) | ((columns[name] < 0) & (name == "probability")))
            if row is not None:
                yield f"index {columns['index'][row]} has {name} {columns[name][row]}"
                return
        sums += np.bincount(partition, columns["probability"], minlength=len(sizes))
        start += rows.num_rows
    yield from _complete(seen, examples)
    row = first((np.abs(sums - 1) > TOLERANCE) & (sizes > 0))
    if row is not None:
        yield f"the probabilities of partition {row} sum to {sums[row]:.9g}, not to 1"


def _order(manifest: Manifest, directory: str, examples: Examples) -> Iterator[str]:
    seen = np.zeros(manifest.n, np.bool_)
    start = 0
    for rows in manifest.batches(directory, ["position", "index"]):
        columns = arrays(rows)
        row = first(columns["position"] != np.arange(start, start + rows.num_rows))
        if row is not None:
            yield f"row {start + row} has position {columns['position'][row]}, expected {start + row}"
            return
        places, inside = examples.places(columns["index"])
        row = first(~inside)
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
        row = first(index != examples.index[start : start + len(index)])
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


def _complete(seen: npt.NDArray[np.bool_], examples: Examples) -> Iterator[str]:
    """Yield a line unless every example was seen: of n rows that are all examples, some then came twice."""
    missing = np.flatnonzero(~seen)
    if missing.size:
        yield (
            f"is no permutation of the examples: {missing.size} do not occur, such as index "
            f"{examples.index[missing[0]]}, others more than once"
        )
