"""Findings of the neighbours: agreement with the label, duplicate groups, what stands for what, shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from syllabus.pipeline.options import Options
from syllabus.pipeline.stages.neighbours.agreement import agreement_section, label_agreement
from syllabus.pipeline.stages.neighbours.cover import Cover, Repeated, plan_cover, repeated_groups
from syllabus.pipeline.stages.neighbours.evidence import Evidence, gather_evidence
from syllabus.pipeline.stages.neighbours.holdout import Holdout, HoldoutPairs
from syllabus.pipeline.stages.neighbours.stage import NeighbourGraph
from syllabus.pipeline.stages.partitions import Partitioning
from syllabus.pipeline.stages.rows import AcceptedRows
from syllabus.selectors.neighbours import Separation, nearest_quantiles, relative_threshold, separation_of

SHOWN_LABELS = 4


@dataclass(frozen=True)
class Findings:
    """Columns of examples, and sections of manifest.json; None where neighbours were not searched."""

    agreement: np.ndarray | None
    """(n,) float32, NaN where no neighbour was found; None also without labels"""
    groups: np.ndarray | None
    """(n,) the first position of each position's duplicate group"""
    covers: np.ndarray | None
    """(n,) the position of the example that stands for each"""
    sections: dict[str, Any]
    evidence: Evidence | None
    holdout: HoldoutPairs | None

    def columns(self, index: np.ndarray, first: int, stop: int) -> dict[str, Any]:
        """Return the columns of examples at positions `first` to `stop`; the last one only if it is there.

        `index` is (n,) of all positions.
        """
        found: dict[str, Any] = {
            "neighbour_agreement": pa.nulls(stop - first, pa.float32()),
            "duplicate_group": pa.nulls(stop - first, pa.int64()),
        }
        if self.agreement is not None:
            found["neighbour_agreement"] = pa.array(self.agreement[first:stop], from_pandas=True)
        for name, positions in (("duplicate_group", self.groups), ("duplicate_of", self.covers)):
            if positions is not None:
                found[name] = index[positions[first:stop]].astype(np.int64)
        return found


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of the accepted rows, as far as neighbours are compared by them."""

    partitions: np.ndarray | None
    """(n,) of the smallest type that holds them; None where there are no labels"""
    numbers: np.ndarray
    """(n,) whole numbers, equal where labels are (numbers: where their bins are); 0 where there are none"""


@dataclass(frozen=True, eq=False)
class GroupFindings:
    """What is known of the examples once their neighbours are searched; the cover is still to be computed."""

    graph: NeighbourGraph
    labels: Labels
    agreement: np.ndarray | None
    agreement_section: dict[str, Any] | None
    groups: np.ndarray
    nearest: tuple[float, ...]
    """Quantiles of the cosines with the nearest."""
    cover: Cover


def _read_labels(rows: AcceptedRows, partitioning: Partitioning | None, n: int) -> Labels:
    """Return the labels of all n rows; `partitioning` is by them, None where there are none."""
    if partitioning is None:
        return Labels(None, np.zeros(n, np.uint8))
    listed = partitioning.kind == "list"
    partitions = np.empty(n, np.min_scalar_type(len(partitioning.labels)))
    numbers = np.empty(n, rows.index_type) if listed else partitions
    places: dict[str | None, int] = {}
    first = 0
    for each in rows.all():
        labels = each.accepted_labels
        own = partitioning.of(labels)
        stop = first + len(own)
        partitions[first:stop] = own
        if listed:
            # Lists are equal as they are written, in one order.
            texts = zip(labels.texts.to_pylist(), labels.lists.to_pylist(), strict=True)
            names = (text if many is None else repr(many) for text, many in texts)
            numbers[first:stop] = [places.setdefault(name, len(places)) for name in names]
        first = stop
    return Labels(partitions, numbers)


def find_groups(
    graph: NeighbourGraph,
    rows: AcceptedRows,
    partitioning: Partitioning | None,
    options: Options,
    dimension: int,
) -> GroupFindings:
    """Return agreements and groups of a graph that is searched, and the cover that is to be computed.

    Args:
      graph: of the examples.
      rows: the examples.
      partitioning: by their labels; None where they have none.
      options: of the job: how many times nearer a copy is than the last neighbour looked for.
      dimension: of the embeddings.

    Memory: at most 16 bytes an example, by turns: what is sorted comes first.
    """
    n, threshold = graph.knn.vectors.n, graph.knn.threshold
    nearest = nearest_quantiles(graph.found(), n)
    thresholds = tuple(
        sorted({threshold, relative_threshold(_last_cosines(graph), threshold, options.relative_threshold)})
    )
    labels = _read_labels(rows, partitioning, n)
    agreement = section = None
    # A single example has no neighbour to agree with.
    if partitioning is not None and labels.partitions is not None and n > 1:
        agreement = label_agreement(graph, rows, partitioning, labels.partitions)
        section = agreement_section(partitioning.kind, agreement)
    suspect = np.zeros(n, np.bool_)
    if agreement is not None and section is not None and section["zero_share"] is not None:
        suspect = agreement == 0
    groups = graph.groups()
    cover = plan_cover(graph.knn, thresholds, groups, labels.numbers, suspect, dimension)
    return GroupFindings(graph, labels, agreement, section, groups, nearest, cover)


def _last_cosines(graph: NeighbourGraph) -> np.ndarray:
    """The (n,) cosines of the k-th neighbours, in the order of the shards."""
    last, first = np.empty(graph.knn.vectors.n), 0
    for _, nearest in graph.found():
        last[first : first + len(nearest.cosines)] = nearest.cosines[:, -1]
        first += len(nearest.cosines)
    return last


def findings(
    found: GroupFindings | None, holdout: Holdout | None, rows: AcceptedRows, accepted: int
) -> Findings:
    """Return what was found, the cover computed and the test data compared.

    Args:
      found: of the examples; None where no neighbours were wanted.
      holdout: the comparison with test data, done; None where none was wanted.
      rows: the examples.
      accepted: n, how many they are.
    """
    index = rows.index(accepted)
    pairs = None if holdout is None else holdout.pairs(index)
    sections: dict[str, Any] = {} if holdout is None or pairs is None else {"holdout": holdout.section(pairs)}
    if found is None:
        return Findings(None, None, None, sections, None, pairs)
    duplicates = _duplicates(found, index)
    del index
    covers, separations = _separations(found)
    sections["neighbours"] = {
        **found.graph.as_section(),
        "agreement": found.agreement_section,
        "duplicates": {**duplicates, **separations},
    }
    kind = None if found.agreement_section is None else found.agreement_section["kind"]
    evidence = gather_evidence(found.graph, found.groups, found.agreement, kind)
    return Findings(found.agreement, found.groups, covers, sections, evidence, pairs)


def _duplicates(found: GroupFindings, index: np.ndarray) -> dict[str, Any]:
    repeated = repeated_groups(found.groups)
    examples = int(repeated.sizes.sum())
    return {
        "threshold": found.graph.knn.threshold,
        "groups": len(repeated.firsts),
        "examples": examples,
        "share": examples / len(found.groups),
        "largest": _largest(found, repeated, index),
    }


def _largest(found: GroupFindings, repeated: Repeated, index: np.ndarray) -> list[dict[str, Any]]:
    labels, shown = found.labels, []
    for first, least in zip(repeated.largest(), found.cover.least(), strict=True):
        members = np.flatnonzero(found.groups == first)
        counts = np.zeros(0, np.int64)
        if labels.partitions is not None:
            counts = np.bincount(labels.partitions[members])
        frequent = np.argsort(-counts, kind="stable")[:SHOWN_LABELS]
        shown.append(
            {
                "index": int(index[first]),
                "examples": len(members),
                "least_cosine": least,
                "labels": len(np.unique(labels.numbers[members])) if len(counts) else None,
                "partitions": [each for each in frequent.tolist() if counts[each]],
            }
        )
    return shown


def _separations(found: GroupFindings) -> tuple[np.ndarray, dict[str, Any]]:
    """The (n,) covers at the last threshold, and what tells whether the thresholds mean anything."""
    cover, random = found.cover, found.cover.random()
    numbers = None if found.labels.partitions is None else found.labels.numbers
    covers, every = np.empty(0), []
    for number, threshold in enumerate(cover.thresholds):
        covers = cover.covers(number)
        if len(random):
            every.append(
                separation_of(random, found.graph.found(), covers, threshold, numbers, found.nearest)
            )
    not_compared, left_out = cover.not_compared, int((repeated_groups(covers).sizes - 1).sum())
    known = {"threshold": cover.thresholds[-1], "left_out": left_out, "not_compared": not_compared}
    if not len(random):
        nothing = {"random_share": 0.0, "crowded": 0.0, "mixed": None, "against": ["random_share"]}
        return covers, {"random": [], "nearest": [], "chance": None, "separation": nothing,
                        "cover": {**known, "separation": nothing}}  # fmt: skip
    one, other = every[0], every[-1]
    return covers, {
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
