"""The neighbours stage: which search, its pipeline, and how good it was."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
import numpy as np

from syllabus.pipeline.errors import UserError
from syllabus.pipeline.options import Options
from syllabus.pipeline.stages.neighbours import all_pairs as exact
from syllabus.pipeline.stages.neighbours import inverted_lists as lists
from syllabus.pipeline.stages.neighbours.coarse_quantizer import fit_coarse
from syllabus.pipeline.stages.neighbours.holdout import CompareHoldout, Holdout
from syllabus.pipeline.stages.neighbours.vectors import Wanted
from syllabus.selectors.neighbours import TopK
from syllabus.selectors.numerics.union_find import UnionFind

EXACT_ROWS = 100_000
"""Above it coarse lists: on a core all pairs of 100,000 × 384 take 72 s to their 38, of 200,000 290 to 50."""
LEAST_RECALL = 0.95


@dataclass(frozen=True)
class Search:
    """A search for the neighbours of all examples, by pairs of blocks or, with `lists`, by coarse lists."""

    wanted: Wanted
    lists: lists.Lists | None

    def keys(self) -> list[str]:
        """Return the keys of all that is found."""
        if self.lists is None:
            return [exact.part_key(self.wanted, part) for part in exact.parts(self.wanted)]
        return [self.lists.bundle_key(bundle) for bundle in self.lists.bundles()]

    def measuring_keys(self) -> list[str]:
        """Return the keys of what the recall is measured by."""
        return [] if self.lists is None else [self.lists.truth_key(block) for block in self.lists.blocks()]

    def build(self, pipeline: beam.Pipeline) -> None:
        """Add the search to a pipeline; what is already in the work directory is passed over."""
        if self.lists is None:
            _ = (
                pipeline
                | "Pairs" >> beam.Create(exact.parts(self.wanted), reshuffle=False)
                | "Spread pairs" >> beam.Reshuffle()
                | "Search pairs" >> beam.ParDo(exact.SearchPairs(self.wanted))
            )
            return
        routed = (
            pipeline
            | "Blocks" >> beam.Create(self.lists.blocks(), reshuffle=False)
            | "Spread blocks" >> beam.Reshuffle()
            | "Route" >> beam.ParDo(lists.Route(self.lists))
        )
        _ = (
            pipeline
            | "Bundles" >> beam.Create(self.lists.bundles(), reshuffle=False)
            | "Spread bundles" >> beam.Reshuffle()
            # The side input is there once every block is routed.
            | "Search bundles" >> beam.ParDo(lists.SearchBundle(self.lists), beam.pvalue.AsList(routed))
        )

    def found(self) -> Iterator[tuple[np.ndarray, TopK]]:
        """Yield (positions, their nearest), every position once."""
        if self.lists is not None:
            yield from map(self.wanted.read, self.keys())
            return
        nearest = TopK.empty(self.wanted.vectors.n, self.wanted.k)
        for key in self.keys():
            nearest.merge(*self.wanted.read(key))
        yield np.arange(self.wanted.vectors.n), nearest

    def groups(self) -> np.ndarray:
        """Return the first position of each position's duplicate group, (n,) int64."""
        joins = UnionFind(self.wanted.vectors.n)
        for key in self.keys():
            joins.union(*self.wanted.read_joins(key))
        return joins.roots()

    def recall(self) -> float:
        """Return the share of the true neighbours of the measured rows that were found."""
        if self.lists is None:
            return 1.0
        queries = self.lists.coarse.queries
        truth = TopK.empty(len(queries), self.wanted.k)
        for key in self.measuring_keys():
            truth.merge(np.arange(len(queries)), self.wanted.read(key)[1])
        shared = total = 0
        for positions, nearest in self.found():
            _, measured, rows = np.intersect1d(queries, positions, return_indices=True)
            for true, own in zip(truth.ids[measured], nearest.ids[rows], strict=True):
                shared += len(np.intersect1d(true[true >= 0], own))
                total += int((true >= 0).sum())
        return shared / total if total else 1.0

    def described(self) -> dict[str, Any]:
        """Return what manifest.json says of the search."""
        known = {"k": self.wanted.k, "method": "exact", "recall": 1.0}
        if self.lists is None:
            return known
        sizes = {"lists": len(self.lists.coarse.centroids), "probes": self.lists.coarse.probes}
        return {**known, "method": "ivf", "recall": self.recall(), **sizes}


def make_search(wanted: Wanted) -> Search:
    """Return the search that suits the number of examples."""
    if wanted.vectors.n <= EXACT_ROWS:
        return Search(wanted, None)
    return Search(wanted, lists.Lists(wanted, *fit_coarse(wanted)))


def widened(search: Search) -> Search | None:
    """Return the search with twice the probes where it found too little; None where it is good enough."""
    if search.lists is None or search.recall() >= LEAST_RECALL:
        return None
    coarse = search.lists.coarse
    probes = min(2 * coarse.probes, len(coarse.centroids))
    return Search(
        search.wanted, lists.Lists(search.wanted, replace(coarse, probes=probes), search.lists.coarse_key)
    )


def keys(search: Search | None, holdout: Holdout | None) -> list[str]:
    """Return the keys of all shards of the stage."""
    found = [] if search is None else [*search.keys(), *search.measuring_keys()]
    return found if holdout is None else [*found, *map(holdout.key, holdout.blocks())]


def build(pipeline: beam.Pipeline, search: Search | None, holdout: Holdout | None) -> None:
    """Add the stage to a pipeline."""
    if search is not None:
        search.build(pipeline)
    if holdout is not None:
        _ = (
            pipeline
            | "Examples" >> beam.Create(holdout.blocks(), reshuffle=False)
            | "Spread examples" >> beam.Reshuffle()
            | "Compare" >> beam.ParDo(CompareHoldout(holdout))
        )


def check_neighbours(options: Options, rows: int) -> None:
    """Refuse lists without faiss before anything is embedded: it is an extra of its own."""
    if options.neighbours and rows > EXACT_ROWS and importlib.util.find_spec("faiss") is None:
        raise UserError(
            f"neighbours={options.neighbours}: {rows:,} rows are searched by lists, and faiss is missing:"
            " pip install 'syllabus[cpu]' or 'syllabus[gpu]'; or --neighbours 0"
        )
