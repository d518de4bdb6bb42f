"""Sections of manifest.json as values, for readers that need not know its keys."""

from dataclasses import dataclass
from typing import Any

from syllabus.manifests.format.consistency import subset_rows


@dataclass(frozen=True)
class StoredSubsets:
    """The subsets of one fraction."""

    fraction: float
    budget: int  # in examples or units of weight
    sizes: tuple[int, ...]  # rows of each subset
    first_row: int  # of the first of them in the table ``subsets``
    jaccard: float | None  # mean index of two of them; None where there is one, or it was not computed


@dataclass(frozen=True)
class Agreement:
    """The agreement of labels among neighbours."""

    kind: str  # of the labels: class, number or list
    median: float  # over the examples
    zero_share: float | None  # of examples with no neighbour of their label; None where kinds know no such


@dataclass(frozen=True)
class Cover:
    """The near-duplicates that are left out if only the examples stay that stand for them."""

    threshold: float  # cosine with what stands for them
    left_out: int  # examples
    separates: bool  # whether the threshold tells copies from neighbours


@dataclass(frozen=True)
class Neighbours:
    """The findings among the nearest neighbours of every example."""

    k: int  # neighbours looked for
    agreement: Agreement | None  # None where there are no labels
    duplicate_groups: int  # of two or more near-duplicates
    duplicate_share: float  # of examples in one of them
    cover: Cover | None  # None in manifests made before there was one


@dataclass(frozen=True)
class ImportanceEntry:
    """The effective sample sizes of an importance: shares of the examples, means over the partitions."""

    ess: float | None  # of the probabilities; None where it was not computed
    inclusion_ess: tuple[tuple[float, float], ...]  # of draws: (fraction, effective sample size)


def stored_subsets(description: dict[str, Any]) -> dict[int, StoredSubsets]:
    """Return the subsets of each fraction by their budget."""
    found, row = {}, 0
    for entry in description["subsets"]:
        sizes = tuple(subset_rows(description, entry))
        found[int(entry["budget"])] = StoredSubsets(
            float(entry["fraction"]), int(entry["budget"]), sizes, row, entry.get("jaccard")
        )
        row += sum(sizes)
    return found


def neighbours(description: dict[str, Any]) -> Neighbours | None:
    """Return what was found; None where the neighbours were not searched."""
    if "neighbours" not in description:
        return None
    section, same = description["neighbours"]["agreement"], description["neighbours"]["duplicates"]
    agreement = section and Agreement(section["kind"], section["median"], section["zero_share"])
    cover = same.get("cover")
    if cover is not None:
        cover = Cover(cover["threshold"], cover["left_out"], not cover["separation"]["against"])
    return Neighbours(description["neighbours"]["k"], agreement, same["groups"], same["share"], cover)


def importance_entry(section: dict[str, Any]) -> ImportanceEntry:
    """Return one of `importances`."""
    draws = ((each["fraction"], each["mean"]) for each in section.get("inclusion_ess", ()))
    return ImportanceEntry(section["ess"]["mean"] if "ess" in section else None, tuple(draws))
