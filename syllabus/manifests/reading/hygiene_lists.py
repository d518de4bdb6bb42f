"""Lists of what may be wrong with the data: suspects, near-duplicates, test rows among the examples.

Each joins a table of ``hygiene/`` with ids, places, labels and the texts of the preview.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from syllabus.manifests.errors import ManifestError
from syllabus.manifests.format import schema
from syllabus.manifests.reading.manifest import Manifest

PLACE = ["id", "source_file", "source_row", "label"]
DIGITS = 6
"""Of cosines and shares: more would be those of single precision, written out."""

Indices = npt.NDArray[np.int64]


def list_suspects(manifest: Manifest) -> pa.Table:
    """Return the examples whose label disagrees with those of their neighbours, the surest first.

    Columns: index, id, source_file, source_row, label; agreement, as in ``examples``; neighbour_label, the
    label that most of the neighbours have (of numbers their mean), and its share of them; cosine, the mean
    with the neighbours; neighbours, their indices, the nearest first, and cosines, one each; text, null where
    the preview has none.
    Sorted by share · cosine, of numbers by agreement, both descending.

    Raises:
      ManifestError: the manifest does not know; which option of `prepare` finds out.

    Cost: the table, one row of the examples for each of it, and the preview. At most 100,000 suspects.
    """
    if manifest.neighbours is None:
        raise ManifestError("suspects: the manifest has no neighbours: prepare it with --neighbours 10")
    agreement = manifest.neighbours.agreement
    if agreement is None:
        raise ManifestError("suspects: the manifest has no labels to doubt: prepare it with --label COLUMN")
    _check_table(manifest, "suspects")
    names = ("index", "neighbour", "cosine")
    own, neighbour, cosine = (manifest.column(schema.SUSPECTS, name) for name in names)
    cosine = cosine.astype(np.float64)
    index, starts, counts = np.unique(own, return_index=True, return_counts=True)
    rows = manifest.records(index, [*PLACE, "neighbour_agreement"])
    labels = manifest.records(neighbour, ["label"])["label"]
    owner = np.repeat(np.arange(len(index)), counts)
    mean = np.bincount(owner, cosine, minlength=len(index)) / counts
    if agreement.kind == "number":
        told, share = _mean(labels, owner, counts), np.full(len(index), np.nan)
        order = np.argsort(-np.abs(rows["neighbour_agreement"].to_numpy()), kind="stable")
    else:
        encoded = labels.combine_chunks().dictionary_encode()
        code, share = neighbours_label(owner, pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int64))
        told, order = encoded.dictionary.take(pa.array(code, mask=code < 0)), surest(share, mean)
    ends = pa.array([*starts.tolist(), len(own)], pa.int32())
    table = pa.table(
        {
            "index": index,
            **{name: rows[name] for name in PLACE},
            "agreement": rows["neighbour_agreement"],
            "neighbour_label": told,
            "share": pa.array(share.round(DIGITS), mask=np.isnan(share)),
            "cosine": mean.round(DIGITS),
            "neighbours": pa.ListArray.from_arrays(ends, neighbour),
            "cosines": pa.ListArray.from_arrays(ends, cosine.round(DIGITS)),
            "text": _texts(manifest, index),
        }
    )
    return table.take(pa.array(order))


def list_duplicates(manifest: Manifest) -> pa.Table:
    """Return the examples that have near-duplicates, group by group: those of several labels first.

    Columns: group, the smallest index in it; size and labels, how many examples and labels the group has;
    index, id, source_file, source_row, label; kept, whether `one_per_duplicate_group` keeps it (null where
    that was not computed); nearest, another of the group, and the cosine of the two, null where the table of
    pairs has none; text, null where the preview has none. Groups of several labels come first, then by size.

    Raises:
      ManifestError: the manifest does not know; which option of `prepare` finds out.

    Cost: the group of every example, and one row of the examples for each that has near-duplicates.
    """
    if manifest.neighbours is None:
        raise ManifestError("duplicates: the manifest has no neighbours: prepare it with --neighbours 10")
    _check_table(manifest, "duplicates")
    index, groups = manifest.examples(), manifest.column(schema.EXAMPLES, "duplicate_group")
    _, members, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    repeated = np.flatnonzero(sizes[members] > 1)
    index, groups, sizes = index[repeated], groups[repeated], sizes[members[repeated]]
    columns = [*PLACE, *(["duplicate_of"] if schema.covered(manifest.description) else [])]
    rows = manifest.records(index, columns)
    labels = _labels_of_groups(groups, rows["label"])
    nearest, cosine = _nearest(manifest, index)
    known = schema.covered(manifest.description)
    kept = rows["duplicate_of"].to_numpy() == index if known else [None] * len(index)
    table = pa.table(
        {
            "group": groups,
            "size": sizes,
            "labels": labels,
            "index": index,
            **{name: rows[name] for name in PLACE},
            "kept": pa.array(kept, pa.bool_()),
            "nearest": pa.array(nearest, pa.int64(), mask=nearest < 0),
            "cosine": pa.array(cosine.round(DIGITS), mask=nearest < 0),
            "text": _texts(manifest, index),
        }
    )
    return table.take(pa.array(np.lexsort((index, groups, -sizes, labels < 2))))


def list_holdout(manifest: Manifest) -> pa.Table:
    """Return the test rows that have a near-duplicate among the examples, the nearest pair first.

    Columns: cosine; test_file, test_row, test_index and test_text of the test row; index, id, source_file,
    source_row, label and text of the nearest example. Texts are null where the manifest has none.

    Raises:
      ManifestError: the manifest does not know; which option of `prepare` finds out.
    """
    if "holdout" not in manifest.description:
        raise ManifestError("holdout: the manifest has no test data: prepare it with --holdout PATH")
    _check_table(manifest, "holdout")
    tested = manifest.table(schema.HOLDOUT)
    index = tested["index"].to_numpy()
    rows = manifest.records(index, PLACE)
    table = pa.table(
        {
            "cosine": tested["cosine"].to_numpy().astype(np.float64).round(DIGITS),
            "test_file": tested["source_file"],
            "test_row": tested["source_row"],
            "test_index": tested["test_index"],
            "test_text": tested["text"],
            "index": index,
            **{name: rows[name] for name in PLACE},
            "text": _texts(manifest, index),
        }
    )
    order = np.lexsort((tested["test_index"].to_numpy(), -tested["cosine"].to_numpy()))
    return table.take(pa.array(order))


def _check_table(manifest: Manifest, name: str) -> None:
    if name not in manifest.description.get("hygiene", {}):
        raise ManifestError(
            f"{name}: the manifest has no table hygiene/{name}: another writer or an earlier version made it;"
            " prepare it again"
        )


def neighbours_label(owner: Indices, labels: Indices) -> tuple[Indices, npt.NDArray[np.float64]]:
    """Return the label that most neighbours of each suspect have, and its share of them.

    Args:
      owner: (m,) the suspect of each neighbour, 0 … suspects - 1, ascending; its nearest neighbours first.
      labels: (m,) numbers of the neighbours' labels. Of labels that are equally common the first.
    """
    pairs = np.stack([owner, labels])
    (of, label), first, times = np.unique(pairs, axis=1, return_index=True, return_counts=True)
    best = np.lexsort((first, -times, of))
    best = best[np.unique(of[best], return_index=True)[1]]
    return label[best], times[best] / np.bincount(owner)


def surest(share: npt.NDArray[Any], cosine: npt.NDArray[Any]) -> Indices:
    """Return the places of suspects, the surest first: by share · mean cosine, then by place.

    A suspect is sure where its neighbours agree on another label and are near. Either alone finds fewer
    labels that were made wrong.
    """
    return np.argsort(-(share * cosine), kind="stable")


def _mean(labels: pa.ChunkedArray, owner: Indices, counts: Indices) -> pa.Array:
    """The mean of the neighbours' numbers, as text."""
    numbers = np.nan_to_num(labels.cast(pa.float64()).to_numpy())
    return pa.array([f"{mean:.6g}" for mean in np.bincount(owner, numbers) / counts], pa.string())


def _labels_of_groups(groups: Indices, labels: pa.ChunkedArray) -> Indices:
    """How many labels the group of each example has."""
    codes = pc.fill_null(labels.combine_chunks().dictionary_encode().indices, -1).to_numpy()
    pairs = np.unique(np.stack([groups, codes]), axis=1)[0]
    names, counts = np.unique(pairs, return_counts=True)
    return counts[np.searchsorted(names, groups)]


def _nearest(manifest: Manifest, index: Indices) -> tuple[Indices, npt.NDArray[np.float64]]:
    """The other of the nearest listed pair of each example, and their cosine; -1 where no pair is listed."""
    names = ("index", "other", "cosine")
    one, other, cosine = (manifest.column(schema.DUPLICATES, name) for name in names)
    own, partner, cosine = np.append(one, other), np.append(other, one), np.append(cosine, cosine)
    best = np.lexsort((partner, -cosine, own))
    own, first = np.unique(own[best], return_index=True)
    place = np.searchsorted(index, own)
    nearest, nearness = np.full(len(index), -1), np.zeros(len(index))
    nearest[place], nearness[place] = partner[best][first], cosine[best][first]
    return nearest, nearness


def _texts(manifest: Manifest, index: Indices) -> pa.Array | pa.ChunkedArray:
    """The beginnings of these examples' texts that the preview has."""
    if "preview" not in manifest.description:
        return pa.nulls(len(index), pa.string())
    preview = manifest.table(schema.PREVIEW, ["index", "text"])
    return preview["text"].take(pc.index_in(pa.array(index), preview["index"].combine_chunks()))
