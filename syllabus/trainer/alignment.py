"""From the manifest's examples to the rows of a data set that was shuffled, filtered or tokenised since."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syllabus.manifests import Manifest
from syllabus.manifests.identity import as_strings
from syllabus.trainer import noise
from syllabus.trainer.errors import TrainerError

CHECKED = 1_000  # rows whose labels are compared


def rows_of(manifest: Manifest, ids: Iterable[Any]) -> np.ndarray:
    """Return (n,) int64: for each example of the manifest, in index order, the data set's row that holds it.

    Args:
        manifest: of n examples with unique ids.
        ids: the data set's ids, one a row: strings, or integers where the manifest's ids are their text.
            Rows that the manifest does not know (rejected ones, for example) are never drawn.

    Raises:
        TrainerError: ids of the manifest that no row or more than one row has, with counts and three of each.
        ManifestError: ids that are null, or neither strings nor integers.

    Cost: O(n + rows) time and memory, in Arrow; one reading where the ids are the manifest's in its order.
    """
    given = as_strings(ids)
    if _same(manifest, given):
        return np.arange(manifest.n)
    known = manifest.table("examples", ["id"])["id"].combine_chunks()
    place = pc.fill_null(pc.index_in(given, value_set=known), -1).to_numpy()
    rows = np.flatnonzero(place >= 0)
    times = np.bincount(place[rows], minlength=len(known))
    missing, repeated = np.flatnonzero(times == 0), np.flatnonzero(times > 1)
    if len(missing) or len(repeated):
        found = [
            f"{len(some)} {what}: {', '.join(map(repr, known.take(some[:3]).to_pylist()))}"
            for some, what in ((missing, "in no row"), (repeated, "in more than one row"))
            if len(some)
        ]
        raise TrainerError(
            f"ids: of {len(known)} in the manifest, {'; '.join(found)}; the data set has {len(given)} rows"
        )
    aligned = np.empty(len(known), np.int64)
    aligned[place[rows]] = rows
    return aligned


class Rows:
    """Where a data set has each example: ``rows[indices]`` are its int64 rows.

    Args:
        manifest: of n examples.
        aligned: (n,) int64, the row of each example in index order.

    Memory: 8 bytes a source row; where less than half of them are examples, 16 bytes an example.
    """

    def __init__(self, manifest: Manifest, aligned: np.ndarray) -> None:
        examples = manifest.examples()
        self._examples: np.ndarray | None = examples
        self._rows = aligned
        if examples[-1] < 2 * len(examples):
            self._rows = np.full(int(examples[-1]) + 1, -1)
            self._rows[examples], self._examples = aligned, None

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        return self._rows[indices if self._examples is None else np.searchsorted(self._examples, indices)]


def check_labels(manifest: Manifest, labels: Any, rows: Rows | None, seed: int) -> None:
    """Raise a TrainerError unless 1,000 of the data set's labels mean what the manifest's say.

    The two may be written differently ("cat" and 3): it is asked that examples of one label have one there,
    and the other way round. A data set in another order fails at once, unless it has one label only.

    Args:
        manifest: with labels; without, there is nothing to compare.
        labels: of the data set, one a row, of any kind that has a text.
        rows: where the data set has the examples; None for row = index.
        seed: of the sample.

    Cost: reads the columns index and label once.
    """
    examples = manifest.examples()
    sample = np.unique(noise.words(noise.key(seed, "labels"), np.arange(CHECKED)) % np.uint64(len(examples)))
    indices = examples[sample.astype(np.int64)]
    places = indices if rows is None else rows[indices]
    known = manifest.records(indices, ["label"])["label"].to_pylist()
    theirs: dict[str, tuple[str, int]] = {}
    ours: dict[str, tuple[str, int]] = {}
    for row, label in zip(places.tolist(), known, strict=True):
        if label is None:
            continue
        found = labels[row]
        text = str(found.item() if hasattr(found, "item") else found)
        for one, other, seen in ((label, text, theirs), (text, label, ours)):
            before, first = seen.setdefault(one, (other, row))
            if before != other:
                raise TrainerError(
                    f"labels: row {row} has {text!r} where the manifest has {label!r}, unlike row {first}:"
                    " the data set has other rows or another order; give its ids"
                )


def _same(manifest: Manifest, given: pa.ChunkedArray) -> bool:
    """Whether the ids are the manifest's in its order."""
    if len(given) != manifest.n:
        return False
    start = 0
    for rows in manifest.batches("examples", ["id"]):
        if not rows["id"].equals(given.slice(start, rows.num_rows)):
            return False
        start += rows.num_rows
    return True
