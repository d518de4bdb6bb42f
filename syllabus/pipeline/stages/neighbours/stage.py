"""The neighbours stage: the graph of nearest neighbours, by an exact or an approximate search."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
import numpy as np

from syllabus.pipeline.errors import JobError, UserError
from syllabus.pipeline.options import Options
from syllabus.pipeline.runtime.for_each import ForEach
from syllabus.pipeline.stages.neighbours import all_pairs
from syllabus.pipeline.stages.neighbours.coarse_quantizer import fit_quantizer, is_limited
from syllabus.pipeline.stages.neighbours.holdout import CompareHoldout, Holdout
from syllabus.pipeline.stages.neighbours.inverted_lists import InvertedLists, SearchInvertedLists
from syllabus.pipeline.stages.neighbours.truncated import copies_of_cut
from syllabus.pipeline.stages.neighbours.vectors import NeighbourSearch
from syllabus.selectors.neighbours import TopK
from syllabus.selectors.numerics.union_find import UnionFind

EXACT_ROWS = 100_000
"""Above it inverted lists: on a core all pairs of 100,000 × 384 take 72 s, lists 38; of 200,000 290, 50."""
LEAST_RECALL = 0.95
PIECE_ROWS = 16_384
"""Rows whose neighbours are looked at at once: what is made of them takes some hundred bytes a row."""


@dataclass(frozen=True)
class NeighbourGraph:
    """The k-nearest-neighbour graph of all examples, by pairs of blocks or, with `lists`, approximate."""

    knn: NeighbourSearch
    lists: InvertedLists | None

    def keys(self) -> list[str]:
        """Return the keys of all that is found."""
        if self.lists is None:
            return [all_pairs.part_key(self.knn, part) for part in all_pairs.parts(self.knn)]
        return [self.lists.group_key(group) for group in self.lists.groups()]

    def measuring_keys(self) -> list[str]:
        """Return the keys of what the recall is measured by."""
        return [] if self.lists is None else [self.lists.truth_key(block) for block in self.lists.blocks()]

    def found(self) -> Iterator[tuple[np.ndarray, TopK]]:
        """Yield (positions, their nearest), every position once, a few at a time.

        Raises:
          JobError: some position is missing, and no search that is wider would find it.
        """
        if self.lists is not None:
            count = 0
            for key in self.keys():
                positions, nearest = self.knn.read(key)
                count += len(positions)
                yield from _pieces(positions, nearest)
            if count != self.knn.vectors.n:
                raise self.mixed_up(f"{count:,} of {self.knn.vectors.n:,} rows were searched for")
            return
        nearest = TopK.empty(self.knn.vectors.n, self.knn.k)
        for key in self.keys():
            nearest.merge(*self.knn.read(key))
        yield from _pieces(np.arange(self.knn.vectors.n), nearest)

    def groups(self) -> np.ndarray:
        """Return the first position of each position's duplicate group, (n,)."""
        duplicates = UnionFind(self.knn.vectors.n)
        for key in self.keys():
            duplicates.union(*self.knn.read_duplicates(key))
        duplicates.union(*np.ascontiguousarray(copies_of_cut(self.knn.vectors).T))
        return duplicates.roots()

    def recall(self) -> float:
        """Return the share of the true neighbours of the measured rows that were found."""
        if self.lists is None:
            return 1.0
        queries = self.lists.coarse.queries
        truth = TopK.empty(len(queries), self.knn.k)
        for key in self.measuring_keys():
            truth.merge(np.arange(len(queries)), self.knn.read(key)[1])
        shared, total = 0, int((truth.ids >= 0).sum())
        for positions, nearest in self.found():
            _, measured, rows = np.intersect1d(queries, positions, return_indices=True)
            for true, own in zip(truth.ids[measured], nearest.ids[rows], strict=True):
                shared += len(np.intersect1d(true[true >= 0], own))
        return shared / total if total else 1.0

    def mixed_up(self, found: str) -> JobError:
        """Return the error of shards that cannot be of one search, though each is sound."""
        place = self.knn.vectors.work.store.url("neighbours")
        return JobError(f"{place}: {found}: there are shards of another search; delete the directory")

    def discard_routed(self) -> None:
        """Remove the vectors that the search wrote again: what was found is kept, and they are as many."""
        if self.lists is not None:
            routed = map(self.lists.list_shard_key, self.lists.blocks())
            for key in (*routed, *map(self.lists.joined_key, self.lists.groups())):
                self.knn.vectors.work.remove("cells", key)

    def as_section(self) -> dict[str, Any]:
        """Return what manifest.json says of the search."""
        known = {"k": self.knn.k, "method": "exact", "recall": 1.0}
        if self.lists is None:
            return known
        sizes = {"lists": len(self.lists.coarse.centroids), "probes": self.lists.coarse.probes}
        memory = {"memory_per_worker": self.knn.vectors.memory / 1e9} if is_limited(self.knn) else {}
        return {**known, "method": "ivf", "recall": self.recall(), **sizes, **memory}


def _pieces(positions: np.ndarray, nearest: TopK) -> Iterator[tuple[np.ndarray, TopK]]:
    for first in range(0, len(positions), PIECE_ROWS):
        rows = slice(first, first + PIECE_ROWS)
        yield positions[rows], TopK(nearest.ids[rows], nearest.cosines[rows])


def plan_graph(knn: NeighbourSearch) -> NeighbourGraph:
    """Return the graph, still to be searched for in the way that suits the number of examples."""
    exact = knn.vectors.n <= EXACT_ROWS
    return NeighbourGraph(knn, None if exact else InvertedLists(knn, *fit_quantizer(knn)))


def widened(graph: NeighbourGraph) -> NeighbourGraph | None:
    """Return the graph with twice the probes where too little was found; None where it is good enough.

    Raises:
      JobError: every list was probed, which finds all there is; so the search has no end but this.
    """
    if graph.lists is None or (recall := graph.recall()) >= LEAST_RECALL:
        return None
    coarse, every = graph.lists.coarse, len(graph.lists.coarse.centroids)
    if coarse.probes == every:
        raise graph.mixed_up(f"{recall:.0%} of the nearest were found in all {every:,} lists")
    probes = min(2 * coarse.probes, every)
    return replace(graph, lists=replace(graph.lists, coarse=replace(coarse, probes=probes)))


def keys(graph: NeighbourGraph | None, holdout: Holdout | None) -> list[str]:
    """Return the keys of all shards of the stage."""
    found = [] if graph is None else [*graph.keys(), *graph.measuring_keys()]
    return found if holdout is None else [*found, *map(holdout.key, holdout.blocks())]


def check_neighbours(options: Options, rows: int) -> None:
    """Refuse lists without faiss before anything is embedded: it is an extra of its own."""
    if options.neighbours and rows > EXACT_ROWS and importlib.util.find_spec("faiss") is None:
        raise UserError(
            f"neighbours={options.neighbours}: {rows:,} rows are searched by lists, and faiss is missing:"
            " pip install 'syllabus[cpu]' or 'syllabus[gpu]'; or --neighbours 0"
        )


class SearchNeighbours(beam.PTransform):
    """Searches the neighbours of all examples, and those of the test data among them."""

    def __init__(self, graph: NeighbourGraph | None, holdout: Holdout | None) -> None:
        super().__init__()
        self.searches: list[beam.PTransform] = []
        if graph is not None and graph.lists is not None:
            self.searches.append(SearchInvertedLists(graph.lists))
        elif graph is not None:
            pairs = ForEach(all_pairs.parts(graph.knn), all_pairs.SearchPairs(graph.knn))
            self.searches.append("All pairs" >> pairs)
        if holdout is not None:
            self.searches.append("Holdout" >> ForEach(holdout.blocks(), CompareHoldout(holdout)))

    def expand(self, pipeline: beam.Pipeline) -> list[beam.PCollection]:
        """Start each search from its own elements of work."""
        return [pipeline | search for search in self.searches]
