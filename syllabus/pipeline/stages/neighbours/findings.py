"""Findings of the neighbours: agreement with the label, duplicate groups, what stands for what, shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from syllabus.pipeline.stages.neighbours.agreement import agreement_section, label_agreement
from syllabus.pipeline.stages.neighbours.cover import Cover, largest_groups, plan_cover
from syllabus.pipeline.stages.neighbours.evidence import Evidence, gather_evidence
from syllabus.pipeline.stages.neighbours.holdout import Holdout, HoldoutPairs
from syllabus.pipeline.stages.neighbours.stage import NeighbourGraph
from syllabus.pipeline.stages.partitions import Partitioning
from syllabus.pipeline.stages.rows import AcceptedRows
from syllabus.selectors.neighbours import Separation, relative_threshold, separation_of

SHOWN_LABELS = 4


@dataclass(frozen=True)
class Findings:
    """Columns of examples, and sections of manifest.json; None where neighbours were not searched."""

    agreement: np.ndarray | None
    """(n,) float32, NaN where no neighbour was found; None also without labels"""
    groups: np.ndarray | None
    """(n,) int64"""
    covers: np.ndarray | None
    """(n,) int64, the index of the example that stands for each"""
    sections: dict[str, Any]
    evidence: Evidence | None
    holdout: HoldoutPairs | None

    def columns(self, first: int, stop: int) -> dict[str, Any]:
        """Return the columns of examples at positions `first` to `stop`; the last one only if it is there."""
        kinds = {"neighbour_agreement": pa.float32(), "duplicate_group": pa.int64()}
        values = (self.agreement, self.groups)
        found = {
            name: pa.nulls(stop - first, kind)
            if column is None
            else pa.array(column[first:stop], kind, from_pandas=True)
            for (name, kind), column in zip(kinds.items(), values, strict=True)
        }
        if self.covers is not None:
            found["duplicate_of"] = pa.array(self.covers[first:stop], pa.int64())
        return found


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of the accepted rows, as far as neighbours are compared by them."""

    index: np.ndarray
    """(n,) int64, ascending"""
    partitions: np.ndarray | None
    """(n,) int32; None where there are no labels"""
    numbers: np.ndarray
    """(n,) int64, equal where labels are (numbers: where their bins are); 0 where there are none"""


@dataclass(frozen=True, eq=False)
class GroupFindings:
    """What is known of the examples once their neighbours are searched; the cover is still to be computed."""

    graph: NeighbourGraph
    labels: Labels
    agreement: np.ndarray | None
    agreement_section: dict[str, Any] | None
    groups: np.ndarray
    cover: Cover


def read_labels(rows: AcceptedRows, partitioning: Partitioning | None) -> Labels:
    """Return the labels of all rows; `partitioning` is by them, None where there are none."""
    index, partitions, numbers = [], [], []
    places: dict[str | None, int] = {}
    for each in rows.all():
        index.append(each.index)
        if partitioning is None:
            continue
        labels = each.accepted_labels
        partitions.append(partitioning.of(labels))
        if partitioning.kind == "list":
            # Lists are equal as they are written, in one order.
            texts = zip(labels.texts.to_pylist(), labels.lists.to_pylist(), strict=True)
            names = (text if many is None else repr(many) for text, many in texts)
            numbers.append(np.array([places.setdefault(name, len(places)) for name in names], np.int64))
    every = np.concatenate(index)
    if partitioning is None:
        return Labels(every, None, np.zeros(len(every), np.int64))
    of_rows = np.concatenate(partitions)
    return Labels(every, of_rows, np.concatenate(numbers) if numbers else of_rows.astype(np.int64))


def find_groups(
    graph: NeighbourGraph,
    rows: AcceptedRows,
    partitioning: Partitioning | None,
    labels: Labels,
    nearer: float,
    dimension: int,
) -> GroupFindings:
    """Return agreements and groups of a graph that is searched, and the cover that is to be computed.

    Args:
      graph: of the examples.
      rows: the examples.
      partitioning: by their labels; None where they have none.
      labels: theirs.
      nearer: how many times nearer a copy is than the last neighbour looked for; 0 for no such rule.
      dimension: of the embeddings.
    """
    groups, n = graph.groups(), len(labels.index)
    agreement = section = None
    # A single example has no neighbour to agree with.
    if partitioning is not None and labels.partitions is not None and n > 1:
        agreement = label_agreement(graph, rows, partitioning, labels.partitions)
        section = agreement_section(partitioning.kind, agreement)
    suspect = np.zeros(n, np.bool_)
    if agreement is not None and section is not None and section["zero_share"] is not None:
        suspect = agreement == 0
    last = np.empty(n)
    for positions, nearest in graph.found():
        last[positions] = nearest.cosines[:, -1]
    threshold = graph.knn.threshold
    thresholds = tuple(sorted({threshold, relative_threshold(last, threshold, nearer)}))
    cover = plan_cover(graph.knn, thresholds, groups, labels.numbers, suspect, dimension)
    return GroupFindings(graph, labels, agreement, section, groups, cover)


def findings(found: GroupFindings | None, holdout: Holdout | None, index: np.ndarray) -> Findings:
    """Return what was found, the cover computed and the test data compared.

    Args:
      found: of the examples; None where no neighbours were wanted.
      holdout: the comparison with test data, done; None where none was wanted.
      index: (n,) int64, ascending.
    """
    pairs = None if holdout is None else holdout.pairs(index)
    sections: dict[str, Any] = {} if holdout is None or pairs is None else {"holdout": holdout.section(pairs)}
    if found is None:
        return Findings(None, None, None, sections, None, pairs)
    covers = found.cover.covers()
    sections["neighbours"] = {
        **found.graph.as_section(),
        "agreement": found.agreement_section,
        "duplicates": {**_duplicates(found), **_separations(found, covers)},
    }
    kind = None if found.agreement_section is None else found.agreement_section["kind"]
    evidence = gather_evidence(found.graph, found.groups, found.agreement, kind)
    return Findings(found.agreement, index[found.groups], index[covers[-1]], sections, evidence, pairs)


def _duplicates(found: GroupFindings) -> dict[str, Any]:
    sizes = np.bincount(found.groups, minlength=len(found.groups))
    repeated = int(sizes[sizes > 1].sum())
    return {
        "threshold": found.graph.knn.threshold,
        "groups": int((sizes > 1).sum()),
        "examples": repeated,
        "share": repeated / len(sizes),
        "largest": _largest(found, sizes),
    }


def _largest(found: GroupFindings, sizes: np.ndarray) -> list[dict[str, Any]]:
    labels, shown = found.labels, []
    for first, least in zip(largest_groups(sizes), found.cover.least(), strict=True):
        members = found.groups == first
        counts = np.zeros(0, np.int64)
        if labels.partitions is not None:
            counts = np.bincount(labels.partitions[members])
        frequent = np.argsort(-counts, kind="stable")[:SHOWN_LABELS]
        shown.append(
            {
                "index": labels.index[first],
                "examples": sizes[first],
                "least_cosine": least,
                "labels": len(np.unique(labels.numbers[members])) if len(counts) else None,
                "partitions": [each for each in frequent.tolist() if counts[each]],
            }
        )
    return shown


def _separations(found: GroupFindings, covers: list[np.ndarray]) -> dict[str, Any]:
    """What tells whether the thresholds mean anything."""
    cover, random = found.cover, found.cover.random()
    n, numbers = len(found.groups), None if found.labels.partitions is None else found.labels.numbers
    not_compared, left_out = cover.not_compared, int((covers[-1] != np.arange(n)).sum())
    known = {"threshold": cover.thresholds[-1], "left_out": left_out, "not_compared": not_compared}
    if not len(random):
        nothing = {"random_share": 0.0, "crowded": 0.0, "mixed": None, "against": ["random_share"]}
        return {"random": [], "nearest": [], "chance": None, "separation": nothing,
                "cover": {**known, "separation": nothing}}  # fmt: skip
    every = [
        separation_of(random, found.graph.found(), covers[number], threshold, numbers)
        for number, threshold in enumerate(cover.thresholds)
    ]
    one, other = every[0], every[-1]
    return {
        "random": one.random,
        "nearest": one.nearest,
        "chance": one.chance,
        "separation": _section(one, not_compared),
        "cover": {**known, "separation": _section(other, not_compared)},
    }


def _section(found: Separation, not_compared: int) -> dict[str, Any]:
    return {
        "random_share": found.random_share,
        "crowded": found.crowded,
        "mixed": found.mixed,
        "against": [*found.against, *(["not_compared"] if not_compared else [])],
    }
