"""Sections of manifest.json in lines for people: budgets in units of a column, neighbours, test data."""

from __future__ import annotations

from typing import Any

AGREEMENT_LEGENDS = {
    "class": "share of the neighbours with the same label",
    "list": "mean Jaccard index with the lists of the neighbours",
    "number": "distance from the neighbours' mean, in its standard deviations; large: suspect",
}
UNIFORM = 0.95
"""Effective sample size from which draws can hardly be told from uniform ones."""
HIGH_COSINE = 0.3
"""Mean cosine from which the vectors share a large mean."""
SHOWN_LABELS = 4
LABEL_WIDTH = 30
SHOWN_PAIRS = 3


def unit_of(document: dict[str, Any]) -> str | None:
    """Return the name of the column that budgets count, on one line; None where they count examples."""
    return " ".join(document["weight"]["column"].split()) if "weight" in document else None


def total_line(document: dict[str, Any]) -> str | None:
    """Return what all examples weigh; None where budgets count examples."""
    unit = unit_of(document)
    if unit is None:
        return None
    total = document["weight"]["total"]
    return f"budgets count {unit}: {total:,} in all, {mean_weight(document):,.1f} an example"


def spent_lines(document: dict[str, Any]) -> list[str]:
    """Return a line on each fraction, what its subsets spend, and one on classes of which they have none."""
    if "weight" not in document:
        return []
    lines = []
    for entry in document["subsets"]:
        spent, rows = _span(entry["weights"]), _span(entry["rows"])
        lines.append(
            f"{entry['fraction']:g}: {rows} rows spend {spent} of {entry['budget']:,} {unit_of(document)};"
            f" {chosen_weight(entry):,.1f} a row"
        )
        if entry.get("empty_partitions"):
            lines.append(
                f"  none of {_labels(document, entry['empty_partitions'])}: too heavy for their share"
            )
    return lines


def mean_weight(document: dict[str, Any]) -> float:
    """Return what an example weighs on average."""
    return float(document["weight"]["total"] / max(1, document["counts"]["accepted"]))


def chosen_weight(entry: dict[str, Any]) -> float:
    """Return what a row of a fraction's subsets weighs on average."""
    return float(sum(entry["weights"]) / sum(entry["rows"]))


def parts_lines(document: dict[str, Any]) -> list[str]:
    """Return a line on each fraction whose partitions were selected from in parts, and what that loses."""
    lines = []
    if "buckets" in document:
        held = document["buckets"]
        lines.append(
            f"buckets of at most {held['examples']:,} examples, as {held['memory_per_worker']:g} GB hold them"
        )
    for entry in document["subsets"]:
        found = entry.get("parts")
        if found is None:
            continue
        many = "partitions" if found["partitions"] > 1 else "partition"
        line = f"{entry['fraction']:g}: {found['partitions']:,} {many} in up to {found['most']:,} parts"
        if found["gain"] is not None:
            bound = entry.get("objective") == "graph_cut"
            line += (
                f" keep {'at least ' if bound else ''}{found['gain']['mean']:.3f} of the gain over all, least"
                f" {found['gain']['least']:.3f}, by samples of {found['sample']:,}"
                f"{'' if bound else ' in smaller parts, which mostly lose more'}"
            )
        elif found["sample"]:
            line += f"; of samples of {found['sample']:,} no selection is better than random rows"
        else:
            line += "; too few examples to tell what that loses"
        if found["decided"] is not None:
            line += f"; bounds alone would decide {found['decided']:.0%} of the rows"
        lines.append(line)
    return lines


def neighbour_lines(document: dict[str, Any]) -> list[str]:
    """Return a line each on the search, the labels and the duplicates; none where there was no search."""
    found = document.get("neighbours")
    if found is None:
        return []
    lines = [f"{found['k']} nearest neighbours ({found['method']}), recall {found['recall']:.3f}"]
    agreement = found["agreement"]
    if agreement is not None:
        line = f"  neighbour agreement: median {agreement['median']:.2f}"
        if agreement["zero_share"] is not None:
            line += f"; {agreement['zero_share']:.2%} agree with none: suspect labels"
        lines += [line, f"    {AGREEMENT_LEGENDS[agreement['kind']]}"]
    return [*lines, *(f"  {line}" for line in duplicate_lines(document))]


def duplicate_lines(document: dict[str, Any]) -> list[str]:
    """Return lines on the near-duplicates: how many, the largest groups, and whether they are copies."""
    if "neighbours" not in document:
        return []
    same = document["neighbours"]["duplicates"]
    lines = [
        f"near-duplicates (cosine ≥ {same['threshold']:g}): {same['examples']:,} examples"
        f" ({same['share']:.2%}) in {same['groups']:,} groups"
    ]
    for group in same.get("largest", ()):
        line = (
            f"  {group['examples']:,} with index {group['index']}, least cosine {group['least_cosine']:.3f}"
        )
        if group["labels"]:
            more = group["labels"] - len(group["partitions"])
            line += f", {group['labels']:,} label{'s' if group['labels'] > 1 else ''}: "
            line += _labels(document, group["partitions"]) + (f" and {more:,} more" if more > 0 else "")
        lines.append(line)
    if "cover" in same and same["groups"]:
        cover = same["cover"]
        one = cover["left_out"] == 1
        has, their, them = ("has", "its", "it") if one else ("have", "their", "them")
        lines.append(
            f"  {cover['left_out']:,} {has} another of {their} label as near as {cover['threshold']:.4g} that"
            f" stands for {them}"
        )
        if cover["not_compared"]:
            lines.append(f"  {cover['not_compared']:,} are in groups too large to be compared, and stay")
        lines += [f"warning: {line}" for line in meaning_lines(document)]
    return lines


def meaning_lines(document: dict[str, Any]) -> list[str]:
    """Return a line on why near-duplicates are not taken for copies; none where they are."""
    same = document.get("neighbours", {}).get("duplicates", {})
    found = same.get("separation")
    if found is None or not found["against"] or not same["groups"]:
        return []
    mixed = f"{found['mixed'] or 0:.0%} of near-duplicates have another label"
    reasons = {
        "random_share": f"random pairs reach it in {found['random_share']:.1%}",
        "crowded": f"{found['crowded']:.0%} of the examples have others just beyond it",
        "mixed": f"{mixed}, {same['chance'] or 0:.0%} of random pairs",
        "threshold": "rounding decides so near to 1",
        "not_compared": "groups are too large to be compared",
    }
    line = f"cosine ≥ {same['threshold']:g} does not tell copies from neighbours here: "
    line += ", ".join(reasons[name] for name in found["against"])
    if not same["cover"]["separation"]["against"]:
        return [f"{line}; copies are those of {same['cover']['threshold']:.4g} and above"]
    plain = document["options"].get("preprocess", "none") == "none"
    other = "--preprocess center, for a table standardise, or " if plain else ""
    return [
        f"{line}; auto leaves near-duplicates in; if they are copies, {other}a larger --relative-threshold"
        " may tell them"
    ]


def holdout_lines(document: dict[str, Any]) -> list[str]:
    """Return a line on the test data and one on each of the first pairs; none where there are none."""
    found = document.get("holdout")
    if found is None:
        return []
    means_nothing = meaning_lines(document)
    lines = [
        f"holdout: {found['near_duplicates']:,} of {found['rows']:,} rows"
        + ("" if means_nothing else f" ({found['share']:.2%})")
        + f" have a near-duplicate among the examples (cosine ≥ {found['threshold']:g})"
    ]
    if means_nothing:
        lines[0] += ": that says nothing of copies, see the warning on near-duplicates"
    elif "neighbours" not in document:
        lines[0] += "; with --neighbours 0 it is not known whether this cosine tells copies"
    for pair in found["pairs"][:SHOWN_PAIRS]:
        lines.append(
            f"  {pair['source_file']} row {pair['source_row']} ~ index {pair['index']}: {pair['cosine']:.3f}"
        )
    return lines


def uniform_lines(document: dict[str, Any]) -> list[str]:
    """Return a line on each importance that draws as if there were none."""
    return [
        f"{name} draws nearly uniformly: effective sample size {ess:.3f} of 1; --importance {base}:0.5 draws"
        " by it more"
        for name, each in document["importances"].items()
        if (ess := (each.get("ess") or {}).get("mean")) is not None and ess >= UNIFORM
        for base in (each.get("base", name),)
    ]


def _span(values: list[int]) -> str:
    least, greatest = min(values), max(values)
    return f"{least:,}" if least == greatest else f"{least:,} to {greatest:,}"


def _labels(document: dict[str, Any], partitions: list[int]) -> str:
    """The first of these partitions by name."""
    names = []
    for number in partitions[:SHOWN_LABELS]:
        label = document["partitions"][number]["label"]
        name = f"cluster {number}" if label is None else " ".join(label.split())
        names.append(name if len(name) <= LABEL_WIDTH else name[: LABEL_WIDTH - 1] + "…")
    more = len(partitions) - len(names)
    return ", ".join(names) + (f" and {more:,} more" if more else "")
