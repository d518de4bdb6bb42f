"""manifest.json: its bytes, and what must hold inside it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from importlib import resources
from itertools import pairwise
from typing import Any

import numpy as np

from syllabus.manifests.budgets import budget
from syllabus.manifests.errors import ManifestError
from syllabus.manifests.format import hygiene, weights
from syllabus.manifests.format.fingerprint import combine
from syllabus.manifests.format.schema import DOCUMENT, FORMAT, FORMAT_VERSION

DIGEST_KEY = "document_sha256"
# A name of an importance or order is a plain word, never a way out of the directory.
PART = re.compile(
    r"(examples|subsets|sketches|rejects|preview|(?:importances|orders)/[A-Za-z0-9_][A-Za-z0-9_.-]*)"
    r"/part-([0-9]{5,})\.parquet"
)
_HEX = re.compile(r"[0-9a-f]{64}")

# What every manifest.json holds: a type, a tuple of types, a dict of keys, a list of one kind of item,
# or a dict from any string to one kind of item.
_TEXT = (str, type(None))
_NUMBER = (int, float)
_SHAPE: dict[Any, Any] = {
    "code_version": str,
    "fingerprint": {"sha256": str, "block_rows": int, "blocks": [str]},
    "encoder": {"kind": str, "name": str, "weights_sha256": _TEXT, "dtype": str, "dimension": int},
    "options": dict,
    "counts": {"source_rows": int, "accepted": int, "rejected": int, "reasons": {str: int}},
    "partitions": [{"partition": int, "label": _TEXT, "examples": int}],
    "subsets": [{"fraction": _NUMBER, "budget": int, "count": int}],
    "importances": {str: dict},
    "orders": {str: dict},
    "files": [{"path": str, "rows": int, "bytes": int, "sha256": str}],
}
# Of the table of that name; there if it is.
_SKETCHES: dict[Any, Any] = {"dimension": int, "step": _NUMBER, "projection": str}
PROJECTIONS = ("none", "pca")


def encode(description: dict[str, Any]) -> bytes:
    """Return the bytes of manifest.json; `description` has all its keys but the format's and the digest.

    Raises:
      ManifestError: if a key is missing, of the wrong type, or contradicts another.
    """
    document = {**description, "format": FORMAT, "format_version": FORMAT_VERSION}
    blank = _bytes({**document, DIGEST_KEY: "0" * 64})
    for problem in problems(json.loads(blank)):
        raise ManifestError(f"{DOCUMENT}: {problem}")
    return _bytes({**document, DIGEST_KEY: hashlib.sha256(blank).hexdigest()})


def decode(content: bytes) -> dict[str, Any]:
    """Return the parsed manifest.json.

    Raises:
      ManifestError: if it is not one, is newer than this code, or was altered after it was written.
    """
    try:
        document = json.loads(content.decode())
    except ValueError as error:
        raise ManifestError(f"{DOCUMENT}: is not JSON: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ManifestError(f'{DOCUMENT}: is no manifest: it lacks "format": "{FORMAT}"')
    version = document.get("format_version")
    if not isinstance(version, int) or version < 1:
        raise ManifestError(f"{DOCUMENT}: format_version is {version!r}; expected a whole number from 1")
    if version > FORMAT_VERSION:
        raise ManifestError(
            f"{DOCUMENT}: format_version {version} is newer than {FORMAT_VERSION}, the newest that this code "
            "reads; install a newer syllabus"
        )
    recorded = document.get(DIGEST_KEY)
    blank = content.replace(
        f'"{DIGEST_KEY}": "{recorded}"'.encode(), f'"{DIGEST_KEY}": "{"0" * 64}"'.encode(), 1
    )
    actual = hashlib.sha256(blank).hexdigest()
    if recorded != actual:
        raise ManifestError(
            f"{DOCUMENT}: its content has sha256 {actual[:12]}…, recorded {str(recorded)[:12]}…: "
            "it was altered after it was written"
        )
    return document


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of manifest.json."""
    text = (
        resources.files("syllabus.manifests.format")
        .joinpath("manifest.schema.json")
        .read_text(encoding="utf-8")
    )
    schema: dict[str, Any] = json.loads(text)
    return schema


def problems(document: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong inside a document, one line each; the numbers only once the types are right."""
    wrong = shape_problems(document)
    yield from wrong
    if not wrong:
        yield from contradictions(document)


def shape_problems(document: dict[str, Any]) -> list[str]:
    """Return the keys that are missing or have the wrong type."""
    found = list(_misshapen(document, _SHAPE, ""))
    if "sketches" in document:
        found += _misshapen(document["sketches"], _SKETCHES, "sketches")
    for where, section, shape in hygiene.shapes(document):
        found += _misshapen(section, shape, where)
    if not found:
        # These add to sections that were checked above.
        for where, section, shape in weights.shapes(document):
            found += _misshapen(section, shape, where)
    return found


def _misshapen(value: Any, shape: Any, where: str) -> Iterator[str]:
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            yield f"{where} is {value!r:.40}; expected an object"
            return
        expected = dict.fromkeys(value, shape[str]) if str in shape else shape
        for key, inner in expected.items():
            name = f"{where}.{key}" if where else key
            if key not in value:
                yield f"the key {name} is missing"
            else:
                yield from _misshapen(value[key], inner, name)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{where} is {value!r:.40}; expected an array"
            return
        for place, item in enumerate(value):
            yield from _misshapen(item, shape[0], f"{where}[{place}]")
    elif not isinstance(value, shape) or isinstance(value, bool):
        kinds = shape if isinstance(shape, tuple) else (shape,)
        names = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
        yield f"{where} is {value!r:.40}; expected {names}"


def contradictions(document: dict[str, Any]) -> Iterator[str]:
    """Yield what cannot be true at once in a document of the right shape."""
    counts = document["counts"]
    n, rejected, excluded = counts["accepted"], counts["rejected"], counts.get("excluded", 0)
    if n < 1 or rejected < 0 or n + rejected + excluded > counts["source_rows"]:
        yield (
            f"counts: {n} accepted (at least 1), {rejected} rejected and {excluded} excluded do not fit into "
            f"{counts['source_rows']} source rows"
        )
    if sum(counts["reasons"].values()) != rejected:
        yield f"counts.reasons add up to {sum(counts['reasons'].values())}, not to the {rejected} rejected"
    yield from _fingerprint(document["fingerprint"])
    yield from _partitions(document["partitions"], n)
    total = weights.total(document)
    if 0 <= total <= weights.LARGEST:  # else that is the line, and no budget can be computed
        yield from _subsets(document["subsets"], total)
    if "sketches" in document:
        yield from _sketches(document["sketches"])
    yield from _files(document["files"])
    yield from _rows(document)
    yield from hygiene.contradictions(document)
    yield from weights.contradictions(document)


def _fingerprint(fingerprint: dict[str, Any]) -> Iterator[str]:
    bad = [block for block in fingerprint["blocks"] if not _HEX.fullmatch(block)]
    if bad:
        yield f"fingerprint.blocks: {bad[0]!r:.70} is not a sha256 in hexadecimal"
    elif combine(fingerprint["blocks"]) != fingerprint["sha256"]:
        yield f"fingerprint.sha256 {fingerprint['sha256'][:12]}… is not that of its blocks"
    if fingerprint["block_rows"] < 1:
        yield f"fingerprint.block_rows is {fingerprint['block_rows']}, below 1"


def _partitions(partitions: list[dict[str, Any]], n: int) -> Iterator[str]:
    for place, partition in enumerate(partitions):
        if partition["partition"] != place or partition["examples"] < 0:
            yield (
                f"partitions[{place}] is number {partition['partition']} with {partition['examples']} "
                f"examples; expected number {place} with at least 0"
            )
    total = sum(partition["examples"] for partition in partitions)
    if total != n:
        yield f"partitions: they have {total} examples together, accepted are {n}"


def _subsets(subsets: list[dict[str, Any]], total: int) -> Iterator[str]:
    for place, entry in enumerate(subsets):
        fraction, size = entry["fraction"], entry["budget"]
        if not 0 < fraction <= 1 or size != budget(fraction, total):
            right = budget(fraction, total) if 0 < fraction <= 1 else "in no manifest"
            yield f"subsets[{place}]: fraction {fraction} of {total} is {right}, the budget says {size}"
        if size < 1 or entry["count"] < 1:
            yield f"subsets[{place}]: budget {size} and count {entry['count']} must be at least 1"
    for before, after in pairwise(entry["budget"] for entry in subsets):
        if after <= before:
            yield f"subsets: budget {after} follows {before}; budgets are distinct and ascend"


def _sketches(sketches: dict[str, Any]) -> Iterator[str]:
    if sketches["dimension"] < 1 or sketches["step"] <= 0:
        yield f"sketches: dimension {sketches['dimension']} and step {sketches['step']} must be above 0"
    if sketches["projection"] not in PROJECTIONS:
        yield f"sketches.projection is {sketches['projection']!r:.40}, none of {', '.join(PROJECTIONS)}"


def _files(files: list[dict[str, Any]]) -> Iterator[str]:
    paths = [entry["path"] for entry in files]
    if paths != sorted(set(paths)):
        yield "files: the paths are not distinct and sorted"
    parts: dict[str, list[int]] = {}
    for entry in files:
        match = PART.fullmatch(entry["path"])
        if match is None or entry["rows"] < 0 or entry["bytes"] < 0 or not _HEX.fullmatch(entry["sha256"]):
            yield f"files: {entry['path']!r:.80} is no part of a table with rows, bytes and sha256"
        else:
            parts.setdefault(match[1], []).append(int(match[2]))
    for directory, numbers in parts.items():
        if sorted(numbers) != list(range(len(numbers))):
            missing = min(set(range(len(numbers))) - set(numbers))
            yield f"files: {directory}/part-{missing:05d}.parquet is missing between the others"


def _rows(document: dict[str, Any]) -> Iterator[str]:
    """Yield the tables that do not have the rows which the rest of the document implies."""
    n = document["counts"]["accepted"]
    expected = {
        "examples": n,
        "subsets": sum(sum(weights.subset_rows(document, entry)) for entry in document["subsets"]),
        "rejects": document["counts"]["rejected"],
        **{f"importances/{name}": n for name in document["importances"]},
        **{f"orders/{name}": n for name in document["orders"]},
    }
    if "sketches" in document:
        expected["sketches"] = n
    rows = table_rows(document)
    for directory, right in expected.items():
        if directory not in rows:
            yield f"files: there is no part of {directory}/"
        elif rows[directory] != right:
            yield f"files: {directory}/ has {rows[directory]} rows, expected {right}"
    for directory in sorted(set(rows) - set(expected) - {"preview"}):
        yield f"files: {directory}/ is described nowhere else in the document"


def table_rows(document: dict[str, Any]) -> dict[str, int]:
    """Return {directory: rows} of the tables listed in `document`."""
    rows: dict[str, int] = {}
    for entry in document["files"]:
        directory = entry["path"].rpartition("/")[0]
        rows[directory] = rows.get(directory, 0) + entry["rows"]
    return rows


def _bytes(document: dict[str, Any]) -> bytes:
    try:
        text = json.dumps(
            document, ensure_ascii=False, allow_nan=False, indent=1, sort_keys=True, default=_plain
        )
    except (TypeError, ValueError) as error:
        raise ManifestError(f"{DOCUMENT}: the description is not JSON: {error}") from None
    return f"{text}\n".encode()


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r:.40} has no JSON form")
