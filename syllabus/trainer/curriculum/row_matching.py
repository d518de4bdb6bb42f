"""Matching of the manifest's examples to rows of a data set that was shuffled, filtered or tokenised."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syllabus.manifests import Manifest
from syllabus.manifests.ids import as_arrow, hashes
from syllabus.trainer import counter_rng
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.validation import column

CHECKED = 1_000  # rows whose labels are compared
PIECE, SEARCHED = 1 << 16, 1 << 19  # ids hashed at once, and looked up at once
THREADS = 2


def match_rows(manifest: Manifest, ids: Iterable[Any]) -> np.ndarray:
    """Return (n,) integers: the data set's row that holds each example of the manifest, in index order.

    Args:
        manifest: of n examples with unique ids.
        ids: the data set's ids, one a row: strings, or integers where the manifest's ids are their text.
            Rows that the manifest does not know (rejected ones, for example) are never drawn.

    Raises:
        TrainerError: ids of the manifest that no row or more than one row has, with counts and three of each.
        ManifestError: ids that are null, or neither strings nor integers.

    Cost: one reading where the ids are the manifest's in its order. Else two hashes of each are compared in
    their stead (of 10⁷ ids more than 100 bits): O(n log n) time, 28 bytes a row. Where some are missing or
    repeated, all ids are compared themselves, in a hash table.
    """
    given = as_arrow(ids)
    if _same(manifest, given):
        return np.arange(manifest.n)
    aligned = _matched(manifest, given)
    return _compared(manifest, given.cast(pa.string())) if aligned is None else aligned


def _matched(manifest: Manifest, given: pa.ChunkedArray) -> np.ndarray | None:
    """Return the row of each example, or None unless each id has hashes that one row has, and no other."""
    if len(given) < manifest.n:
        return None
    # A word is the high bits of one hash above the row, so that sorting the words sorts the rows with them:
    # numbers alone are sorted ten times as fast as the places of numbers.
    low = np.uint64((1 << max(len(given), SEARCHED).bit_length()) - 1)
    words, seconds = np.empty((2, len(given)), np.uint64)

    def pack(ids: pa.ChunkedArray, start: int = 0) -> tuple[np.ndarray, np.ndarray]:
        first, second = _hashes(ids)
        return (first & ~low) | np.arange(start, start + len(ids), dtype=np.uint64), second

    def keep(start: int) -> None:
        here = slice(start, start + PIECE)
        words[here], seconds[here] = pack(given.slice(start, PIECE), start)

    def matches(word: np.ndarray, wanted: np.ndarray, second: np.ndarray) -> np.ndarray:
        return (word ^ wanted <= low) & (seconds[word & low] == second)

    def find(ids: pa.ChunkedArray) -> np.ndarray | None:
        wanted, second = pack(ids)
        wanted.sort()  # looked up in ascending order they are found several times as fast
        place = wanted & low
        wanted, second = wanted & ~low, second[place]
        start = np.searchsorted(words, wanted)
        word = words.take(start, mode="clip")
        others = np.flatnonzero(~matches(word, wanted, second))
        word[others] = words.take(start[others] + 1, mode="clip")
        if not matches(word[others], wanted[others], second[others]).all():
            return None
        found = np.empty(len(ids), np.int64)
        found[place] = word & low
        return found

    with ThreadPoolExecutor(THREADS) as pool:  # what computes here leaves Python's lock alone
        deque(pool.map(keep, range(0, len(given), PIECE)), maxlen=0)
        words.sort()
        pairs = (words[start : start + PIECE + 1] for start in range(0, len(words), PIECE))
        near = [
            np.flatnonzero(some[1:] ^ some[:-1] <= low) + number * PIECE for number, some in enumerate(pairs)
        ]
        alike = np.concatenate(near)
        one, other = (seconds[words[alike + step] & low] for step in (0, 1))
        if (one == other).any() or (np.diff(alike) == 1).any():
            return None  # a repetition, or three in a row, which `find` does not look through
        aligned, start = np.empty(manifest.n, np.int32 if low < 2**31 else np.int64), 0
        pieces = (rows["id"] for rows in manifest.batches("examples", ["id"], SEARCHED))
        while some := list(itertools.islice(pieces, THREADS)):
            for found in pool.map(find, some):
                if found is None:
                    return None
                aligned[start : start + len(found)] = found
                start += len(found)
    pa.default_memory_pool().release_unused()  # of the pieces read; a hundred megabytes at ten million
    return aligned


def _hashes(ids: pa.ChunkedArray) -> np.ndarray:
    """Return two hashes of each id, (2, rows) uint64."""
    chunks = ids.cast(pa.string()).chunks
    return np.concatenate([np.stack([hashes(chunk, seed) for seed in (0, 1)]) for chunk in chunks], axis=1)


def _compared(manifest: Manifest, given: pa.ChunkedArray) -> np.ndarray:
    """Return the row of each example by comparing all ids with all."""
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


class RowMap:
    """Map from examples to rows of a data set: ``rows[indices]`` are its int64 rows.

    Args:
        manifest: of n examples.
        aligned: (n,) int32 or int64, the row of each example in index order.

    Memory: 4 or 8 bytes a source row; where less than half of them are examples, 12 or 16 bytes an example.
    """

    def __init__(self, manifest: Manifest, aligned: np.ndarray) -> None:
        examples = manifest.examples()
        self._examples: np.ndarray | None = examples
        self._rows = aligned
        if examples[-1] < 2 * len(examples):
            self._rows = np.full(int(examples[-1]) + 1, -1, aligned.dtype)
            self._rows[examples], self._examples = aligned, None

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        places = indices if self._examples is None else np.searchsorted(self._examples, indices)
        return self._rows[places].astype(np.int64, copy=False)


def check_labels(manifest: Manifest, labels: Any, rows: RowMap | None, seed: int) -> None:
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
    column("labels", labels)
    examples = manifest.examples()
    sample = np.unique(
        counter_rng.random_uint64(counter_rng.key(seed, "labels"), np.arange(CHECKED))
        % np.uint64(len(examples))
    )
    indices = examples[sample.astype(np.int64)]
    places = indices if rows is None else rows[indices]
    known = manifest.records(indices, ["label"])["label"].to_pylist()
    labels = getattr(labels, "iloc", labels)  # a series of pandas' has names for its rows, kept by a shuffle
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
        if not rows["id"].equals(given.slice(start, rows.num_rows).cast(pa.string())):
            return False
        start += rows.num_rows
    return True
