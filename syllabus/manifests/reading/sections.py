"""Sections of manifest.json as values, for readers that need not know its keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from syllabus.manifests.format.consistency import subset_rows


@dataclass(frozen=True)
class StoredSubsets:
    """The subsets of one fraction.

    Attributes:
      fraction: a share of the total.
      budget: what the fraction stands for, in examples or units of weight.
      sizes: the rows of each subset.
      first_row: where the first of them begins in the table ``subsets``.
      jaccard: mean Jaccard index of two of them; None where there is one, or where it was not computed.
    """

    fraction: float
    budget: int
    sizes: tuple[int, ...]
    first_row: int
    jaccard: float | None


@dataclass(frozen=True)
class Agreement:
    """The agreement of labels among neighbours.

    Attributes:
      kind: that of the labels: ``class``, ``number`` or ``list``.
      median: over the examples.
      zero_share: the share of examples with no neighbour of their label; None where the kind knows no such.
    """

    kind: str
    median: float
    zero_share: float | None


@dataclass(frozen=True)
class Neighbours:
    """The findings among the nearest neighbours of every example.

    Attributes:
      agreement: None where there are no labels.
      duplicate_groups: groups of two or more near-duplicates.
      duplicate_share: the share of examples that are in one.
    """

    agreement: Agreement | None
    duplicate_groups: int
    duplicate_share: float


@dataclass(frozen=True)
class ImportanceEntry:
    """The effective sample sizes of an importance, as shares of the examples, means over the partitions.

    Attributes:
      ess: of the probabilities; None where it was not computed.
      inclusion_ess: of draws, as (fraction, effective sample size).
    """

    ess: float | None
    inclusion_ess: tuple[tuple[float, float], ...]


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
    return Neighbours(agreement, same["groups"], same["share"])


def importance_entry(section: dict[str, Any]) -> ImportanceEntry:
    """Return one of `importances`."""
    draws = ((each["fraction"], each["mean"]) for each in section.get("inclusion_ess", ()))
    return ImportanceEntry(section["ess"]["mean"] if "ess" in section else None, tuple(draws))
