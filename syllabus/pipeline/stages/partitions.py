"""Partitions by label: by class, by quantile of a number, by the rarest class of a list."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syllabus.pipeline.sources.labels import number_text


@dataclass(frozen=True)
class RowLabels:
    """The Arrow form of `sources.labels.Labels`, as a shard holds them: null where there is none."""

    texts: pa.Array
    numbers: pa.Array
    lists: pa.Array

    def filter(self, mask: pa.Array) -> "RowLabels":
        """Return those of the rows in `mask`."""
        return RowLabels(self.texts.filter(mask), self.numbers.filter(mask), self.lists.filter(mask))


@dataclass(frozen=True)
class Partitioning:
    """The partitions that labels make; a partition's number is its place in `labels`."""

    kind: str
    """class, number or list"""
    labels: tuple[str | None, ...]
    """By the UTF-8 order of the names, bins ascending; None, in the last place, for empty lists."""
    sizes: tuple[int, ...]
    """Accepted examples of each."""
    edges: tuple[float, ...] = ()
    """Where bins 1, 2, … begin."""
    vocabulary: tuple[str, ...] = ()
    """The classes of lists from the rarest to the most frequent, ties by UTF-8 order."""

    def of(self, rows: RowLabels) -> np.ndarray:
        """Return the (rows,) int32 partitions of rows whose labels were counted."""
        if self.kind == "number":
            return np.searchsorted(self.edges, rows.numbers.to_numpy(), side="right").astype(np.int32)
        places = pa.array([label for label in self.labels if label is not None], pa.string())
        if self.kind == "class":
            return pc.index_in(rows.texts, places).to_numpy().astype(np.int32)
        names = pa.array(self.vocabulary, pa.string())
        rarest = _rarest(rows, names)
        # Behind the vocabulary stands the place of the empty lists.
        to_partition = pc.index_in(names, places).fill_null(-1).to_numpy()
        return np.append(to_partition, len(places))[rarest].astype(np.int32)


def by_class(all_rows: Callable[[], Iterator[RowLabels]]) -> Partitioning:
    """Return a partition for each class; lists of classes go to the rarest in each of them.

    `all_rows` begins an iteration over all accepted rows; lists take a second one. Memory: the classes.
    """
    counts: Counter[str] = Counter()
    members: Counter[str] = Counter()
    listed = False
    for rows in all_rows():
        listed |= rows.lists.null_count < len(rows.lists)
        _count(counts, rows.texts)
        _count(members, lists_of(rows).flatten())
    if not listed:
        names = sorted(counts, key=str.encode)
        return Partitioning("class", tuple(names), tuple(counts[name] for name in names))
    vocabulary = sorted(members, key=lambda name: (members[name], name.encode()))
    sizes = np.zeros(len(vocabulary) + 1, np.int64)
    for rows in all_rows():
        sizes += np.bincount(_rarest(rows, pa.array(vocabulary, pa.string())), minlength=len(sizes))
    found = [(name, int(size)) for name, size in zip(vocabulary, sizes[:-1], strict=True) if size]
    found.sort(key=lambda pair: pair[0].encode())
    empty = [(None, int(sizes[-1]))] if sizes[-1] else []
    labels, held = zip(*[*found, *empty], strict=True)
    return Partitioning("list", labels, held, vocabulary=tuple(vocabulary))


def by_quantile(ordered: np.ndarray, bins: int) -> Partitioning:
    """Return at most `bins` bins of equal numbers of examples, by the exact quantiles of (n,) sorted numbers.

    Bin j begins at the ⌊j·n/bins⌋-th smallest number. Equal numbers share a bin: where many are equal,
    there are fewer bins.
    """
    starts = np.unique(ordered[np.arange(1, bins) * len(ordered) // bins])
    edges = starts[starts > ordered[0]]
    sizes = np.diff([0, *np.searchsorted(ordered, edges), len(ordered)])
    bounds = [number_text(float(value)) for value in (ordered[0], *edges, ordered[-1])]
    labels = [f"[{low}, {high})" for low, high in pairwise(bounds)]
    labels[-1] = labels[-1][:-1] + "]"
    return Partitioning("number", tuple(labels), tuple(sizes.tolist()), edges=tuple(edges.tolist()))


def partition_name(partition: int, label: str | None) -> str:
    """Return how an error names a partition: by its label, else by its number."""
    return f"partition {partition if label is None else repr(label)}"


def _count(counts: Counter[str], names: pa.Array) -> None:
    counts.update({pair["values"]: pair["counts"] for pair in pc.value_counts(names).to_pylist()})


def lists_of(rows: RowLabels) -> pa.Array:
    """Return the lists of all rows; a class that stands alone among lists is a list of one."""
    alone = pa.ListArray.from_arrays(pa.array(np.arange(len(rows.texts) + 1), pa.int32()), rows.texts)
    return pc.coalesce(rows.lists, alone) if len(alone) else alone


def _rarest(rows: RowLabels, vocabulary: pa.Array) -> np.ndarray:
    """Return the (rows,) place in the vocabulary of the rarest class of each row; its length where none."""
    lists = lists_of(rows)
    rarest = np.full(len(lists), len(vocabulary), np.int64)
    places = pc.index_in(lists.flatten(), vocabulary).to_numpy()
    np.minimum.at(rarest, pc.list_parent_indices(lists).to_numpy(), places)
    return rarest
