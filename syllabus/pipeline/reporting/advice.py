"""Warnings from the figures of a manifest, with what can be done, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from syllabus.pipeline.reporting import sections
from syllabus.pipeline.reporting.input_warnings import input_warnings
from syllabus.pipeline.reporting.sections import chosen_weight, mean_weight, unit_of

LIGHT = 0.5
"""Share of the mean weight below which chosen rows are light."""
SPENT = 0.9
"""Share of a budget that subsets spend at least, unless much of it is out of reach."""
MONOTONE = 0.5
"""Largest trade-off with which every row adds to the value of graph cut."""
KEPT = 0.95
"""Share of the gain over all of a partition that a selection in parts keeps where it does not matter."""
ALIKE, LARGE = 0.9, 0.5
"""Jaccard index of subsets that hardly differ; larger fractions must overlap."""


def warnings_of(document: dict[str, Any]) -> list[str]:
    """Return every warning that a manifest gives cause for, one line each."""
    lines = [*input_warnings(document), *cautions(document), *sections.meaning_lines(document)]
    cosine = document["encoder"].get("mean_cosine")
    if cosine is not None and cosine > sections.HIGH_COSINE:
        lines.append(
            f"the mean cosine of two examples is {cosine:.2f}: the vectors share a large mean, and the cosine"
            " hardly separates them; try --preprocess center, for a table standardise"
        )
    return lines


def cautions(document: dict[str, Any]) -> list[str]:
    """Return a line for each thing that is not as one would wish."""
    found = [line for entry in document["subsets"] for line in _alike(entry)]
    found += [line for entry in document["subsets"] for line in _lossy(document, entry)]
    if "weight" in document:
        found += _unspent(document)
        found += _light(document)
    return found


def _alike(entry: dict[str, Any]) -> Iterator[str]:
    jaccard = entry.get("jaccard")
    if jaccard is not None and jaccard >= ALIKE and entry["fraction"] <= LARGE:
        yield (
            f"the {entry['count']:,} subsets of {entry['fraction']:g} hardly differ (Jaccard {jaccard:.2f}):"
            " a larger --epsilon makes them differ, or --subsets 1 one of them"
        )


def _lossy(document: dict[str, Any], entry: dict[str, Any]) -> Iterator[str]:
    parts = entry.get("parts") or {}
    gain = parts.get("gain")
    if gain is None or gain["least"] >= KEPT:
        return
    objective = entry.get("objective", "greedy")
    kept = f"{gain['least']:.2f} of the gain over all of it, 0 is random"
    if objective == "graph_cut":
        kept = f"at least {kept}"
    else:
        kept += f", in a sample of {parts['sample']:,} in smaller parts, which mostly lose more"
    limit = "--memory-per-worker" if "buckets" in document else "--bucket-size"
    clusters = "" if document["options"].get("label") else ", or more --clusters,"
    yield (
        f"{objective} at {entry['fraction']:g}: selected from in up to {parts['most']:,} parts a partition"
        f" keeps {kept}; a larger {limit}{clusters} keeps more"
    )


def _unspent(document: dict[str, Any]) -> Iterator[str]:
    options = document["options"]
    if options.get("objective") == "graph_cut" and options.get("trade_off", 0) > MONOTONE:
        why = (
            f"with --trade-off {options['trade_off']:g} rows like those chosen lower the value, and are left"
            f" out; up to {MONOTONE:g} none does"
        )
    else:
        why = (
            "some rows are heavier than the share of their class or bucket; cap the weights or take a larger"
            " --fraction"
        )
    for entry in document["subsets"]:
        spent = sum(entry["weights"]) / entry["count"] / entry["budget"]
        if spent < SPENT:
            yield f"subsets of {entry['fraction']:g} spend {spent:.0%} of their {unit_of(document)}: {why}"


def _light(document: dict[str, Any]) -> Iterator[str]:
    power = document["options"].get("weight_power", 0)
    shares = {
        entry["fraction"]: chosen_weight(entry) / mean_weight(document) for entry in document["subsets"]
    }
    light = {fraction: share for fraction, share in shares.items() if share < LIGHT}
    if light and power:
        shown = ", ".join(f"{share:.2f} at {fraction:g}" for fraction, share in light.items())
        yield (
            f"chosen rows weigh less than half the mean ({shown}): gain / weight^{power:g} prefers light"
            " ones; --weight-power 0 passes over weights"
        )
