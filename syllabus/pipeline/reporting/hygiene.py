"""What a manifest says of near neighbours and of test data, in lines for people."""

from __future__ import annotations

from typing import Any

SHOWN_PAIRS = 3


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
        lines.append(line)
    same = found["duplicates"]
    lines.append(
        f"  near-duplicates (cosine ≥ {same['threshold']:g}): {same['examples']:,} examples"
        f" ({same['share']:.2%}) in {same['groups']:,} groups"
    )
    return lines


def holdout_lines(document: dict[str, Any]) -> list[str]:
    """Return a line on the test data and one on each of the first pairs; none where there are none."""
    found = document.get("holdout")
    if found is None:
        return []
    lines = [
        f"holdout: {found['near_duplicates']:,} of {found['rows']:,} rows ({found['share']:.2%}) have a"
        f" near-duplicate among the examples (cosine ≥ {found['threshold']:g})"
    ]
    for pair in found["pairs"][:SHOWN_PAIRS]:
        lines.append(
            f"  {pair['source_file']} row {pair['source_row']} ~ index {pair['index']}: {pair['cosine']:.3f}"
        )
    return lines
