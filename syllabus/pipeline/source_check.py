"""Check of a data set against a manifest: the fingerprint, recomputed in one pass over the source."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np
import pyarrow as pa

from syllabus.manifests import Fingerprint, Manifest, ManifestError
from syllabus.manifests.ids import find_ids
from syllabus.pipeline.conditions import parse_condition
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.sources import CHUNK_ROWS, Chunk, Columns, Records, open_source
from syllabus.pipeline.sources.reasons import DUPLICATE_ID, FOUND_BY_ENCODER
from syllabus.pipeline.sources.records import Limits


def source_problems(manifest_location: str, source_location: str) -> list[str]:
    """Return what speaks against `source_location` as the source of a manifest: one line, or none.

    The examples must be the same, and the rows that were rejected or filtered must still be that. What an
    encoder found, such as an unreadable image, is not tried again.

    Cost: one read of the source. Which rows were accepted is taken from the manifest.
    """
    manifest = Manifest.open(manifest_location)
    try:
        columns = recorded_columns(manifest)
    except UserError as error:
        return [f"source {source_location}: cannot be checked: {error}"]
    if columns is None:  # of another writer
        return [f"source {source_location}: cannot be checked: the manifest's options name no content column"]
    # Whether links may lead out was decided when the manifest was made.
    source, _ = open_source(source_location, follow_links=True)
    columns = source.resolved(columns)
    fingerprint = Fingerprint()
    accepted, weights = manifest.examples(), manifest.weights()
    first, heavier = 0, ""
    others = _OtherRows(manifest, columns, source.files)
    # File by file: a row group that holds many chunks is then decoded once, not once for each.
    for _, held in groupby(source.chunks(columns, CHUNK_ROWS), key=lambda chunk: chunk.members or chunk.file):
        chunks = list(held)
        for chunk, records in zip(chunks, source.read(chunks, columns), strict=True):
            begin, end = np.searchsorted(accepted, [first, first + chunk.rows])
            others.compare(chunk, records, accepted[begin:end] - first)
            if begin < end:
                _update(fingerprint, records, accepted[begin:end], first)
                if weights is not None and not heavier:
                    heavier = _other_weight(manifest, records, accepted[begin:end], weights[begin:end], first)
            first += chunk.rows
    counted = manifest.source_rows
    if first != counted:
        return [f"source {source_location}: has {first:,} rows; the manifest was made from {counted:,}"]
    if fingerprint.hexdigest() == manifest.fingerprint:
        found = heavier or others.problem()
        return [f"source {source_location}: {found}"] if found else []
    differing = [a != b for a, b in zip(fingerprint.blocks, manifest.fingerprint_blocks, strict=False)]
    block = int(np.flatnonzero([*differing, True])[0])
    begin, end = (bound * manifest.block_rows for bound in (block, block + 1))
    return [
        f"source {source_location}: is another data set: rows {begin:,} to {min(end, counted) - 1:,} are the"
        f" first that differ in id, label or content, from {_place(manifest, begin)} on"
    ]


def recorded_columns(manifest: Manifest) -> Columns | None:
    """Return the columns that a manifest was made from; None where its options name no content.

    Raises:
      UserError: a filter among its options cannot be read.
    """
    options = manifest.options
    kind = next((name for name in ("text", "image", "embedding") if options.get(name) is not None), None)
    if kind is None:
        return None
    try:
        where = tuple(map(parse_condition, options.get("where") or ()))
    except ValueError as error:
        raise UserError(f"the manifest's options: where={error}") from None
    return Columns(
        kind,
        options[kind],
        options.get("label"),
        options.get("id"),
        numeric=options.get("bins") is not None,
        weight=options.get("weight"),
        where=where,
        limits=Limits.of(options),
    )


def _other_weight(
    manifest: Manifest, records: Records, index: np.ndarray, weights: np.ndarray, first: int
) -> str:
    """Name the first example that does not weigh what the manifest says; the fingerprint has no weights."""
    assert records.weights is not None
    for number, weight in zip(index.tolist(), weights.tolist(), strict=True):
        found = records.weights[number - first]
        if found != weight:
            return f"{_place(manifest, number)} has {found} {manifest.unit}, the manifest says {weight}"
    return ""


def _place(manifest: Manifest, index: int) -> str:
    """File and row of the first example that is not before `index`."""
    at = int(np.searchsorted(manifest.examples(), index))
    row = manifest.table("examples", ["source_file", "source_row"], at, at + 1).to_pylist()
    return f"{row[0]['source_file']} row {row[0]['source_row']:,}" if row else "the end"


def _update(fingerprint: Fingerprint, records: Records, index: np.ndarray, first: int) -> None:
    rows = (index - first).tolist()
    digests = records.digests()
    # A row that the manifest accepted may be null here: it then differs, as it must.
    ids = (
        [str(number) for number in index] if records.ids is None else [records.ids[row] or "" for row in rows]
    )
    labels = records.labels and pa.array([records.labels.texts[row] for row in rows], pa.string())
    fingerprint.update(
        index, pa.array(ids, pa.string()), labels, pa.array([digests[row] for row in rows], pa.binary(32))
    )


class _OtherRows:
    """The rows that are no examples, compared with the rejects of a manifest.

    Memory: the rejects where there is a filter, else a batch of them; and the ids of those that were taken.
    """

    def __init__(self, manifest: Manifest, columns: Columns, files: list[str]) -> None:
        self._manifest = manifest
        self._columns = columns
        self._in_order = self._rejects()
        # Beside filtered rows a reject is found by its place, beside none by their order alone.
        self._by_place = {(file, row): why for file, row, why in self._rejects()} if columns.where else {}
        self._renamed = any(file not in set(files) for file, _ in self._by_place)
        self._found = ""
        self._taken: dict[str, str] = {}

    def _rejects(self) -> Iterator[tuple[str, int, str]]:
        for rows in self._manifest.batches("rejects", ["source_file", "source_row", "reason"]):
            yield from zip(*(rows.column(name).to_pylist() for name in rows.column_names), strict=True)

    def compare(self, chunk: Chunk, records: Records, accepted: np.ndarray) -> None:
        """Look at the rows of a chunk but the `accepted` ones, numbers from 0."""
        examples = set(accepted.tolist())
        files, numbers = chunk.source_files(), chunk.source_rows()
        for row in range(chunk.rows):
            if row in examples:
                continue
            place = (files[row], int(numbers[row]))
            reason = (
                self._by_place.get(place)
                if self._columns.where
                else next((why for _, _, why in self._in_order), None)
            )
            if not self._found and row not in records.excluded:
                self._found = self._changed(f"{place[0]} row {place[1]:,}", row, records, reason)

    def _changed(self, place: str, row: int, records: Records, reason: str | None) -> str:
        encoded = reason in FOUND_BY_ENCODER and not isinstance(records.content, np.ndarray)
        if encoded or self._is_bad(row, records) or (reason is None and self._renamed):
            return ""
        if reason is None:
            return f"{place} was filtered out, and the filter lets it through now"
        if reason == DUPLICATE_ID and records.ids is not None:
            self._taken.setdefault(str(records.ids[row]), place)
            return ""
        return f"{place} was rejected ({reason}), and would be accepted now"

    def _is_bad(self, row: int, records: Records) -> bool:
        if row in records.bad or row in records.bad_keys:
            return True
        columns = self._columns
        keys = (
            (columns.label, records.labels and records.labels.texts),
            (columns.id, records.ids),
            (columns.weight, records.weights),
        )
        if any(name is not None and values is not None and values[row] is None for name, values in keys):
            return True
        return isinstance(records.content, np.ndarray) and not records.content[row].any()

    def problem(self) -> str:
        """Return the first row, in words, that was no example and would be one now; empty for none."""
        if self._found or not self._taken:
            return self._found
        ids = pa.chunked_array([pa.array(list(self._taken), pa.string())])
        try:
            find_ids(self._manifest.batches("examples", ["index", "id"]), ids)
        except ManifestError as error:
            return f"rows that were rejected ({DUPLICATE_ID}) have another id now: {error}"
        return ""
