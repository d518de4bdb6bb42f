"""Validation of a manifest against its specification: every file is read once, in a stream."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from syllabus.manifests.errors import ManifestError, NoManifestError, first_line
from syllabus.manifests.format import schema
from syllabus.manifests.format.consistency import contradictions
from syllabus.manifests.format.document import decode
from syllabus.manifests.format.json_schema import violations
from syllabus.manifests.format.schema import DOCUMENT, PART, ROW_GROUP_ROWS
from syllabus.manifests.reading.manifest import Manifest
from syllabus.manifests.reading.opening import read_document, size_problems
from syllabus.manifests.replacement import leftovers
from syllabus.manifests.storage import Store, sha256_of
from syllabus.manifests.validation import tables as contents


@dataclass(frozen=True)
class Report:
    """The findings of `validate`.

    Attributes:
      location: the manifest's directory.
      problems: one line each, the file first; empty for a valid manifest.
      files: how many files were checked.
      found: False where there is no manifest, of this format, to be checked.
      beside: what lies beside a local manifest of jobs that are replacing it, or were killed while they did.
        It is no fault of the manifest; the next job removes it.
    """

    location: str
    problems: list[str]
    files: int
    found: bool = True
    beside: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True where nothing was found."""
        return not self.problems


def validate(manifest_location: str | os.PathLike[str] | Store) -> Report:
    """Check a manifest against docs/manifest-format.md; what is wrong is returned, not raised.

    Contents are checked only of tables whose files are sound, and only once manifest.json agrees with
    itself: one defect is one line, not its consequences too.

    Memory: about 50 bytes an example and a few row groups; or the largest subset, where that is more.
    """
    store = manifest_location if isinstance(manifest_location, Store) else Store(manifest_location)
    where = store.url()
    try:
        content = read_document(store)
        description = decode(content)
    except ManifestError as error:
        return Report(where, [str(error)], 1, not isinstance(error, NoManifestError))
    problems = [f"{DOCUMENT}: {problem}" for problem in violations(content)]
    if problems:
        return Report(where, problems, 1)
    problems += [f"{DOCUMENT}: {problem}" for problem in contradictions(description)]
    consistent = not problems
    damaged = set()
    for path, problem in _file_problems(store, description):
        problems.append(f"{path}: {problem}")
        damaged.add(path.rpartition("/")[0])
    if consistent and "" not in damaged:
        problems += contents.problems(Manifest(store, description), damaged)
    if problems and _changed(store, content):
        problems = [f"{DOCUMENT}: the manifest was replaced while it was read; validate it again"]
    beside = leftovers(Path(os.path.realpath(store.location))) if store.is_local else []
    names = tuple(folder.name for folder in beside)
    return Report(where, problems, 1 + len(description["files"]), beside=names)


def _file_problems(store: Store, description: dict[str, Any]) -> Iterator[tuple[str, str]]:
    entries = {entry["path"]: entry for entry in description["files"]}
    wrong = dict(line.split(": ", 1) for line in size_problems(store, description))
    if DOCUMENT in wrong:
        yield DOCUMENT, wrong[DOCUMENT]
        return
    for path, entry in entries.items():
        if path in wrong:
            yield path, wrong[path]
            continue
        try:
            digest = sha256_of(store, path)
        except (pa.ArrowException, OSError) as error:
            yield path, f"cannot be read: {first_line(error)}"
            continue
        if digest != entry["sha256"]:
            yield (
                path,
                f"has sha256 {digest[:12]}…, manifest.json says {entry['sha256'][:12]}…: it was altered",
            )
            continue
        table = schema.table_of(path.rpartition("/")[0], description)
        for problem in _parquet_problems(store, path, entry["rows"], table):
            yield path, problem
    # Whoever reads examples/*.parquet would read these too.
    try:
        others = store.files().keys() - entries.keys()
    except (pa.ArrowException, OSError) as error:
        yield DOCUMENT, f"{store.url()} cannot be listed: {first_line(error)}"
        return
    for path in sorted(others):
        if PART.fullmatch(path):
            yield path, "is not listed in manifest.json"


def _changed(store: Store, content: bytes) -> bool:
    """Whether manifest.json is another one by now."""
    try:
        return store.read(DOCUMENT) != content
    except (pa.ArrowException, OSError):
        return True


def _parquet_problems(store: Store, path: str, rows: int, table: schema.Table | None) -> Iterator[str]:
    try:
        with store.open(path) as source, pq.ParquetFile(source) as file:
            metadata, found = file.metadata, file.schema_arrow
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        yield f"is no Parquet file: {first_line(error)}"
        return
    if metadata.num_rows != rows:
        yield f"has {metadata.num_rows} rows, manifest.json says {rows}"
    largest = max((metadata.row_group(g).num_rows for g in range(metadata.num_row_groups)), default=0)
    if largest > ROW_GROUP_ROWS:
        yield f"has a row group of {largest} rows, above {ROW_GROUP_ROWS}"
    if table is not None:
        yield from table.problems(found)
