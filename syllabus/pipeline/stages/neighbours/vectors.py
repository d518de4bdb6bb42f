"""The unit embeddings that a search for neighbours reads, in blocks of consecutive chunks.

Inside the stage an example goes by its position among the accepted rows, 0 … n − 1: labels, ids and seeds
have no part in it, so other choices of them find the same shards.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from syllabus.pipeline.errors import ShardError
from syllabus.pipeline.options import Options
from syllabus.pipeline.runtime.torch_setup import limit_threads, pick_device
from syllabus.pipeline.stages.census import Census
from syllabus.pipeline.stages.plan import Plan, PlannedChunk
from syllabus.pipeline.stages.rows import AcceptedRows
from syllabus.pipeline.stages.transform import Transform, final_dimension
from syllabus.pipeline.work_directory import WorkDirectory, digest_of, key_of
from syllabus.selectors.neighbours import TopK
from syllabus.selectors.numerics.union_find import UnionFind

READ_ROWS = 65_536
"""Rows that are read at once where some of them are wanted."""
BLOCKS = 4
"""Blocks of vectors that a worker has room for: it holds one, and what it makes of it."""


@dataclass(frozen=True)
class Block:
    """Consecutive chunks with `rows` accepted rows, the first of them at position `first`."""

    chunks: tuple[PlannedChunk, ...]
    first: int
    rows: int


@dataclass(frozen=True)
class Vectors:
    """The accepted rows of a data set as unit embeddings, and how a worker gets at them."""

    rows: AcceptedRows
    accepted: tuple[int, ...]
    """Accepted rows of each chunk."""
    transform: Transform
    digest: str
    """Of all the vectors and their places."""
    threads: int
    workers: int
    """Threads that the submitting process may use."""
    device: str | None
    dimension: int
    """D"""
    memory: float
    """Bytes that a worker may hold of them."""
    truncated: bytes = b""
    """One bit a position, set where the encoder cut the text (`packbits`); empty where it cut none."""

    @property
    def work(self) -> WorkDirectory:
        """The work directory."""
        return self.rows.work

    @property
    def n(self) -> int:
        """Accepted rows."""
        return sum(self.accepted)

    def most_rows(self, rows: int, blocks: int = BLOCKS) -> int:
        """Return how many rows a block has at most: `rows`, as far as a worker may hold so many `blocks`."""
        return max(1, min(rows, int(self.memory) // (4 * self.dimension * blocks)))

    def blocks(self, rows: int) -> list[Block]:
        """Cut the chunks into blocks of at most `rows` accepted rows, or of one chunk.

        Not of source rows: a filter that lets few of many through would make as many blocks as chunks.
        """
        blocks: list[Block] = []
        held: list[PlannedChunk] = []
        first = count = 0
        for planned, accepted in zip(self.rows.chunks, self.accepted, strict=True):
            if held and count + accepted > rows:
                blocks.append(Block(tuple(held), first, count))
                held, first, count = [], first + count, 0
            held.append(planned)
            count += accepted
        return [*blocks, Block(tuple(held), first, count)]

    def read(self, block: Block) -> np.ndarray:
        """Return a block's (rows, D) float32 unit embeddings."""
        vectors, first = np.empty((block.rows, self.dimension), np.float32), 0
        for rows in map(self.rows.of, block.chunks):
            part = self.rows.vectors(rows, self.transform.apply)
            # Put in its place as it is read: joined afterwards, all would be held twice.
            vectors[first : first + len(part)] = part
            first += len(part)
        return vectors

    def whole_and_cut(self, positions: np.ndarray) -> list[tuple[slice | np.ndarray, bool]]:
        """Return the places of the rows that are whole, with False, and of those that were cut, with True.

        Beginnings that agree make no copies: rows that were cut are no near-duplicates by their vectors.
        A part without rows is left out.
        """
        if not self.truncated:
            return [(slice(0, len(positions)), False)]
        held = np.frombuffer(self.truncated, np.uint8)[positions >> 3]
        cut = (held >> (7 - (positions & 7)).astype(np.uint8) & 1).astype(bool)
        return [(np.flatnonzero(cut == each), each) for each in (False, True) if (cut == each).any()]

    def at(self, positions: np.ndarray) -> np.ndarray:
        """Return the (m, D) float32 unit embeddings at (m,) ascending positions; one block is held beside."""
        parts = []
        for block in self.blocks(self.most_rows(READ_ROWS)):
            first, stop = np.searchsorted(positions, [block.first, block.first + block.rows])
            if first < stop:
                parts.append(self.read(block)[positions[first:stop] - block.first])
        return np.concatenate(parts)

    def prepare_worker(self) -> str:
        """Limit this thread's products; return the device that they run on."""
        limit_threads(self.threads)
        return pick_device(self.device)


def vectors_of_plan(
    options: Options, plan: Plan, census: Census, transform: Transform, work: WorkDirectory
) -> Vectors:
    """Return the vectors of a plan's accepted rows; centroids, which cut partitions, have no part in them."""
    embedding = replace(transform, centroids=None, shares=())
    parts = [embedding.mean, embedding.components]
    if embedding.deviation is not None:  # else the keys are what they were
        parts.append(embedding.deviation)
    fitted = [hashlib.sha256(b"" if part is None else part.tobytes()).hexdigest() for part in parts]
    keys = [planned.embed_key for planned in plan.chunks]
    rows = census.rows(plan, work)
    return Vectors(
        rows,
        tuple(census.chunks),
        embedding,
        digest_of([*keys, census.places, *fitted]),
        options.threads_per_worker,
        options.workers,
        options.device,
        final_dimension(options, plan.identity.dimension),
        options.memory_per_worker * 1e9,
        _truncated(rows) if census.truncated else b"",
    )


def _truncated(rows: AcceptedRows) -> bytes:
    cut = [each.truncated[each.accepted] for each in rows.all() if each.truncated is not None]
    return np.packbits(np.concatenate(cut)).tobytes()


@dataclass(frozen=True)
class NeighbourSearch:
    """A search for the `k` nearest of each row, and for pairs of a cosine of at least `threshold`."""

    vectors: Vectors
    k: int
    threshold: float

    def key(self, stage: str, **part: Any) -> str:
        """Return the key of a part's shard."""
        return key_of(stage, vectors=self.vectors.digest, neighbours=self.k, threshold=self.threshold, **part)

    def write(self, key: str, positions: np.ndarray, nearest: TopK, duplicates: UnionFind) -> None:
        """Write what one worker found: the nearest of some rows, and the groups that it joined."""
        ids, roots = duplicates.pairs()
        # The duplicates first: the other shard is what says that both are there.
        self.vectors.work.write("joins", key, pa.table({"position": ids, "root": roots}))
        table = pa.table(
            {
                "position": pa.array(positions),
                "neighbour": _lists(nearest.ids),
                "cosine": _lists(nearest.cosines),
            }
        )
        self.vectors.work.write("neighbours", key, table)

    def read(self, key: str, of: int | None = None) -> tuple[np.ndarray, TopK]:
        """Return the positions, below `of` if they are not of the examples, and the nearest of a shard."""
        rows = self.vectors.work.read("neighbours", key)
        positions = rows.column("position").to_numpy()
        ids, cosines = (_rows(rows.column(name), self.k) for name in ("neighbour", "cosine"))
        self.check_positions("neighbours", key, positions, below=of)
        self.check_positions("neighbours", key, ids, least=-1)
        return positions, TopK(ids, cosines)

    def read_duplicates(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Return which positions a shard joined with which."""
        work = self.vectors.work
        try:
            rows = work.read("joins", key)
            positions, roots = (rows.column(name).to_numpy() for name in ("position", "root"))
            self.check_positions("joins", key, positions, roots)
        except ShardError:
            # The shard that says that both are there goes too.
            work.remove("neighbours", key)
            raise
        return positions, roots

    def check_positions(
        self, stage: str, key: str, *columns: np.ndarray, least: int = 0, below: int | None = None
    ) -> None:
        """Refuse positions that are none, before a compiled loop reads or writes at them.

        Raises:
          ShardError: a column of the shard has a number below `least`, or none of the `below` rows' (by
            default the examples').
        """
        bound = self.vectors.n if below is None else below
        for column in columns:
            if len(column) and not least <= column.min() <= column.max() < bound:
                found = f"{column.min():,} to {column.max():,}"
                raise self.vectors.work.reject(stage, key, f"positions are {found} of {bound:,} rows")


def _lists(values: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def _rows(column: pa.ChunkedArray, width: int) -> np.ndarray:
    return column.combine_chunks().flatten().to_numpy().reshape(-1, width)
