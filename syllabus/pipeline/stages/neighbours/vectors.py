"""What a search for neighbours reads: the accepted rows' unit embeddings, in blocks of consecutive units.

Inside the stage an example goes by its position among the accepted rows, 0 … n − 1: labels, ids and seeds
have no part in it, so other choices of them find the same shards.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from syllabus.pipeline.options import Options
from syllabus.pipeline.runtime.devices import pick_device
from syllabus.pipeline.runtime.torch_setup import limit_threads
from syllabus.pipeline.sources import Columns
from syllabus.pipeline.stages.census import Census, read_rows
from syllabus.pipeline.stages.plan import Plan, PlannedUnit
from syllabus.pipeline.stages.transform import Transform
from syllabus.pipeline.work_directory import Work, digest_of, key_of, vectors_of
from syllabus.selectors.neighbours import TopK
from syllabus.selectors.numerics.union_find import UnionFind


@dataclass(frozen=True)
class Block:
    """Consecutive units with `rows` accepted rows, the first of them at position `first`."""

    units: tuple[PlannedUnit, ...]
    first: int
    rows: int


@dataclass(frozen=True)
class Vectors:
    """The accepted rows of a data set as unit embeddings, and how a worker gets at them."""

    columns: Columns
    units: tuple[PlannedUnit, ...]
    accepted: tuple[int, ...]
    """Accepted rows of each unit."""
    duplicates: tuple[int, ...]
    transform: Transform
    work: Work
    digest: str
    """Of all the vectors and their places."""
    threads: int
    device: str | None

    @property
    def n(self) -> int:
        """Accepted rows."""
        return sum(self.accepted)

    def blocks(self, rows: int) -> list[Block]:
        """Cut the units into blocks of at most `rows` accepted rows, or of one unit.

        Not of source rows: a filter that lets few of many through would make as many blocks as units.
        """
        blocks: list[Block] = []
        held: list[PlannedUnit] = []
        first = count = 0
        for planned, accepted in zip(self.units, self.accepted, strict=True):
            if held and count + accepted > rows:
                blocks.append(Block(tuple(held), first, count))
                held, first, count = [], first + count, 0
            held.append(planned)
            count += accepted
        return [*blocks, Block(tuple(held), first, count)]

    def read(self, block: Block) -> np.ndarray:
        """Return a block's (rows, D) float32 unit embeddings."""
        duplicates = np.array(self.duplicates, np.int64)
        parts = []
        for planned in block.units:
            accepted = read_rows(self.columns, self.work, planned, duplicates).accepted
            made = vectors_of(self.work.read("embed", planned.embed_key, ["vector"]).column("vector"))
            parts.append(self.transform.embed(made)[accepted])
        return np.ascontiguousarray(np.concatenate(parts))

    def prepare_worker(self) -> str:
        """Limit this thread's products; return the device that they run on."""
        limit_threads(self.threads)
        return pick_device(self.device)


def vectors_of_plan(
    options: Options, plan: Plan, census: Census, transform: Transform, work: Work
) -> Vectors:
    """Return the vectors of a plan's accepted rows; centroids, which cut partitions, have no part in them."""
    embedding = Transform(transform.mean, transform.components)
    parts = [embedding.mean, embedding.components]
    fitted = [hashlib.sha256(b"" if part is None else part.tobytes()).hexdigest() for part in parts]
    keys = [unit.embed_key for unit in plan.units]
    return Vectors(
        plan.columns,
        plan.units,
        tuple(census.units),
        tuple(census.duplicates),
        embedding,
        work,
        digest_of([*keys, census.places, *fitted]),
        options.threads_per_worker,
        options.device,
    )


@dataclass(frozen=True)
class Wanted:
    """What is searched for: the `k` nearest, and pairs of a cosine of at least `threshold`."""

    vectors: Vectors
    k: int
    threshold: float

    def key(self, stage: str, **part: Any) -> str:
        """Return the key of a part's shard."""
        return key_of(stage, vectors=self.vectors.digest, neighbours=self.k, threshold=self.threshold, **part)

    def write(self, key: str, positions: np.ndarray, nearest: TopK, joins: UnionFind) -> None:
        """Write what one worker found: the nearest of some rows, and the groups that it joined."""
        ids, roots = joins.pairs()
        # The joins first: the other shard is what says that both are there.
        self.vectors.work.write("joins", key, pa.table({"position": ids, "root": roots}))
        table = pa.table(
            {
                "position": pa.array(positions),
                "neighbour": _lists(nearest.ids),
                "cosine": _lists(nearest.cosines),
            }
        )
        self.vectors.work.write("neighbours", key, table)

    def read(self, key: str) -> tuple[np.ndarray, TopK]:
        """Return the positions and the nearest of a shard."""
        rows = self.vectors.work.read("neighbours", key)
        ids, cosines = (_rows(rows.column(name), self.k) for name in ("neighbour", "cosine"))
        return rows.column("position").to_numpy(), TopK(ids, cosines)

    def read_joins(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Return which positions a shard joined with which."""
        rows = self.vectors.work.read("joins", key)
        return rows.column("position").to_numpy(), rows.column("root").to_numpy()


def _lists(values: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def _rows(column: pa.ChunkedArray, width: int) -> np.ndarray:
    return column.combine_chunks().flatten().to_numpy().reshape(-1, width)
