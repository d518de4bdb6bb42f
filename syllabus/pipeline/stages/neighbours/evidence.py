"""The evidence of the findings: the neighbours of suspects, and the pairs that near-duplicates make.

Both are bounded whatever the data: what is left out is drawn by a hash, and counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from syllabus.pipeline.stages.neighbours.cover import Repeated, repeated_groups
from syllabus.pipeline.stages.neighbours.stage import NeighbourGraph
from syllabus.pipeline.stages.transform import mix

MOST_SUSPECTS = 100_000
FAR = 3.0
"""Standard deviations from the neighbours' mean from which a number is a suspect."""
MOST_COPIES, MOST_OF_GROUP = 100_000, 100
"""Near-duplicates that pairs are listed of, in all and of one group."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Pairs of positions among the accepted rows, as (m,) arrays."""

    suspects: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    """Suspect, rank of the neighbour, neighbour, cosine; sorted by the first two."""
    suspects_found: int
    copies: tuple[np.ndarray, np.ndarray, np.ndarray]
    """Two rows of a group, the smaller first, and their cosine; sorted. Only pairs of near neighbours."""
    groups_found: int


def gather_evidence(
    graph: NeighbourGraph, groups: np.ndarray, agreement: np.ndarray | None, kind: str | None
) -> Evidence:
    """Return the evidence of a searched graph.

    Args:
      graph: of the examples.
      groups: (n,) the first position of each row's duplicate group.
      agreement: (n,) float32; None without labels.
      kind: of the labels; None without.
    """
    suspect = np.zeros(len(groups), np.bool_)
    if agreement is not None:
        suspect = np.abs(agreement) >= FAR if kind == "number" else agreement == 0
    suspects_found = int(suspect.sum())
    suspects = _drawn(np.flatnonzero(suspect).astype(groups.dtype), MOST_SUSPECTS)
    suspect[:] = False
    suspect[suspects] = True
    repeated = repeated_groups(groups)
    listed = _listed(groups, repeated)
    near = np.full((len(suspects), graph.knn.k), -1, groups.dtype)
    nearness = np.empty(near.shape)
    of_copies = []
    for positions, nearest in graph.found():
        rows = np.flatnonzero(suspect[positions])
        places = np.searchsorted(suspects, positions[rows])
        near[places], nearness[places] = nearest.ids[rows], nearest.cosines[rows]
        rows = np.flatnonzero(listed[positions])
        place, rank = np.nonzero(nearest.ids[rows] >= 0)
        own, ids = positions[rows[place]], nearest.ids[rows[place], rank]
        chosen = listed[ids] & (groups[own] == groups[ids])
        pair = (np.minimum(own, ids)[chosen], np.maximum(own, ids)[chosen])
        of_copies.append((*pair, nearest.cosines[rows[place], rank][chosen]))
    there = near >= 0
    ranks = np.broadcast_to(np.arange(graph.knn.k, dtype=np.int32), there.shape)
    own = np.repeat(suspects, there.sum(axis=1))
    of_suspects = own, ranks[there], near[there], nearness[there]
    return Evidence(of_suspects, suspects_found, _without_repeats(of_copies), len(repeated.firsts))


def _drawn(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the rows, by a hash of each; ascending."""
    if len(rows) <= most:
        return rows
    return np.sort(rows[np.argsort(mix(rows.astype(np.uint64), 3), kind="stable")[:most]])


def _listed(groups: np.ndarray, repeated: Repeated) -> np.ndarray:
    """The (n,) mask of the near-duplicates that pairs are listed of: whole groups, or the first of them."""
    order = np.argsort(mix(repeated.firsts.astype(np.uint64), 4), kind="stable")
    held = np.minimum(repeated.sizes[order], MOST_OF_GROUP)
    kept = np.zeros(len(groups), np.bool_)
    kept[repeated.firsts[order[np.cumsum(held) <= MOST_COPIES]]] = True
    rows = np.flatnonzero(kept[groups])
    rows = rows[np.argsort(groups[rows], kind="stable")]
    ranked = groups[rows]
    place = np.arange(len(rows)) - np.searchsorted(ranked, ranked)
    listed = np.zeros(len(groups), np.bool_)
    listed[rows[place < MOST_OF_GROUP]] = True
    return listed


def _without_repeats(parts: list[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs once each, though both of two rows may have found the other."""
    one, other, cosines = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((other, one))
    one, other, cosines = one[order], other[order], cosines[order]
    new = np.append(True, (one[1:] != one[:-1]) | (other[1:] != other[:-1]))[: len(one)]
    return one[new], other[new], cosines[new]
