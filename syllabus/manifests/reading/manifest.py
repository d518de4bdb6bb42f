"""A manifest as its readers see it: opening costs one document and one listing, a slice its row groups."""

import os
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from syllabus.manifests.budgets import allocate, budget, fill
from syllabus.manifests.errors import ManifestError
from syllabus.manifests.format import schema
from syllabus.manifests.format.consistency import total
from syllabus.manifests.format.schema import DOCUMENT, ROW_GROUP_ROWS, Table, table_of, table_rows
from syllabus.manifests.ids import as_strings, check_ids, find_ids
from syllabus.manifests.reading import sections
from syllabus.manifests.reading.opening import Snapshot, load
from syllabus.manifests.reading.parquet_parts import Parts
from syllabus.manifests.storage import Store

Indices = npt.NDArray[np.int64]


class Manifest:
    """A committed manifest; made by `Manifest.open`. It holds no table and may be pickled.

    Attributes:
      location: the directory, as an absolute path or URL.
      description: manifest.json, parsed; what a reader needs of it are the other attributes.
      n: the number of accepted examples.
      source_rows: the rows of the source; indices run below it.
      truncated: examples of whose text the encoder read the beginning only; 0 where it does not count them.
      fractions: those for which there are subsets, ascending by budget.
      fingerprint: sha256 of the data set, hexadecimal.
      fingerprint_blocks: those of blocks of `block_rows` source rows, blocks without an example left out.
      options: those of the job, as far as they decide the content.
      budget_rule: by which budgets were divided over the partitions, as `budgets.RULES` has them.
      neighbours: what was found among nearest neighbours; None where they were not searched.
      sketch_dimension: bytes of a sketch; None where there are no sketches.
      importances: the names of the importances, sorted.
      orders: the names of the orders, sorted.
      partition_sizes: (partitions,) int64, the examples of partition p at place p.
      weighted: whether budgets count the units of a column, such as tokens, and not examples.
      unit: what budgets count: ``examples``, or the column's name.
      total: what a fraction is a share of: n, or the sum of all weights.
      partition_units: (partitions,) int64, the units of partition p at place p.
    """

    def __init__(self, store: Store, description: dict[str, Any]) -> None:
        self.store = store
        self.location = store.url()
        self.description = description
        self.n = int(description["counts"]["accepted"])
        self.source_rows = int(description["counts"]["source_rows"])
        self.truncated = int(description["counts"].get("truncated", 0))
        self.fractions = tuple(float(entry["fraction"]) for entry in description["subsets"])
        self.fingerprint = str(description["fingerprint"]["sha256"])
        self.fingerprint_blocks = tuple(description["fingerprint"]["blocks"])
        self.block_rows = int(description["fingerprint"]["block_rows"])
        self.options: dict[str, Any] = description["options"]
        self.budget_rule = str(self.options.get("budgets", "proportional"))
        self.neighbours = sections.neighbours(description)
        self.sketch_dimension: int | None = description.get("sketches", {}).get("dimension")
        self.importances = tuple(sorted(description["importances"]))
        self.orders = tuple(sorted(description["orders"]))
        self.weighted = "weight" in description
        self.unit = str(description["weight"]["column"]) if self.weighted else "examples"
        self.total = total(description)
        sizes = [(entry["examples"], entry.get("weight", 0)) for entry in description["partitions"]]
        self.partition_sizes, weights = np.array(sizes, np.int64).T.copy()
        self.partition_units: Indices = weights if self.weighted else self.partition_sizes
        self._subsets = sections.stored_subsets(description)
        self._rows = table_rows(description)
        self._snapshot = Snapshot(store, description)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str] | Store, fingerprint: str | None = None, ids: Any = None
    ) -> "Manifest":
        """Open a manifest; reads manifest.json and the sizes of the files, no table.

        What it holds is read later, from the same files: once another manifest has replaced this one, every
        method that reads raises a ManifestError that says so.

        Args:
          path: the directory: a local path, a URL that pyarrow reaches, or a Store.
          fingerprint: the sha256 of the data set that the manifest must be of.
          ids: the ids of the caller's data set, (rows,) strings or integers in any order; they must be
            exactly the manifest's. Reads the id column, O(n) memory.

        Raises:
          ManifestError: if it is not a manifest, is newer than this code, was altered, lacks a part, has a
            part of another size, or is of another data set. The message names the file.
        """
        store = path if isinstance(path, Store) else Store(path)
        manifest = cls(store, load(store))
        if fingerprint is not None and fingerprint != manifest.fingerprint:
            raise ManifestError(
                f"{DOCUMENT}: the manifest is of the data set {manifest.fingerprint[:12]}…, "
                f"not of {fingerprint[:12]}… ({store.url()})"
            )
        if ids is not None:
            check_ids(manifest.table(schema.EXAMPLES, ["id"]).column("id"), as_strings(ids))
        return manifest

    def __repr__(self) -> str:
        return f"Manifest({self.location!r}, n={self.n}, fractions={self.fractions})"

    def table(
        self,
        table: Table | str,
        columns: Sequence[str] | None = None,
        start: int = 0,
        stop: int | None = None,
    ) -> pa.Table:
        """Return rows start … stop - 1 of a table, given by itself or by its directory.

        Cost: the row groups that hold these rows (at most 131,072 rows each), in the `columns` asked for.

        Raises:
          ManifestError: if there is no such table, column or row, or a part cannot be read.
        """
        parts = self.parts(table)
        first, last = _slice(start, stop, parts.rows, table if isinstance(table, str) else table.directory)
        return parts.read(first, last, columns)

    def column(
        self, table: Table | str, name: str, start: int = 0, stop: int | None = None
    ) -> npt.NDArray[Any]:
        """Return one column of numbers without nulls of rows start … stop - 1, in the column's own dtype.

        Memory: the array and one part, at most 1,048,576 rows.

        Raises:
          ManifestError: as `table`; or the column is not of numbers, or has nulls.
        """
        directory = table if isinstance(table, str) else table.directory
        parts = self.parts(table)
        first, last = _slice(start, stop, parts.rows, directory)
        return parts.column(first, last, name)

    def batches(
        self, table: Table | str, columns: Sequence[str] | None = None, rows: int = ROW_GROUP_ROWS
    ) -> Iterator[pa.Table]:
        """Yield a table in its order, `rows` rows at a time (the last fewer); holds one row group more."""
        if rows < 1:
            raise ManifestError(f"batches: rows = {rows} is below 1")
        return self.parts(table).cut(columns, repeat(rows))

    def examples(self, start: int = 0, stop: int | None = None) -> Indices:
        """Return the indices of the accepted examples, ascending, (stop - start,) int64."""
        return self.column(schema.EXAMPLES, "index", start, stop)

    def partitions(self) -> npt.NDArray[np.int32]:
        """Return the partition of every accepted example, (n,) int32 aligned with `examples()`."""
        return self.column(schema.EXAMPLES, "partition")

    def weights(self) -> Indices | None:
        """Return the units of every accepted example, (n,) int64 ≥ 1 aligned with `examples()`.

        None where budgets count examples.
        """
        return self.column(schema.EXAMPLES, "weight") if self.weighted else None

    def subset_count(self, fraction: float) -> int:
        """Return how many subsets of this fraction there are; it is found by its budget."""
        return len(self.subsets_of(fraction).sizes)

    def subsets_of(self, fraction: float) -> sections.StoredSubsets:
        """Return budget, sizes and likeness of the subsets of this fraction; it is found by its budget.

        Raises:
          ManifestError: if there are none.
        """
        size = budget(fraction, self.total)
        if size not in self._subsets:
            stored = ", ".join(f"{fraction:g}" for fraction in self.fractions) or "none"
            of = f"{self.total} {self.unit}" if self.weighted else self.n
            raise ManifestError(
                f"fraction {fraction} (budget {size} of {of}) has no subsets here; stored fractions: {stored}"
            )
        return self._subsets[size]

    def subset(self, fraction: float, i: int, start: int = 0, stop: int | None = None) -> Indices:
        """Return subset `i` of this fraction in its herding order, (stop - start,) int64 indices.

        Args:
          fraction: found by its budget, ⌊fraction·total + ½⌋.
          i: 0 ≤ i < `subset_count(fraction)`.
          start: the first position wanted.
          stop: the last one + 1; None for all.
        """
        first, last = self.subset_rows(fraction, i, start, stop)
        return self.column(schema.SUBSETS, "index", first, last)

    def subset_rows(
        self, fraction: float, i: int, start: int = 0, stop: int | None = None
    ) -> tuple[int, int]:
        """Return where `subset(fraction, i, start, stop)` lies in the table: first row and last + 1."""
        found = self.subsets_of(fraction)
        if not 0 <= i < len(found.sizes):
            raise ManifestError(f"subset: {i} is outside [0, {len(found.sizes) - 1}] for fraction {fraction}")
        first, last = _slice(start, stop, found.sizes[i], f"subset {i} of fraction {fraction}")
        # Sorted by (budget, subset, position), every subset complete: its rows need not be searched for.
        before = found.first_row + sum(found.sizes[:i])
        return before + first, before + last

    def subset_size(self, fraction: float, i: int) -> int:
        """Return the number of rows of subset `i` of this fraction."""
        start, stop = self.subset_rows(fraction, i)
        return stop - start

    def top(self, importance: str, fraction: float) -> Indices:
        """Return the most important examples within ⌊fraction·total + ½⌋ units: the first of each partition.

        The budget is divided in proportion to the partitions' units. Where these are weights, the examples of
        a partition are taken by rank, each that still fits into its share. int64, by (partition, rank).

        Cost: the row groups that hold them; with weights, all the importance's indices.
        """
        table = self._named("importance", importance, self.importances)
        share = allocate(budget(fraction, self.total), self.partition_units)
        stops = np.cumsum(self.partition_sizes)
        starts = stops - self.partition_sizes
        if not self.weighted:
            rows = self.parts(table).read_ranges(starts, starts + share, ["index"])
            return np.asarray(rows.column("index"))
        index = self.column(table, "index")
        units = self.column(schema.EXAMPLES, "weight")[np.searchsorted(self.examples(), index)]
        bounds = zip(starts.tolist(), stops.tolist(), share.tolist(), strict=True)
        taken = [fill(units[first:last], limit) for first, last, limit in bounds]
        return np.asarray(index[np.concatenate(taken)])

    def importance(self, name: str) -> pa.Table:
        """Return the table of an importance, sorted by (partition, rank), n rows."""
        return self.table(self._named("importance", name, self.importances))

    def importance_entry(self, name: str) -> sections.ImportanceEntry:
        """Return the effective sample sizes that the document has of an importance."""
        self._named("importance", name, self.importances)
        return sections.importance_entry(self.description["importances"][name])

    def order(self, name: str, start: int = 0, stop: int | None = None) -> Indices:
        """Return positions start … stop - 1 of an order, int64 indices."""
        return self.column(self._named("order", name, self.orders), "index", start, stop)

    def lookup(self, ids: Any) -> Indices:
        """Return the index of each id, (rows,) int64.

        Args:
          ids: (rows,) strings, or integers standing for their text: a sequence, NumPy or Arrow array.

        Raises:
          ManifestError: if ids are not in the manifest; with their number and three of them.

        Cost: reads the columns id and index once; memory O(rows) ids and a row group.
        """
        wanted = as_strings(ids)
        rows = max(ROW_GROUP_ROWS, 8 * len(wanted))
        return find_ids(self.batches(schema.EXAMPLES, ["index", "id"], rows), wanted)

    def records(self, indices: Indices, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of ``examples`` for these indices, in the order given, repetitions included.

        Args:
          indices: (rows,) int64; each must be an accepted example.
          columns: those of ``examples`` that are wanted, all by default.

        Cost: the row groups whose statistics admit one of the indices.
        """
        wanted, place = np.unique(np.asarray(indices, dtype=np.int64), return_inverse=True)
        names = list(schema.examples_of(self.description).schema.names if columns is None else columns)
        rows, found = self.parts(schema.EXAMPLES).with_values("index", wanted, names)
        if not found.all():
            missing = wanted[~found]
            raise ManifestError(
                f"records: {missing.size} of {wanted.size} indices are no accepted examples: {missing[0]}, …"
            )
        return rows.take(pa.array(place))

    def parts(self, table: Table | str) -> Parts:
        """Return the parts of one table, for readers that need more than slices and batches."""
        directory = (table if isinstance(table, str) else table.directory).rstrip("/")
        if directory not in self._rows:
            raise ManifestError(
                f"{directory}/: the manifest has no such table; it has {', '.join(self._rows)}"
            )
        files = self.description["files"]
        own = [entry for entry in files if entry["path"].rpartition("/")[0] == directory]
        return Parts(self.store, own, self._snapshot, table_of(directory, self.description))

    @staticmethod
    def _named(kind: str, name: str, known: tuple[str, ...]) -> str:
        if name not in known:
            raise ManifestError(
                f"{kind} {name!r} is not in the manifest; it has {', '.join(known) or 'none'}"
            )
        return f"{kind}s/{name}"


def _slice(start: int, stop: int | None, rows: int, name: str) -> tuple[int, int]:
    last = rows if stop is None else stop
    if not 0 <= start <= last <= rows:
        raise ManifestError(f"{name}: rows {start} to {last} are not within its {rows} rows")
    return start, last
