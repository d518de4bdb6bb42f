"""Warnings of what the input lost on its way to vectors, and of what contradicts itself in it."""

from __future__ import annotations

from typing import Any

_ROWS = {"guide": "rows of the {kind}", "holdout": "rows of the holdout"}


def input_warnings(document: dict[str, Any]) -> list[str]:
    """Return a line on the texts that were cut, in each of the inputs, and one on contradicting labels."""
    counts, lines = document["counts"], []
    n, limit = counts["accepted"], document.get("encoder", {}).get("max_seq_length", 0)
    if cut := counts.get("truncated"):
        lines.append(
            f"{cut:,} of {n:,} texts ({cut / n:.2%}) are cut at {limit:,} tokens, the encoder's limit: what"
            " follows has no part in the selection; they are near-duplicates only of equal texts;"
            " --long-texts chunks reads all"
        )
    for name, what in _ROWS.items():
        section = document.get(name, {})
        if cut := section.get("truncated"):
            told = what.format(kind=section.get("kind", name))
            lines.append(f"{cut:,} of {section['rows']:,} {told} are cut at {limit:,} tokens")
    if conflicting := counts.get("conflicting_labels"):
        lines.append(
            f"{conflicting:,} of {n:,} examples ({conflicting / n:.2%}) have a content that is also there"
            " under another label: at most one of its labels is right"
        )
    return lines
