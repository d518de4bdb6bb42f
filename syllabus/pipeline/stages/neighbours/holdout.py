"""The holdout: test data, of which some rows may have near-duplicates among the examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np

from syllabus.pipeline.errors import UserError
from syllabus.pipeline.options import Options
from syllabus.pipeline.runtime.metrics import count_time
from syllabus.pipeline.stages.census import take_census
from syllabus.pipeline.stages.neighbours.truncated import contents_of_cut, first_equal
from syllabus.pipeline.stages.neighbours.vectors import Block, NeighbourSearch, Vectors, vectors_of_plan
from syllabus.pipeline.stages.plan import Plan
from syllabus.pipeline.stages.transform import Transform
from syllabus.pipeline.work_directory import WorkDirectory
from syllabus.selectors.neighbours import ROUNDING, Queries, TopK, search
from syllabus.selectors.numerics.union_find import UnionFind

BLOCK_ROWS = 65_536
QUERY_ROWS = 8192
SHOWN_PAIRS = 20


@dataclass(frozen=True, eq=False)
class HoldoutPairs:
    """The test rows that are near-duplicates of examples, each with the nearest one."""

    plan: Plan
    """Of the test data."""
    tested: np.ndarray
    """(m,) int64, ascending numbers of rows of the test data, all of its files counted"""
    index: np.ndarray
    """(m,) int64, of the examples"""
    cosine: np.ndarray
    """(m,) float64"""

    def place(self, row: int) -> dict[str, Any]:
        """Source file and row of one of the test rows."""
        firsts = [planned.first_index for planned in self.plan.chunks]
        number = int(np.searchsorted(firsts, self.tested[row], side="right")) - 1
        inside, chunk = int(self.tested[row]) - firsts[number], self.plan.chunks[number].chunk
        return {"source_file": chunk.source_files()[inside], "source_row": chunk.source_rows()[inside]}


@dataclass(frozen=True)
class Holdout:
    """The test data, and the examples that it is compared with; of each row the nearest is searched."""

    tested: Vectors
    plan: Plan
    knn: NeighbourSearch
    truncated: int | None = None
    """Test rows whose text the encoder cut; None where it does not say."""

    def blocks(self) -> list[Block]:
        """Return the blocks of examples that one worker compares with all test rows."""
        return [block for block in self.knn.vectors.blocks(self._block_rows) if block.rows]

    @property
    def _block_rows(self) -> int:
        return self.knn.vectors.most_rows(BLOCK_ROWS)

    def key(self, block: Block) -> str:
        """Return the key of what is found in a block."""
        return self.knn.key("holdout", tested=self.tested.digest, first=block.first, rows=self._block_rows)

    def pairs(self, index: np.ndarray) -> HoldoutPairs:
        """Return the near-duplicates, from the shards of all blocks; `index` of each position."""
        nearest = TopK.empty(self.tested.n, 1)
        for block in self.blocks():
            nearest.merge(*self.knn.read(self.key(block), of=self.tested.n))
        self._add_copies_of_cut(nearest)
        found = np.flatnonzero(nearest.cosines[:, 0] >= self.knn.threshold - ROUNDING)
        rows = [each.index for each in self.tested.rows.all()]
        tested = np.concatenate(rows)[found] if len(found) else np.empty(0, np.int64)
        examples = index[nearest.ids[found, 0]].astype(np.int64)
        return HoldoutPairs(self.plan, tested, examples, nearest.cosines[found, 0])

    def section(self, found: HoldoutPairs) -> dict[str, Any]:
        """Return the section of manifest.json."""
        return {
            "rows": self.tested.n,
            "threshold": self.knn.threshold,
            "near_duplicates": len(found.tested),
            "share": len(found.tested) / self.tested.n,
            "pairs": [
                {**found.place(row), "index": found.index[row], "cosine": found.cosine[row]}
                for row in range(min(SHOWN_PAIRS, len(found.tested)))
            ],
            **({} if self.truncated is None else {"truncated": self.truncated}),
        }

    def _add_copies_of_cut(self, nearest: TopK) -> None:
        """Make the first example of the same content the nearest of a test row that was cut."""
        rows, tested = contents_of_cut(self.tested)
        positions, digests = contents_of_cut(self.knn.vectors)
        if len(rows) and len(positions):
            first = first_equal(np.concatenate([digests, tested]))[len(digests) :]
            same = first < len(digests)
            nearest.ids[rows[same], 0], nearest.cosines[rows[same], 0] = positions[first[same]], 1.0


def make_holdout(
    options: Options, plan: Plan, vectors: Vectors, transform: Transform, work: WorkDirectory
) -> Holdout:
    """Return the comparison, once the test data are embedded."""
    census = take_census(plan, None, work)
    if census.accepted == 0:
        raise UserError(f"holdout {options.holdout}: none of its {plan.source_rows:,} rows could be embedded")
    tested = vectors_of_plan(options, plan, census, transform, work)
    knn = NeighbourSearch(vectors, 1, options.duplicate_threshold)
    return Holdout(tested, plan, knn, census.truncated)


class CompareHoldout(beam.DoFn):
    """Compares a block of examples with all test rows; what it finds is in the work directory."""

    def __init__(self, holdout: Holdout) -> None:
        self.holdout = holdout

    def process(self, block: Block) -> Iterator[None]:
        """Write the block's shard unless it is there."""
        holdout, knn, key = self.holdout, self.holdout.knn, self.holdout.key(block)
        if not knn.vectors.work.has("neighbours", key):
            device = knn.vectors.prepare_worker()
            with count_time("holdout"):
                positions = np.arange(block.first, block.first + block.rows)
                whole = _whole(knn.vectors, positions)
                rows, positions = knn.vectors.read(block)[whole], positions[whole]
                nearest = TopK.empty(holdout.tested.n, 1)
                for tested in holdout.tested.blocks(QUERY_ROWS):
                    at = np.arange(tested.first, tested.first + tested.rows)
                    whole = _whole(holdout.tested, at)
                    at = at[whole]
                    found = TopK(nearest.ids[at], nearest.cosines[at])
                    # Below 0: no test row is an example.
                    queries = Queries(holdout.tested.read(tested)[whole], -1 - at, found)
                    search(queries, rows, positions, np.inf, UnionFind(0), device)
                    nearest.ids[at], nearest.cosines[at] = found.ids, found.cosines
                knn.write(key, np.arange(holdout.tested.n), nearest, UnionFind(0))
        yield from ()


def _whole(vectors: Vectors, positions: np.ndarray) -> slice | np.ndarray:
    """The places of the rows that were not cut: only they have near-duplicates by their vectors."""
    places, cut = vectors.whole_and_cut(positions)[0]
    return slice(0, 0) if cut else places
