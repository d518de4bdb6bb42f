"""Test data beside the training data: which of its rows have a near-duplicate among the examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
import numpy as np

from syllabus.pipeline.errors import UserError, naming
from syllabus.pipeline.options import Options
from syllabus.pipeline.runtime.metrics import busy
from syllabus.pipeline.stages.census import read_rows, take_census
from syllabus.pipeline.stages.neighbours.vectors import Block, Vectors, Wanted, vectors_of_plan
from syllabus.pipeline.stages.plan import Plan, make_plan
from syllabus.pipeline.stages.transform import Transform
from syllabus.pipeline.work_directory import Work
from syllabus.selectors.neighbours import ROUNDING, Queries, TopK, search
from syllabus.selectors.numerics.union_find import UnionFind

BLOCK_ROWS = 65_536
QUERY_ROWS = 8192
SHOWN_PAIRS = 20


def plan_holdout(options: Options, dimension: int) -> Plan:
    """Return the plan of the test data: its contents in the same column, whatever else its rows have.

    Raises:
      UserError: a mistake in the test data, or vectors of another width than `dimension`, the examples'.
    """
    assert options.holdout is not None
    unread = {"label": None, "id": None, "weight": None, "bins": None, "where": ()}
    with naming("holdout"):
        plan = make_plan(options.model_copy(update={"source": options.holdout, **unread}))
    width = plan.identity.dimension
    if width != dimension:
        raise UserError(f"holdout {options.holdout}: vectors have {width} values; the data have {dimension}")
    return replace(plan, units=tuple(unit for unit in plan.units if unit.unit.rows))


@dataclass(frozen=True)
class Holdout:
    """The test data, and the examples that it is compared with; of each row the nearest is wanted."""

    tested: Vectors
    plan: Plan
    wanted: Wanted

    def blocks(self) -> list[Block]:
        """Return the blocks of examples that one worker compares with all test rows."""
        return [block for block in self.wanted.vectors.blocks(BLOCK_ROWS) if block.rows]

    def key(self, block: Block) -> str:
        """Return the key of what is found in a block."""
        return self.wanted.key("holdout", tested=self.tested.digest, first=block.first, rows=BLOCK_ROWS)

    def section(self, index: np.ndarray) -> dict[str, Any]:
        """Return the section of manifest.json, from the shards of all blocks; `index` of each position."""
        nearest = TopK.empty(self.tested.n, 1)
        for block in self.blocks():
            nearest.merge(*self.wanted.read(self.key(block)))
        found = np.flatnonzero(nearest.cosines[:, 0] >= self.wanted.threshold - ROUNDING)
        pairs = [
            {**self._place(int(row)), "index": index[nearest.ids[row, 0]], "cosine": nearest.cosines[row, 0]}
            for row in found[:SHOWN_PAIRS]
        ]
        return {
            "rows": self.tested.n,
            "threshold": self.wanted.threshold,
            "near_duplicates": len(found),
            "share": len(found) / self.tested.n,
            "pairs": pairs,
        }

    def _place(self, position: int) -> dict[str, Any]:
        """Where a test row comes from."""
        first = np.cumsum([0, *self.tested.accepted])
        number = int(np.searchsorted(first, position, side="right")) - 1
        planned = self.tested.units[number]
        duplicates = np.array(self.tested.duplicates, np.int64)
        accepted = read_rows(self.tested.columns, self.tested.work, planned, duplicates).accepted
        row = np.flatnonzero(accepted)[position - first[number]]
        unit = planned.unit
        return {"source_file": unit.source_files()[row], "source_row": unit.source_rows()[row]}


def make_holdout(options: Options, plan: Plan, vectors: Vectors, transform: Transform, work: Work) -> Holdout:
    """Return the comparison, once the test data are embedded."""
    census = take_census(plan, None, work)
    if census.accepted == 0:
        raise UserError(f"holdout {options.holdout}: none of its {plan.source_rows:,} rows could be embedded")
    tested = vectors_of_plan(options, plan, census, transform, work)
    return Holdout(tested, plan, Wanted(vectors, 1, options.duplicate_threshold))


class CompareHoldout(beam.DoFn):
    """Compares a block of examples with all test rows; what it finds is in the work directory."""

    def __init__(self, holdout: Holdout) -> None:
        self.holdout = holdout

    def process(self, block: Block) -> Iterator[None]:
        """Write the block's shard unless it is there."""
        holdout, key = self.holdout, self.holdout.key(block)
        if not holdout.wanted.vectors.work.has("neighbours", key):
            device = holdout.wanted.vectors.prepare_worker()
            with busy("holdout"):
                rows = holdout.wanted.vectors.read(block)
                positions = np.arange(block.first, block.first + block.rows)
                nearest = TopK.empty(holdout.tested.n, 1)
                for tested in holdout.tested.blocks(QUERY_ROWS):
                    at = slice(tested.first, tested.first + tested.rows)
                    # Below 0: no test row is an example.
                    names = -1 - np.arange(at.start, at.stop)
                    found = TopK(nearest.ids[at], nearest.cosines[at])
                    queries = Queries(holdout.tested.read(tested), names, found)
                    search(queries, rows, positions, np.inf, UnionFind(0), device)
                holdout.wanted.write(key, np.arange(holdout.tested.n), nearest, UnionFind(0))
        yield from ()
