"""Accepted rows: those of a chunk that nothing speaks against, read from the shards of the embed stage."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from syllabus.pipeline.sources import Columns
from syllabus.pipeline.sources.reasons import DUPLICATE_ID, MISSING
from syllabus.pipeline.sources.records import DETAIL_LENGTH
from syllabus.pipeline.stages.partitions import RowLabels
from syllabus.pipeline.stages.plan import PlannedChunk
from syllabus.pipeline.work_directory import WorkDirectory, vectors_of


def digest_words(content: pa.Array) -> NDArray[np.uint64]:
    """Return (n,) sha256 digests of contents, binary(32), as (n, 4) uint64."""
    return np.frombuffer(b"".join(content.to_pylist()), np.uint64).reshape(-1, 4)


@dataclass(frozen=True)
class ChunkRows:
    """Ids, labels, weights and rejects of one chunk."""

    planned: PlannedChunk
    ids: pa.Array
    labels: RowLabels
    content: pa.Array
    reasons: list[str | None]
    details: list[str | None]
    excluded: NDArray[np.bool_]
    """(rows,) mask of what the filter does not let through; it has no reason to be rejected."""
    weights: NDArray[np.int64] | None
    """(rows,) int64, 0 where there is none; None where budgets count examples."""
    accepted: NDArray[np.bool_]
    """(rows,) mask of the rows that nothing speaks against."""
    truncated: NDArray[np.bool_] | None
    """(rows,) mask of the texts that the encoder cut; None where it does not say."""

    @property
    def index(self) -> NDArray[np.int64]:
        """The (accepted,) int64 indices of the accepted rows."""
        return self.planned.first_index + np.flatnonzero(self.accepted)

    @property
    def accepted_ids(self) -> pa.Array:
        """The ids of the accepted rows; their index as text where the source has none."""
        return self.ids.filter(pa.array(self.accepted))

    @property
    def accepted_content(self) -> pa.Array:
        """The sha256 of the contents of the accepted rows, binary(32)."""
        return self.content.filter(pa.array(self.accepted))

    @property
    def accepted_labels(self) -> RowLabels:
        """The labels of the accepted rows."""
        return self.labels.filter(pa.array(self.accepted))


@dataclass(frozen=True, eq=False)
class AcceptedRows:
    """The rows of a data set and what speaks against each, for any worker to read."""

    columns: Columns
    chunks: tuple[PlannedChunk, ...]
    duplicates: NDArray[np.int64]
    """Ascending indices of the rows whose id an earlier row carries."""
    work: WorkDirectory

    @property
    def index_type(self) -> type[np.signedinteger[Any]]:
        """The smallest of int32 and int64 that holds every index."""
        last = self.chunks[-1]
        return np.int32 if last.first_index + last.chunk.rows < 2**31 else np.int64

    def index(self, accepted: int) -> NDArray[np.signedinteger[Any]]:
        """Return the (accepted,) ascending indices of the accepted rows, of `index_type`."""
        last = self.chunks[-1]
        if accepted == last.first_index + last.chunk.rows:
            return np.arange(accepted, dtype=self.index_type)
        index, first = np.empty(accepted, self.index_type), 0
        for rows in self.all():
            own = rows.index
            index[first : first + len(own)] = own
            first += len(own)
        return index

    def all(self) -> Iterator[ChunkRows]:
        """Yield the rows of all chunks in canonical order."""
        return map(self.of, self.chunks)

    def of(self, planned: PlannedChunk) -> ChunkRows:
        """Return a chunk's rows with every reason for a reject, in the order of their weight."""
        rows = self.work.read("rows", planned.rows_key)
        made = self.work.read("embed", planned.embed_key, ["content", "reason", "detail", "truncated"])
        reasons, details = made.column("reason").to_pylist(), made.column("detail").to_pylist()
        held = {name: rows.column(name).combine_chunks() for name in rows.column_names}
        ids, labels = held["id"], RowLabels(held["label"], held["number"], held["list"])
        found = [(held["reason"].to_pylist(), held["detail"].to_pylist())]
        for name, values in (("id", ids), ("label", labels.texts), ("weight", held.get("weight"))):
            column = getattr(self.columns, name)
            if column is not None and values.null_count:
                missing = [MISSING[name] if null else None for null in values.is_null().to_pylist()]
                found.append((missing, [f"column {column} is null"[:DETAIL_LENGTH]] * len(missing)))
        for more_reasons, more_details in found:
            for row, reason in enumerate(more_reasons):
                if reason is not None and reasons[row] is None:
                    reasons[row], details[row] = reason, more_details[row]
        excluded = held["excluded"].to_numpy(zero_copy_only=False)
        for row in np.flatnonzero(excluded):
            reasons[row] = details[row] = None
        first, stop = planned.first_index, planned.first_index + planned.chunk.rows
        for row in self._duplicates(first, stop) - first:
            reasons[row] = DUPLICATE_ID
            details[row] = f"{ids[int(row)].as_py()!r:.150} is taken by an earlier row"
        if self.columns.id is None:
            ids = pc.cast(pa.array(np.arange(first, stop)), pa.string())
        content = made.column("content").combine_chunks()
        weights = held["weight"].fill_null(0).to_numpy() if "weight" in held else None
        accepted = np.array([reason is None for reason in reasons]) & ~excluded
        # A shard has the column where the encoder says which texts it cut.
        cut = made.column("truncated").to_numpy() if "truncated" in made.column_names else None
        return ChunkRows(planned, ids, labels, content, reasons, details, excluded, weights, accepted, cut)

    def _duplicates(self, first: int, stop: int) -> NDArray[np.int64]:
        begin, end = np.searchsorted(self.duplicates, [first, stop])
        return self.duplicates[begin:end]

    def vectors(
        self, rows: ChunkRows, apply: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None
    ) -> NDArray[np.float32]:
        """Return the (accepted, D) float32 vectors of a chunk's accepted rows, as the encoder gave them.

        With `apply`, a row-wise function, its results: it is called with all rows of the chunk, so that the
        shape of its products, which sets their last bits, is fixed by the plan.
        """
        made = vectors_of(self.work.read("embed", rows.planned.embed_key, ["vector"]).column("vector"))
        return (made if apply is None else apply(made))[rows.accepted]
