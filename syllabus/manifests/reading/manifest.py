"""A manifest as its readers see it: opening costs one document and one listing, a slice its row groups."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from syllabus.manifests.budgets import allocate, budget, fill
from syllabus.manifests.errors import ManifestError
from syllabus.manifests.format import schema
from syllabus.manifests.format.consistency import total
from syllabus.manifests.format.schema import DOCUMENT
from syllabus.manifests.ids import as_strings, check_ids
from syllabus.manifests.reading import sections
from syllabus.manifests.reading.manifest_tables import ManifestTables, within
from syllabus.manifests.reading.opening import load
from syllabus.manifests.storage import Store

Indices = npt.NDArray[np.int64]


class Manifest(ManifestTables):
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
        super().__init__(store, description)
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
        first, last = within(start, stop, found.sizes[i], f"subset {i} of fraction {fraction}")
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

    def to_arrow(
        self,
        table: str = "examples",
        columns: Sequence[str] | None = None,
        *,
        fraction: float | None = None,
        subset: int | None = None,
        join: Sequence[str] = (),
    ) -> pa.Table:
        """Return a table, or the subsets of one fraction, with columns of the examples beside it on request.

        ``to_arrow("subsets", fraction=0.1, subset=0, join=["id", "label"])`` is a subset in herding order.

        Args:
          table: a directory, such as ``examples``, ``importances/radius`` or ``hygiene/suspects``.
          columns: those of it that are wanted; all by default.
          fraction: of ``subsets``: those of this fraction alone.
          subset: of ``subsets``: the one of this number alone.
          join: columns of ``examples``, found by the column `index`; they come last.

        Raises:
          ManifestError: no such table, column, fraction or subset; a column to join by or to add is amiss.

        Cost: the table's rows in memory; a join reads the columns once where all examples are wanted.
        """
        first, last = 0, None
        if fraction is not None or subset is not None:
            if table != "subsets" or fraction is None:
                raise ManifestError(
                    "to_arrow: subset and fraction go with each other and with table 'subsets'"
                )
            stored = self.subsets_of(fraction)
            first, last = stored.first_row, stored.first_row + sum(stored.sizes)
            if subset is not None:
                first, last = self.subset_rows(fraction, subset)
        return self.joined(self.table(table, columns, first, last), join)

    def to_pandas(
        self,
        table: str = "examples",
        columns: Sequence[str] | None = None,
        *,
        fraction: float | None = None,
        subset: int | None = None,
        join: Sequence[str] = (),
    ) -> Any:
        """Return the same as `to_arrow`, as a pandas DataFrame.

        Raises:
          ManifestError: as `to_arrow`; or pandas is not installed.
        """
        rows = self.to_arrow(table, columns, fraction=fraction, subset=subset, join=join)
        try:
            return rows.to_pandas()
        except ImportError:
            raise ManifestError("to_pandas: pandas is missing: pip install 'syllabus[pandas]'") from None

    @staticmethod
    def _named(kind: str, name: str, known: tuple[str, ...]) -> str:
        if name not in known:
            raise ManifestError(
                f"{kind} {name!r} is not in the manifest; it has {', '.join(known) or 'none'}"
            )
        return f"{kind}s/{name}"
