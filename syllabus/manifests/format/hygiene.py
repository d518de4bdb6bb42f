"""What a manifest says of near neighbours: the sections `neighbours` and `holdout`, two columns of examples.

Both sections are optional: a manifest whose neighbours were not searched has neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

_NUMBER = (int, float)
METHODS = ("exact", "ivf")
AGREEMENTS = ("class", "number", "list")
"""What the labels are: the share of neighbours with the same one, a z-score, the mean Jaccard index."""

NEIGHBOURS: dict[Any, Any] = {
    "k": int,
    "method": str,
    "recall": _NUMBER,
    "agreement": (dict, type(None)),
    "duplicates": {"threshold": _NUMBER, "groups": int, "examples": int, "share": _NUMBER},
}
AGREEMENT: dict[Any, Any] = {"kind": str, "median": _NUMBER, "zero_share": (*_NUMBER, type(None))}
HOLDOUT: dict[Any, Any] = {
    "rows": int,
    "threshold": _NUMBER,
    "near_duplicates": int,
    "share": _NUMBER,
    "pairs": [{"source_file": str, "source_row": int, "index": int, "cosine": _NUMBER}],
}


def shapes(document: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield (where, value, expected shape) of each section that is there."""
    if "neighbours" in document:
        section = document["neighbours"]
        yield "neighbours", section, NEIGHBOURS
        if isinstance(section, dict) and isinstance(section.get("agreement"), dict):
            yield "neighbours.agreement", section["agreement"], AGREEMENT
    if "holdout" in document:
        yield "holdout", document["holdout"], HOLDOUT


def contradictions(document: dict[str, Any]) -> Iterator[str]:
    """Yield what cannot be true at once in sections of the right shape."""
    n = document["counts"]["accepted"]
    if "neighbours" in document:
        yield from _neighbours(document["neighbours"], n)
    if "holdout" in document:
        holdout = document["holdout"]
        rows, found, pairs = holdout["rows"], holdout["near_duplicates"], holdout["pairs"]
        if not 0 <= found <= rows or rows < 1:
            yield f"holdout: {found} near-duplicates among {rows} rows"
        elif not _near(holdout["share"], found / rows):
            yield f"holdout.share is {holdout['share']}, expected {found / rows}"
        if len(pairs) > found:
            yield f"holdout.pairs has {len(pairs)} entries, more than the {found} near-duplicates"


def _neighbours(section: dict[str, Any], n: int) -> Iterator[str]:
    if section["k"] < 1:
        yield f"neighbours.k is {section['k']}, below 1"
    if section["method"] not in METHODS:
        yield f"neighbours.method is {section['method']!r}; known: {', '.join(METHODS)}"
    if not 0 <= section["recall"] <= 1:
        yield f"neighbours.recall is {section['recall']}, outside [0, 1]"
    agreement = section["agreement"]
    if agreement is not None and agreement["kind"] not in AGREEMENTS:
        yield f"neighbours.agreement.kind is {agreement['kind']!r}; known: {', '.join(AGREEMENTS)}"
    if agreement is not None and not 0 <= (agreement["zero_share"] or 0) <= 1:
        yield f"neighbours.agreement.zero_share is {agreement['zero_share']}, outside [0, 1]"
    duplicates = section["duplicates"]
    groups, examples = duplicates["groups"], duplicates["examples"]
    if not 0 <= 2 * groups <= examples <= n or (groups == 0) != (examples == 0):
        yield f"neighbours.duplicates: {examples} examples in {groups} groups of two or more, of {n}"
    elif not _near(duplicates["share"], examples / n):
        yield f"neighbours.duplicates.share is {duplicates['share']}, expected {examples / n}"


def group_problems(
    section: dict[str, Any], index: npt.NDArray[np.int64], groups: npt.NDArray[np.int64]
) -> Iterator[str]:
    """Yield what is wrong with the column duplicate_group.

    Args:
      section: `neighbours` of manifest.json.
      index: (n,) int64, ascending.
      groups: (n,) int64, none above its index.
    """
    places = np.minimum(np.searchsorted(index, groups), len(index) - 1)
    # The first of a group names it, so it is in the group that bears its own name.
    wrong = np.flatnonzero((index[places] != groups) | (groups[places] != groups))
    if len(wrong):
        row = wrong[0]
        yield f"index {index[row]} has duplicate_group {groups[row]}, which is not the first of that group"
        return
    _, sizes = np.unique(groups, return_counts=True)
    found = {"groups": int((sizes > 1).sum()), "examples": int(sizes[sizes > 1].sum())}
    for name, count in found.items():
        if section["duplicates"][name] != count:
            yield (
                f"duplicate_group has {count} {name} in groups of two or more, manifest.json says"
                f" {section['duplicates'][name]}"
            )


def _near(value: float, expected: float) -> bool:
    return abs(value - expected) <= 1e-9
