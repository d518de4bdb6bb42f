"""The rows of the preview: those that a report shows, and for the rest a draw by hash.

Picks, suspects and near-duplicates are few of many examples, so a draw would miss them. They are taken first,
up to bounds that leave most of the preview to the draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from syllabus.manifests import neighbours_label, surest
from syllabus.pipeline.stages.commit.context import Buckets, CommitContext
from syllabus.pipeline.stages.commit.importances import merged_ranking
from syllabus.pipeline.stages.neighbours.evidence import Evidence
from syllabus.pipeline.stages.regroup.buckets import by_partition, read_partitions
from syllabus.pipeline.stages.transform import mix

ROWS = 20_000
CLASSES, EXTREMES = 30, 10
"""Largest partitions of which the easiest and the hardest rows are taken."""
PICKS = 2500
"""Rows of the first subset, and of an importance, the best of each partition."""
SUSPECTS, SHOWN_SUSPECTS = 2000, 50
"""Suspects, and those of them whose neighbours are taken: the surest."""
GROUPS, MEMBERS = 40, 6
"""Duplicate groups, half of them the largest, and rows of each."""
COPIES, TESTED = 2000, 200
"""Other near-duplicates, and examples that are near to a test row."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """Rows as ascending positions among the accepted ones."""

    positions: np.ndarray
    """(m,) int64"""
    drawn: np.ndarray
    """(m,) bool, those that the draw alone would have taken"""
    priority: np.ndarray
    """(m,) places in `positions`: what is shown with its content comes first"""


def choose_rows(context: CommitContext, buckets: Buckets, index: np.ndarray) -> Chosen:
    """Return the rows of a preview; `index` is (n,) of all accepted rows.

    Memory: 24 bytes an example.
    """
    n = len(index)
    hashes = mix(index.astype(np.uint64), 5)
    first, more = _of_report(context, buckets, index)
    shown = _distinct(first)
    wanted = _distinct([shown, *more])
    drawn = np.zeros(n, np.bool_)
    if n <= ROWS:
        drawn[:] = True
    else:
        drawn[np.argpartition(hashes, ROWS - len(wanted) - 1)[: ROWS - len(wanted)]] = True
    taken = drawn.copy()
    taken[wanted] = True
    positions = np.flatnonzero(taken)
    by_hash = np.argsort(hashes[positions], kind="stable")
    places = np.searchsorted(positions, shown)
    rest = by_hash[~np.isin(by_hash, places)]
    return Chosen(positions, drawn[positions], np.concatenate([places, rest]))


def _of_report(
    context: CommitContext, buckets: Buckets, index: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The positions of rows that a report shows with their content, and of those that it marks on its map."""
    shown: list[np.ndarray] = []
    marked: list[np.ndarray] = []
    sizes = by_partition(buckets.rows)
    for ranked in _ranked(context, buckets):
        total = sum(map(len, ranked.values()))
        largest = sorted(ranked, key=lambda partition: (-sizes[partition], partition))
        shown += [np.searchsorted(index, ranked[partition][:EXTREMES]) for partition in largest[:CLASSES]]
        marked += [
            np.searchsorted(index, rows[: PICKS * len(rows) // max(total, PICKS)]) for rows in ranked.values()
        ]
    found = context.found
    if found.evidence is not None and found.groups is not None:
        nearest, suspects = _suspects(context, found.evidence)
        shown.append(nearest)
        marked.append(suspects)
        groups, copies = _copies(np.searchsorted(index, found.groups))
        shown.append(groups)
        marked.append(copies)
    if found.holdout is not None:
        shown.append(np.searchsorted(index, found.holdout.index[:TESTED]))
    return shown, marked


def _ranked(context: CommitContext, buckets: Buckets) -> list[dict[int, np.ndarray]]:
    """The indices of each partition as the first subset ranks them, and as an importance does."""
    found = []
    options = context.options
    if options.subset_count:
        rows = context.work.read("order", context.ordering.subset_key(len(options.fraction) - 1, 0))
        partition, rank, picked = (rows.column(name).to_numpy() for name in ("partition", "rank", "index"))
        order = np.lexsort((rank, partition))
        numbers, firsts = np.unique(partition[order], return_index=True)
        found.append(dict(zip(numbers.tolist(), np.split(picked[order], firsts[1:]), strict=True)))
    if options.importances:
        # A radius and its disparity-min rank alike; of others the first.
        bases = [importance.base for importance in options.importances]
        base = "radius" if "radius" in bases else bases[0]
        found.append(
            {
                partition: merged_ranking(context, base, parts)[0]
                for partition, parts in buckets.of_partitions().items()
            }
        )
    return found


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
        labels = np.concatenate([read_partitions(context.work, group)[1] for group in context.groups])
        share = neighbours_label(owner, labels[neighbours].astype(np.int64))[1]
        order = surest(share, np.bincount(owner, cosines) / np.bincount(owner))
    first = rows[order[:SHOWN_SUSPECTS]]
    more = rows[np.argsort(mix(rows.astype(np.uint64), 6), kind="stable")[:SUSPECTS]]
    return np.concatenate([first, neighbours[np.isin(own, first)]]), more


def _copies(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first rows of some groups, and more near-duplicates; `groups` are (n,) positions."""
    sizes = np.bincount(groups, minlength=len(groups))
    firsts = np.flatnonzero(sizes > 1)
    largest = firsts[np.argsort(-sizes[firsts], kind="stable")][: GROUPS // 2]
    hashes = mix(firsts.astype(np.uint64), 7)
    chosen = np.union1d(largest, firsts[np.argsort(hashes, kind="stable")][: GROUPS - len(largest)])
    copies = np.flatnonzero(sizes[groups] > 1)
    order = np.argsort(groups[copies], kind="stable")
    copies = copies[order]
    place = np.arange(len(copies)) - np.searchsorted(groups[copies], groups[copies])
    members = copies[np.isin(groups[copies], chosen) & (place < MEMBERS)]
    more = copies[np.argsort(mix(copies.astype(np.uint64), 6), kind="stable")[:COPIES]]
    return members, more


def _distinct(parts: list[np.ndarray]) -> np.ndarray:
    return np.unique(np.concatenate([np.empty(0, np.int64), *parts]))
