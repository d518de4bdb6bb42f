"""The rows of the preview: those that a report shows, and for the rest a draw by hash.

Picks, suspects and near-duplicates are few of many examples, so a draw would miss them. They are taken first,
up to bounds that leave most of the preview to the draw.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syllabus.manifests import neighbours_label, surest
from syllabus.pipeline.stages.commit.context import Buckets, CommitContext
from syllabus.pipeline.stages.commit.importances import best_ranked
from syllabus.pipeline.stages.neighbours.cover import repeated_groups
from syllabus.pipeline.stages.neighbours.evidence import Evidence
from syllabus.pipeline.stages.regroup.buckets import by_partition, read_partitions
from syllabus.pipeline.stages.transform import drawn, mix

ROWS = 20_000
CLASSES, EXTREMES = 30, 10
"""Largest partitions of which the easiest and the hardest rows are taken."""
PICKS = 2500
"""Rows of the first subset, and of an importance, the best of each partition."""
SUSPECTS, SHOWN_SUSPECTS = 2000, 50
"""Suspects, and those of them whose neighbours are taken: the surest."""
LABELLED = 8192
"""Suspects whose neighbours' labels are counted at once."""
GROUPS, MEMBERS = 40, 6
"""Duplicate groups, half of them the largest, and rows of each."""
COPIES, TESTED = 2000, 200
"""Other near-duplicates, and examples that are near to a test row."""


Best = Callable[[int, int], np.ndarray]
"""(partition, number) to the indices of so many rows of it, the best first."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """Rows as ascending positions among the accepted ones."""

    positions: np.ndarray
    """(m,) int64"""
    drawn: np.ndarray
    """(m,) bool, those that the draw alone would have taken"""
    priority: np.ndarray
    """(m,) places in `positions`: what is shown with its content comes first"""


def choose_rows(context: CommitContext, buckets: Buckets) -> Chosen:
    """Return the rows of a preview."""
    index = context.index
    n = len(index)
    first, more = _of_report(context, buckets)
    shown = _distinct(first)
    wanted = _distinct([shown, *more])
    by_draw = drawn(n, n if n <= ROWS else ROWS - len(wanted), 5, index)
    positions = np.union1d(by_draw, wanted)
    by_hash = drawn(len(positions), len(positions), 5, index[positions])
    places = np.searchsorted(positions, shown)
    rest = by_hash[~np.isin(by_hash, places)]
    return Chosen(positions, np.isin(positions, by_draw), np.concatenate([places, rest]))


def _of_report(context: CommitContext, buckets: Buckets) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The positions of rows that a report shows with their content, and of those that it marks on its map."""
    shown: list[np.ndarray] = []
    marked: list[np.ndarray] = []
    sizes = by_partition(buckets.rows)
    for counts, best in _ranked(context, buckets):
        total = sum(counts.values())
        for number, partition in enumerate(sorted(counts, key=lambda each: (-sizes[each], each))):
            first, picks = EXTREMES if number < CLASSES else 0, PICKS * counts[partition] // max(total, PICKS)
            if most := max(first, picks):
                rows = _positions(context, best(partition, most))
                shown.append(rows[:first])
                marked.append(rows[:picks])
    found = context.found
    if found.evidence is not None and found.groups is not None:
        nearest, suspects = _suspects(context, found.evidence)
        shown.append(nearest)
        marked.append(suspects)
        groups, copies = _copies(found.groups)
        shown.append(groups)
        marked.append(copies)
    if found.holdout is not None:
        shown.append(_positions(context, found.holdout.index[:TESTED]))
    return shown, marked


def _positions(context: CommitContext, rows: np.ndarray) -> np.ndarray:
    """The positions of rows given by their index."""
    # Of the same type: else all of the index would be copied.
    return np.searchsorted(context.index, rows.astype(context.index.dtype))


def _ranked(context: CommitContext, buckets: Buckets) -> Iterator[tuple[Mapping[int, int], Best]]:
    """Rows of each partition, and its best: as the first subset ranks them, and as an importance does."""
    options = context.options
    if options.subset_count:
        key = context.ordering.subset_key(len(options.fraction) - 1, 0)
        most = max(EXTREMES, PICKS)
        counts: Counter[int] = Counter()
        picked = []
        for rows in context.work.pieces("order", key, ["partition", "rank", "index"]):
            counts.update(rows.column("partition").to_pylist())
            picked.append(rows.filter(pc.less(rows.column("rank"), most)))
        partition, rank, index = (pa.concat_tables(picked).column(number).to_numpy() for number in range(3))
        order = np.lexsort((rank, partition))
        partition, index = partition[order], index[order]

        def best(number: int, most: int) -> np.ndarray:
            # No more than it has: behind them stand those of the next one.
            return index[np.searchsorted(partition, number) :][: min(most, counts[number])]

        yield counts, best
    if options.importances:
        # A radius and its disparity-min rank alike; of others the first.
        bases = [importance.base for importance in options.importances]
        base = "radius" if "radius" in bases else bases[0]
        parts = buckets.of_partitions()
        yield by_partition(buckets.rows), lambda number, most: best_ranked(context, base, parts[number], most)


def _suspects(context: CommitContext, evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """The surest suspects, as lists of them begin, and their neighbours; and more suspects, by hash."""
    own, _, neighbours, cosines = evidence.suspects
    rows, owner = np.unique(own, return_inverse=True)
    if not len(rows):
        return rows, rows
    if context.found.sections["neighbours"]["agreement"]["kind"] == "number":
        assert context.found.agreement is not None
        order = np.argsort(-np.abs(context.found.agreement[rows]), kind="stable")
    else:
        labels, share = _partitions_of(context, neighbours), np.empty(len(rows))
        for start in range(0, len(rows), LABELLED):
            stop = min(start + LABELLED, len(rows))
            theirs = slice(*np.searchsorted(owner, [start, stop]))
            share[start:stop] = neighbours_label(owner[theirs] - start, labels[theirs])[1]
        order = surest(share, np.bincount(owner, cosines) / np.bincount(owner))
    first = rows[order[:SHOWN_SUSPECTS]]
    more = rows[np.argsort(mix(rows.astype(np.uint64), 6), kind="stable")[:SUSPECTS]]
    return np.concatenate([first, neighbours[np.isin(own, first)]]), more


def _partitions_of(context: CommitContext, positions: np.ndarray) -> np.ndarray:
    """The (m,) int64 partitions of rows, read group by group."""
    order = np.argsort(positions)
    found, first, done = np.empty(len(order), np.int64), 0, 0
    for group in context.groups:
        partitions = read_partitions(context.work, group)[1]
        stop = int(np.searchsorted(positions, first + len(partitions), sorter=order))
        places = order[done:stop]
        found[places] = partitions[positions[places] - first]
        first, done = first + len(partitions), stop
    return found


def _copies(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first rows of some groups, and more near-duplicates; `groups` are (n,) positions."""
    repeated = repeated_groups(groups)
    firsts = repeated.firsts
    largest = firsts[np.argsort(-repeated.sizes, kind="stable")[: GROUPS // 2]]
    hashes = mix(firsts.astype(np.uint64), 7)
    chosen = np.union1d(largest, firsts[np.argsort(hashes, kind="stable")][: GROUPS - len(largest)])
    copies = np.flatnonzero(repeated.members)
    order = np.argsort(groups[copies], kind="stable")
    copies = copies[order]
    place = np.arange(len(copies)) - np.searchsorted(groups[copies], groups[copies])
    members = copies[np.isin(groups[copies], chosen) & (place < MEMBERS)]
    more = copies[np.argsort(mix(copies.astype(np.uint64), 6), kind="stable")[:COPIES]]
    return members, more


def _distinct(parts: list[np.ndarray]) -> np.ndarray:
    return np.unique(np.concatenate([np.empty(0, np.int64), *parts]))
