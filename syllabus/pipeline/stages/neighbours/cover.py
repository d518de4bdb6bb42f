"""The cover: which example stands for each near-duplicate, and whether near-duplicates are copies at all.

Groups are joined transitively; a cover leaves a row out only where one that is kept is within the threshold.
Pairs with two labels are not compared, and rows that agree with no neighbour stand for nobody. A bundle is a
shard of its own; what it finds does not depend on what else is in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import pyarrow as pa

from syllabus.pipeline.runtime.for_each import ForEach
from syllabus.pipeline.runtime.metrics import count_time
from syllabus.pipeline.stages.neighbours.vectors import NeighbourSearch
from syllabus.pipeline.stages.transform import DRAWN_ROWS, drawn
from syllabus.selectors.neighbours import greedy_cover, least_cosine, pair_cosines

LARGEST_ROWS, LARGEST_VALUES = 262_144, 1 << 28
"""Rows of a group and label that are compared: two minutes at 384 dimensions, and 1 GiB."""
BUNDLE_PAIRS = 2 * 10**10
"""Pairs that one worker compares at most, unless a single group has more: 40 s at 384 dimensions."""
SAMPLE, PAIRS = 4096, 65_536
"""Rows that random pairs are made of, and how many."""
SHOWN_GROUPS, SHOWN_ROWS = 3, 1000
"""Largest groups, and rows of each, of which the least cosine is computed."""


@dataclass(frozen=True, eq=False)
class Repeated:
    """The duplicate groups of two or more rows."""

    firsts: np.ndarray
    """(g,) their first positions, ascending"""
    sizes: np.ndarray
    """(g,) int64"""
    members: np.ndarray
    """(n,) bool, the rows that are in any of them"""

    def largest(self) -> list[int]:
        """Return the first positions of the largest."""
        return [int(each) for each in self.firsts[np.argsort(-self.sizes, kind="stable")[:SHOWN_GROUPS]]]


def repeated_groups(groups: np.ndarray) -> Repeated:
    """Return the groups of two or more; memory beside (n,) `groups`: one byte a row, 12 a near-duplicate."""
    members = np.empty(len(groups), np.bool_)
    for first in range(0, len(groups), DRAWN_ROWS):
        piece = groups[first : first + DRAWN_ROWS]
        members[first : first + DRAWN_ROWS] = piece != np.arange(first, first + len(piece))
    firsts, others = np.unique(groups[members], return_counts=True)
    members[firsts] = True
    return Repeated(firsts, others + 1, members)


@dataclass(frozen=True, eq=False)
class Members:
    """Rows that may stand for one another: by position, ascending, with a number for each group and label."""

    positions: np.ndarray
    """(m,)"""
    keys: np.ndarray
    """(m,)"""


@dataclass(frozen=True, eq=False)
class Cover:
    """The elements of work of a cover at some thresholds, and what is found."""

    knn: NeighbourSearch
    thresholds: tuple[float, ...]
    bundles: tuple[Members, ...]
    sample: np.ndarray
    """(s,) positions of the rows that random pairs are made of, in the order of the draw."""
    largest: tuple[np.ndarray, ...]
    """Positions of rows of each of the largest groups, ascending."""
    not_compared: int
    """Rows of groups too large."""

    def bundle_key(self, bundle: Members) -> str:
        """Return the key of a bundle's cover."""
        members = _digest(bundle.positions, bundle.keys)
        return self.knn.key("cover", thresholds=list(self.thresholds), members=members)

    def figures_key(self) -> str:
        """Return the key of the cosines of random pairs and inside the largest groups."""
        return self.knn.key("cover", sample=_digest(self.sample, *self.largest), pairs=PAIRS)

    def keys(self) -> list[str]:
        """Return the keys of all that is found."""
        return [self.figures_key(), *map(self.bundle_key, self.bundles)]

    def covers(self, number: int) -> np.ndarray:
        """Return, for a threshold, the (n,) position of the row that stands for each; its own if kept."""
        n = self.knn.vectors.n
        covers = np.arange(n, dtype=np.int32 if n < 2**31 else np.int64)
        for bundle in self.bundles:
            rows = self.knn.vectors.work.read("cover", self.bundle_key(bundle), [f"cover_{number}"])
            covers[bundle.positions] = rows.column(0).to_numpy()
        return covers

    def random(self) -> np.ndarray:
        """Return the (m,) float64 cosines of random pairs."""
        return self.knn.vectors.work.read("cover", self.figures_key()).column("cosine").to_numpy()

    def least(self) -> list[float]:
        """Return the least cosine inside each of the largest groups."""
        return list(self.knn.vectors.work.metadata("cover", self.figures_key())["least"])


def plan_cover(
    knn: NeighbourSearch,
    thresholds: tuple[float, ...],
    groups: np.ndarray,
    labels: np.ndarray,
    excluded: np.ndarray,
    dimension: int,
) -> Cover:
    """Return the cover, still to be computed.

    Args:
      knn: the search that the groups are of.
      thresholds: at least that of `knn`.
      groups: (n,) the first position of each row's duplicate group.
      labels: (n,) whole numbers; rows of two are not compared.
      excluded: (n,) bool, rows that stand for no other, and for which none stands.
      dimension: of the embeddings.
    """
    repeated = repeated_groups(groups)
    rows = np.flatnonzero(repeated.members & ~excluded).astype(groups.dtype)
    keys = _numbered(groups[rows], labels[rows])
    counts = np.bincount(keys)
    most = min(LARGEST_ROWS, max(1, LARGEST_VALUES // dimension))
    compared = (counts[keys] > 1) & (counts[keys] <= most)
    return Cover(
        knn,
        thresholds,
        tuple(_bundles(rows[compared], keys[compared], counts, most)),
        drawn(len(groups), SAMPLE, 2),
        tuple(_spread(np.flatnonzero(groups == first)) for first in repeated.largest()),
        int((counts[keys] > most).sum()),
    )


def _numbered(groups: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Number the pairs of a group and a label that there are, in their order; (m,) of the groups' type."""
    order = np.lexsort((labels, groups))
    changes = np.zeros(len(order), np.bool_)
    for values in (groups, labels):
        changes[1:] |= values[order[1:]] != values[order[:-1]]
    numbers = np.empty_like(groups)
    numbers[order] = np.cumsum(changes, dtype=groups.dtype)
    return numbers


def _bundles(rows: np.ndarray, keys: np.ndarray, counts: np.ndarray, most: int) -> Iterator[Members]:
    """Cut the rows into bundles of whole groups."""
    held: list[int] = []
    total = pairs = 0
    bundle_of = np.full(len(counts), -1)
    bundles = 0
    for key in np.unique(keys).tolist():
        size = int(counts[key])
        if held and (total + size > most or pairs + size**2 > BUNDLE_PAIRS):
            held, total, pairs, bundles = [], 0, 0, bundles + 1
        held.append(key)
        bundle_of[key] = bundles
        total, pairs = total + size, pairs + size**2
    numbers = bundle_of[keys]
    for number in range(bundles + bool(held)):
        mine = numbers == number
        yield Members(rows[mine], keys[mine])


def _spread(members: np.ndarray) -> np.ndarray:
    """At most `SHOWN_ROWS` of the members, the first and the last among them."""
    return members[np.linspace(0, len(members) - 1, min(SHOWN_ROWS, len(members))).astype(int)]


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(len(array).to_bytes(8, "little"))
        digest.update(array.astype("<i8").tobytes())
    return digest.hexdigest()


class CoverGroups(ForEach):
    """Covers the rows of each bundle; what is already in the work directory is passed over.

    The rows of an element are a shard too: a pipeline does not hold them.
    """

    def __init__(self, cover: Cover) -> None:
        work = cover.knn.vectors.work
        parts = [cover.sample, *cover.largest]
        numbers = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        figures = Members(np.concatenate(parts), numbers)
        elements = []
        for key, members in zip(cover.keys(), [figures, *cover.bundles], strict=True):
            if not work.has("cover", key):
                work.write("cover", f"p{key}", _table(members.positions, members.keys))
                elements.append((key, members is figures))
        super().__init__(elements, CoverBundle(cover.knn, cover.thresholds))


class CoverBundle(beam.DoFn):
    """Covers the rows of one bundle, or computes the figures; what it finds is in the work directory."""

    def __init__(self, knn: NeighbourSearch, thresholds: tuple[float, ...]) -> None:
        self.knn, self.thresholds = knn, thresholds

    def process(self, element: tuple[str, bool]) -> Iterator[None]:
        """Write the bundle's shard unless it is there."""
        key, figures = element
        work = self.knn.vectors.work
        if not work.has("cover", key):
            self.knn.vectors.prepare_worker()
            with count_time("cover"):
                plan = work.read("cover", f"p{key}")
                positions, numbers = (plan.column(name).to_numpy() for name in ("position", "key"))
                (self._figures if figures else self._cover)(key, positions, numbers)
        yield from ()

    def _cover(self, key: str, positions: np.ndarray, keys: np.ndarray) -> None:
        rows = self.knn.vectors.at(positions)
        columns = {
            f"cover_{number}": positions[greedy_cover(rows, keys, threshold)]
            for number, threshold in enumerate(self.thresholds)
        }
        self.knn.vectors.work.write("cover", key, pa.table(columns))

    def _figures(self, key: str, positions: np.ndarray, parts: np.ndarray) -> None:
        wanted, places = np.unique(positions, return_inverse=True)
        rows = self.knn.vectors.at(wanted)
        sample = places[parts == 0]
        # Of a shuffled sample: each row with the next one, with the next but one, and so on.
        count = len(sample)
        pair = np.arange(min(PAIRS, count * max(1, (count - 1) // 2)) if count > 1 else 0)
        second = (pair + 1 + pair // max(count, 1)) % max(count, 1)
        random = pair_cosines(rows, sample[pair % max(count, 1)], sample[second])
        numbers = range(1, int(parts.max()) + 1)
        least = [max(least_cosine(rows[places[parts == number]]), -1.0) for number in numbers]
        self.knn.vectors.work.write("cover", key, pa.table({"cosine": random}), {"least": least})


def _table(positions: np.ndarray, keys: np.ndarray) -> pa.Table:
    return pa.table({"position": positions.astype(np.int64), "key": keys.astype(np.int64)})
