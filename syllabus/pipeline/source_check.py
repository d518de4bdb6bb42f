"""Check of a data set against a manifest: the fingerprint, recomputed in one pass over the source."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pyarrow as pa

from syllabus.manifests import Fingerprint, Manifest
from syllabus.pipeline.sources import CHUNK_ROWS, Columns, Records, open_source


def source_problems(manifest_location: str, source_location: str) -> list[str]:
    """Return what speaks against `source_location` as the source of a manifest: one line, or none.

    Cost: one read of the source. Which rows were accepted is taken from the manifest.
    """
    manifest = Manifest.open(manifest_location)
    options = manifest.options
    kind = next((name for name in ("text", "image", "embedding") if options.get(name) is not None), None)
    if kind is None:  # of another writer
        return [f"source {source_location}: cannot be checked: the manifest's options name no content column"]
    columns = Columns(
        kind,
        options[kind],
        options.get("label"),
        options.get("id"),
        numeric=options.get("bins") is not None,
        weight=options.get("weight"),
    )
    source, _ = open_source(source_location)
    fingerprint = Fingerprint()
    accepted, weights = manifest.examples(), manifest.weights()
    first, heavier = 0, ""
    # File by file: a row group that holds many chunks is then decoded once, not once for each.
    for _, held in groupby(source.chunks(columns, CHUNK_ROWS), key=lambda chunk: chunk.members or chunk.file):
        chunks = list(held)
        for chunk, records in zip(chunks, source.read(chunks, columns), strict=True):
            begin, end = np.searchsorted(accepted, [first, first + chunk.rows])
            if begin < end:
                _update(fingerprint, records, accepted[begin:end], first)
                if weights is not None and not heavier:
                    heavier = _other_weight(manifest, records, accepted[begin:end], weights[begin:end], first)
            first += chunk.rows
    counted = manifest.source_rows
    if first != counted:
        return [f"source {source_location}: has {first:,} rows; the manifest was made from {counted:,}"]
    if fingerprint.hexdigest() == manifest.fingerprint:
        return [f"source {source_location}: {heavier}"] if heavier else []
    differing = [a != b for a, b in zip(fingerprint.blocks, manifest.fingerprint_blocks, strict=False)]
    block = int(np.flatnonzero([*differing, True])[0])
    begin, end = (bound * manifest.block_rows for bound in (block, block + 1))
    return [
        f"source {source_location}: is another data set: rows {begin:,} to {min(end, counted) - 1:,} are the"
        f" first that differ in id, label or content, from {_place(manifest, begin)} on"
    ]


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
