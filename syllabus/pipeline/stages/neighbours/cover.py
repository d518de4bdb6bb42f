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
from syllabus.pipeline.stages.transform import mix
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
class Members:
    """Rows that may stand for one another: by position, ascending, with a number for each group and label."""

    positions: np.ndarray
    """(m,) int64"""
    keys: np.ndarray
    """(m,) int64"""


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

    def covers(self) -> list[np.ndarray]:
        """Return, for each threshold, the (n,) position of the row that stands for each; its own if kept."""
        found = [np.arange(self.knn.vectors.n) for _ in self.thresholds]
        for bundle in self.bundles:
            rows = self.knn.vectors.work.read("cover", self.bundle_key(bundle))
            for number, covers in enumerate(found):
                covers[bundle.positions] = rows.column(f"cover_{number}").to_numpy()
        return found

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
      groups: (n,) int64, the first position of each row's duplicate group.
      labels: (n,) int64; rows of two are not compared.
      excluded: (n,) bool, rows that stand for no other, and for which none stands.
      dimension: of the embeddings.
    """
    n, sizes = len(groups), np.bincount(groups, minlength=len(groups))
    rows = np.flatnonzero((sizes[groups] > 1) & ~excluded)
    keys = np.unique(groups[rows] * (int(labels.max()) + 1) + labels[rows], return_inverse=True)[1]
    counts = np.bincount(keys)
    most = min(LARGEST_ROWS, max(1, LARGEST_VALUES // dimension))
    compared = (counts[keys] > 1) & (counts[keys] <= most)
    drawn = np.argsort(mix(np.arange(n, dtype=np.uint64), 2), kind="stable")[:SAMPLE]
    return Cover(
        knn,
        thresholds,
        tuple(_bundles(rows[compared], keys[compared], counts, most)),
        drawn,
        tuple(_spread(np.flatnonzero(groups == first)) for first in largest_groups(sizes)),
        int((counts[keys] > most).sum()),
    )


def largest_groups(sizes: np.ndarray) -> list[int]:
    """Return the first positions of the largest groups of two or more, of (n,) sizes at these positions."""
    first = np.argsort(-sizes, kind="stable")[:SHOWN_GROUPS]
    return [int(each) for each in first if sizes[each] > 1]


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
        tables = {cover.bundle_key(each): _table(each.positions, each.keys) for each in cover.bundles}
        parts = [cover.sample, *cover.largest]
        numbers = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        tables[cover.figures_key()] = _table(np.concatenate(parts), numbers)
        missing = [key for key in tables if not work.has("cover", key)]
        for key in missing:
            work.write("cover", f"p{key}", tables[key])
        elements = [(key, key == cover.figures_key()) for key in missing]
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
    return pa.table({"position": pa.array(positions, pa.int64()), "key": pa.array(keys, pa.int64())})
