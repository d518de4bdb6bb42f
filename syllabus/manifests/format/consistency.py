"""Contradictions inside manifest.json: numbers, names and rows that cannot be true at once.

Every function takes a document, or a section of one, that breaks no rule of the JSON Schema.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from syllabus.manifests.budgets import budget
from syllabus.manifests.format.fingerprint import combine
from syllabus.manifests.format.schema import EXTRA_TABLES, PART, table_rows

LARGEST_TOTAL = 1 << 53
"""Weights sum to no more: up to here float64, in which budgets are computed, knows every whole number."""

PART_DIGITS = 18
LISTS = ("suspects", "duplicates", "holdout")


def total(document: dict[str, Any]) -> int:
    """Return what a fraction is a share of: the sum of the weights, or the number of examples."""
    return int(document["weight"]["total"] if "weight" in document else document["counts"]["accepted"])


def subset_rows(document: dict[str, Any], entry: dict[str, Any]) -> list[int]:
    """Return how many rows each subset has that `entry`, one of `subsets`, describes."""
    return list(entry["rows"]) if "weight" in document else [entry["budget"]] * entry["count"]


def contradictions(document: dict[str, Any]) -> Iterator[str]:
    """Yield what cannot be true at once, one line each."""
    counts = document["counts"]
    n, rejected, excluded = counts["accepted"], counts["rejected"], counts.get("excluded", 0)
    if n + rejected + excluded > counts["source_rows"]:
        yield (
            f"counts: {n} accepted, {rejected} rejected and {excluded} excluded do not fit into "
            f"{counts['source_rows']} source rows"
        )
    if sum(counts["reasons"].values()) != rejected:
        yield f"counts.reasons add up to {sum(counts['reasons'].values())}, not to the {rejected} rejected"
    for name in ("truncated", "conflicting_labels"):
        if counts.get(name, 0) > n:
            yield f"counts.{name} is {counts[name]}, of {n} accepted"
    for name in ("holdout", "guide"):
        section = document.get(name, {"rows": 0})
        if section.get("truncated", 0) > section["rows"]:
            yield f"{name}.truncated is {section['truncated']}, of {section['rows']} rows"
    fingerprint = document["fingerprint"]
    if combine(fingerprint["blocks"]) != fingerprint["sha256"]:
        yield f"fingerprint.sha256 {fingerprint['sha256'][:12]}… is not that of its blocks"
    rows, blocks = fingerprint["block_rows"], len(fingerprint["blocks"])
    if not n <= rows * blocks or blocks > min(n, -(-counts["source_rows"] // rows)):
        yield f"fingerprint has {blocks} blocks of {rows} rows, for {n} of {counts['source_rows']} rows"
    yield from _partitions(document["partitions"], n)
    yield from _subsets(document["subsets"], total(document), len(document["partitions"]))
    if "weight" in document:
        yield from _weights(document)
    if "neighbours" in document:
        yield from _duplicates(document["neighbours"]["duplicates"], n)
    if "holdout" in document:
        yield from _holdout(document["holdout"])
    if "preview" in document:
        yield from _preview(document["preview"], n, len(document["partitions"]))
    for name, entry in document.get("hygiene", {}).items():
        if name in LISTS and entry["listed"] > entry["found"]:
            yield f"hygiene.{name}.listed is {entry['listed']}, of {entry['found']} found"
    yield from _files(document["files"])
    yield from _rows(document)


def _partitions(partitions: list[dict[str, Any]], n: int) -> Iterator[str]:
    for place, partition in enumerate(partitions):
        if partition["partition"] != place:
            yield f"partitions[{place}] is number {partition['partition']}; expected number {place}"
    together = sum(partition["examples"] for partition in partitions)
    if together != n:
        yield f"partitions: they have {together} examples together, accepted are {n}"


def _subsets(subsets: list[dict[str, Any]], total: int, partitions: int) -> Iterator[str]:
    for place, entry in enumerate(subsets):
        fraction, size, right = entry["fraction"], entry["budget"], budget(entry["fraction"], total)
        if size != right:
            yield f"subsets[{place}]: fraction {fraction} of {total} is {right}, the budget says {size}"
        if "partitions" in entry and len(entry["partitions"]) != partitions:
            yield f"subsets[{place}].partitions has {len(entry['partitions'])} entries, not {partitions}"
        elif "partitions" in entry and sum(entry["partitions"]) != size:
            yield f"subsets[{place}].partitions add up to {sum(entry['partitions'])}, the budget is {size}"
        if max(entry.get("empty_partitions", ()), default=0) >= partitions:
            yield f"subsets[{place}].empty_partitions has {max(entry['empty_partitions'])} of {partitions}"
    for before, after in pairwise(entry["budget"] for entry in subsets):
        if after <= before:
            yield f"subsets: budget {after} follows {before}; budgets are distinct and ascend"


def _weights(document: dict[str, Any]) -> Iterator[str]:
    for place, partition in enumerate(document["partitions"]):
        weight, examples = partition["weight"], partition["examples"]
        if weight < examples or (weight > 0) != (examples > 0):
            yield f"partitions[{place}] weighs {weight} with {examples} examples, which weigh at least 1 each"
    together, recorded = sum(part["weight"] for part in document["partitions"]), document["weight"]["total"]
    if together != recorded:
        yield f"partitions: they weigh {together} together, weight.total is {recorded}"
    for place, entry in enumerate(document["subsets"]):
        yield from (f"subsets[{place}]: {line}" for line in _subset(entry, document["counts"]["accepted"]))


def _subset(entry: dict[str, Any], n: int) -> Iterator[str]:
    rows, weights, limit = entry["rows"], entry["weights"], entry["budget"]
    if not len(rows) == len(weights) == entry["count"]:
        yield f"rows has {len(rows)} entries and weights {len(weights)}, the count says {entry['count']}"
        return
    for number, (count, weight) in enumerate(zip(rows, weights, strict=True)):
        if count > n:
            yield f"subset {number} has {count} rows, above {n}"
        elif not count <= weight <= limit:
            yield f"subset {number} of {count} rows weighs {weight}, outside [{count}, budget={limit}]"


def _duplicates(duplicates: dict[str, Any], n: int) -> Iterator[str]:
    groups, examples = duplicates["groups"], duplicates["examples"]
    if not 2 * groups <= examples <= n or (groups == 0) != (examples == 0):
        yield f"neighbours.duplicates: {examples} examples in {groups} groups of two or more, of {n}"
    elif not _near(duplicates["share"], examples / n):
        yield f"neighbours.duplicates.share is {duplicates['share']}, expected {examples / n}"
    left, most = duplicates.get("cover", {}).get("left_out", 0), max(examples - groups, 0)
    if left > most:
        yield f"neighbours.duplicates.cover leaves out {left} examples; one of each group leaves out {most}"


def _holdout(holdout: dict[str, Any]) -> Iterator[str]:
    rows, found, pairs = holdout["rows"], holdout["near_duplicates"], holdout["pairs"]
    if found > rows:
        yield f"holdout: {found} near-duplicates among {rows} rows"
    elif not _near(holdout["share"], found / rows):
        yield f"holdout.share is {holdout['share']}, expected {found / rows}"
    if len(pairs) > found:
        yield f"holdout.pairs has {len(pairs)} entries, more than the {found} near-duplicates"


def _preview(preview: dict[str, Any], n: int, partitions: int) -> Iterator[str]:
    rows, grid = preview["rows"], preview["grid"]
    if rows > n:
        yield f"preview.rows is {rows}, of {n} examples"
    for name in ("drawn", "texts", "thumbnails"):
        if preview[name] > rows:
            yield f"preview.{name} is {preview[name]}, of {rows} rows"
    for name in ("x", "y"):
        if not grid[name][0] < grid[name][1]:
            yield f"preview.grid.{name} runs from {grid[name][0]} to {grid[name][1]}"
    if len(set(grid["partitions"])) < len(grid["partitions"]):
        yield "preview.grid.partitions has one of them twice"
    if any(number >= partitions for number in grid["partitions"]):
        yield f"preview.grid.partitions has {max(grid['partitions'])}, of {partitions} partitions"


def _files(files: list[dict[str, Any]]) -> Iterator[str]:
    paths = [entry["path"] for entry in files]
    if paths != sorted(set(paths)):
        yield "files: the paths are not distinct and sorted"
    parts: dict[str, list[int]] = {}
    for path in paths:
        found = PART.fullmatch(path)
        directory, digits = path.rpartition("/")[0], found.group("number") if found else ""
        if len(digits) > PART_DIGITS:  # Python makes no number of thousands of them
            yield f"files: {directory}/ has a part whose number has {len(digits)} digits"
            return
        parts.setdefault(directory, []).append(int(digits))
    for directory, numbers in parts.items():
        if sorted(numbers) != list(range(len(numbers))):
            missing = min(set(range(len(numbers))) - set(numbers))
            yield f"files: {directory}/part-{missing:05d}.parquet is missing between the others"


def _rows(document: dict[str, Any]) -> Iterator[str]:
    """Yield the tables that do not have the rows which the rest of the document implies."""
    n = document["counts"]["accepted"]
    expected = {
        "examples": n,
        "subsets": sum(
            sum(entry["rows"]) if "weight" in document else entry["budget"] * entry["count"]
            for entry in document["subsets"]
        ),
        "rejects": document["counts"]["rejected"],
        **{f"importances/{name}": n for name in document["importances"]},
        **{f"orders/{name}": n for name in document["orders"]},
    }
    if "sketches" in document:
        expected["sketches"] = n
    if "preview" in document:
        expected["preview"], expected["density"] = (
            document["preview"]["rows"],
            document["preview"]["grid"]["rows"],
        )
    hygiene = document.get("hygiene", {})
    expected |= {f"hygiene/{name}": entry["rows"] for name, entry in hygiene.items() if name in LISTS}
    rows = table_rows(document)
    for directory, right in expected.items():
        if directory not in rows:
            yield f"files: there is no part of {directory}/"
        elif rows[directory] != right:
            yield f"files: {directory}/ has {rows[directory]} rows, expected {right}"
    for directory in sorted(set(rows) - set(expected) - {*EXTRA_TABLES}):
        yield f"files: {directory}/ is described nowhere else in the document"


def _near(value: float, expected: float) -> bool:
    return abs(value - expected) <= 1e-9
