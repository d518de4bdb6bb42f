"""Comparison of two manifests: what differs in their options, and in what was chosen by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.compute as pc

from syllabus.manifests import Manifest, schema

COUNTS = ("source_rows", "accepted", "rejected", "excluded", "truncated", "conflicting_labels")
ENCODER = ("name", "kind", "dimension", "dtype", "weights_sha256")


def compare(one: Manifest, other: Manifest) -> dict[str, Any]:
    """Return what differs between two manifests, as values of JSON; pairs are [of one, of other].

    Examples are the same where their ids are. The overlap of sets is their Jaccard index, |both| / |either|;
    correlations are Spearman's, of the ranks that both manifests give to the examples of both.

    Cost: subsets, importances and orders once; of other data, all ids in memory.
    """
    same = one.fingerprint == other.fingerprint
    places = _Places(one, other, same)
    return {
        "manifests": [one.location, other.location],
        "versions": [each.description["code_version"] for each in (one, other)],
        "same_data": same,
        "ids_are_rows": not same and one.options.get("id") is None and other.options.get("id") is None,
        "examples": [one.n, other.n],
        "in_both": places.shared,
        "options": _differing(one.options, other.options),
        "encoder": _differing(
            *({name: each.description["encoder"].get(name) for name in ENCODER} for each in (one, other))
        ),
        "counts": _differing(
            *({name: each.description["counts"].get(name, 0) for name in COUNTS} for each in (one, other))
        ),
        "partitions": _differing(*(_sizes(each) for each in (one, other))),
        "subsets": [_subsets(one, other, fraction, places) for fraction in _shared_fractions(one, other)],
        "importances": [
            _importance(one, other, name, places) for name in one.importances if name in other.importances
        ],
        "orders": [_order(one, other, name, places) for name in one.orders if name in other.orders],
        "hygiene": _differing(*(_hygiene(each.description) for each in (one, other)), every=True),
    }


class _Places:
    """Where the examples of one manifest are in the other.

    Memory: 16 bytes an example, and all ids while it is made where the data differ.
    """

    def __init__(self, one: Manifest, other: Manifest, same: bool) -> None:
        self._index, index = one.examples(), other.examples()
        if same:
            self._theirs = self._index
        else:
            ids, known = (each.table(schema.EXAMPLES, ["id"])["id"] for each in (one, other))
            place = pc.fill_null(pc.index_in(ids, value_set=known.combine_chunks()), -1).to_numpy()
            self._theirs = np.where(place >= 0, index[place], -1)
        self.shared = int((self._theirs >= 0).sum())
        self.of_one = self._index[self._theirs >= 0]
        """(shared,) int64 indices in one manifest, ascending"""
        self.of_other = self._theirs[self._theirs >= 0]
        """(shared,) int64 indices of the same examples in the other"""

    def jaccard(self, chosen: np.ndarray, theirs: np.ndarray) -> float:
        """Return the overlap of a set of the one with a set of the other, both without repeats."""
        found = self._theirs[np.searchsorted(self._index, chosen)]
        both = len(np.intersect1d(found[found >= 0], theirs))
        return both / max(1, len(chosen) + len(theirs) - both)


def _differing(one: dict[str, Any], other: dict[str, Any], every: bool = False) -> dict[str, list[Any]]:
    """The values that are not the same, or all of them; null where one has none."""
    names = dict.fromkeys([*one, *other])
    pairs = {name: [one.get(name), other.get(name)] for name in names}
    return {name: pair for name, pair in pairs.items() if every or pair[0] != pair[1]}


def _sizes(manifest: Manifest) -> dict[str, int]:
    entries = manifest.description["partitions"]
    return {
        f"cluster {each['partition']}" if each["label"] is None else each["label"]: each["examples"]
        for each in entries
    }


def _shared_fractions(one: Manifest, other: Manifest) -> list[float]:
    return [fraction for fraction in one.fractions if fraction in other.fractions]


def _subsets(one: Manifest, other: Manifest, fraction: float, places: _Places) -> dict[str, Any]:
    """Budgets, objectives and overlaps of the subsets of one fraction, number by number."""
    entries = [
        next(each for each in manifest.description["subsets"] if each["fraction"] == fraction)
        for manifest in (one, other)
    ]
    count = min(entry["count"] for entry in entries)
    overlaps = [places.jaccard(one.subset(fraction, i), other.subset(fraction, i)) for i in range(count)]
    return {
        "fraction": fraction,
        **{
            name: [entry.get(name) for entry in entries]
            for name in ("budget", "count", "objective", "greedy")
        },
        "gain": [(entry.get("normalised_gain") or {}).get("mean") for entry in entries],
        "jaccard": [round(each, 6) for each in overlaps],
        # Of independent draws of as many: f² of the examples are in both, 2f - f² in either.
        "jaccard_of_draws": round(fraction / (2 - fraction), 6),
    }


def _importance(one: Manifest, other: Manifest, name: str, places: _Places) -> dict[str, Any]:
    table = schema.importance(name)

    def ranks(manifest: Manifest) -> tuple[np.ndarray, np.ndarray]:
        return manifest.column(table, "index"), manifest.column(table, "probability")

    return {
        "name": name,
        "correlation": _correlation(one, other, ranks, places),
        "top_jaccard": {
            f"{fraction:g}": round(places.jaccard(one.top(name, fraction), other.top(name, fraction)), 6)
            for fraction in _shared_fractions(one, other)
        },
        "ess": [each.importance_entry(name).ess for each in (one, other)],
    }


def _order(one: Manifest, other: Manifest, name: str, places: _Places) -> dict[str, Any]:
    def ranks(manifest: Manifest) -> tuple[np.ndarray, np.ndarray]:
        return manifest.order(name), np.arange(manifest.n)

    entries = [each.description["orders"][name] for each in (one, other)]
    return {
        "name": name,
        "correlation": _correlation(one, other, ranks, places),
        "discrepancy": [(entry.get("discrepancy") or {}).get("l2") for entry in entries],
    }


def _correlation(
    one: Manifest,
    other: Manifest,
    values: Callable[[Manifest], tuple[np.ndarray, np.ndarray]],
    places: _Places,
) -> float | None:
    """Spearman's correlation of what two manifests give to the examples of both; None where it has none."""
    from scipy.stats import rankdata

    if places.shared < 2:
        return None
    found = []
    for manifest, wanted in ((one, places.of_one), (other, places.of_other)):
        index, value = values(manifest)
        order = np.argsort(index)
        ranks = rankdata(value[order[np.searchsorted(index, wanted, sorter=order)]])
        found.append(ranks - ranks.mean())
    norms = np.linalg.norm(found[0]) * np.linalg.norm(found[1])
    return round(float(found[0] @ found[1] / norms), 6) if norms else None


def _hygiene(document: dict[str, Any]) -> dict[str, Any]:
    """The findings that one line each can compare; none where they were not looked for."""
    found: dict[str, Any] = {}
    if (neighbours := document.get("neighbours")) is not None:
        agreement = neighbours["agreement"]
        if agreement is not None:
            found["median agreement"] = agreement["median"]
            found["share of suspects"] = agreement["zero_share"]
        found["near-duplicates"] = neighbours["duplicates"]["examples"]
        found["groups of them"] = neighbours["duplicates"]["groups"]
    if "holdout" in document:
        found["test rows among the examples"] = document["holdout"]["near_duplicates"]
    return found
