"""The lists of hygiene on a terminal: what a person would look at first, as many rows as are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import pyarrow as pa
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from syllabus.manifests import Manifest
from syllabus.pipeline.reporting.lines import cell, say, tail
from syllabus.pipeline.reporting.sections import duplicate_lines, meaning_lines

ID_WIDTH, LABEL_WIDTH, FILE_WIDTH, MIN_TEXT = 12, 14, 24, 20
MEMBERS = 4
"""Examples of a group that are shown; the rest are counted."""


def print_suspects(console: Console, manifest: Manifest, rows: pa.Table, limit: int) -> None:
    """Print the first suspects, each with the label that its neighbours have."""
    counts = manifest.description["hygiene"]["suspects"]
    drawn = f" ({rows.num_rows:,} of them drawn by chance)" if counts["listed"] < counts["found"] else ""
    agreement = manifest.neighbours and manifest.neighbours.agreement
    numbers = agreement is not None and agreement.kind == "number"
    if not counts["found"]:
        why = "is far from its neighbours' mean" if numbers else "has a label that no near neighbour has"
        say(console, f"none of {manifest.n:,} examples is suspect: none {why}", wrap=True)
        return
    why = "far from their neighbours' mean" if numbers else "no near neighbour has their label"
    found = f"{counts['found']:,} of {manifest.n:,} examples are suspect: {why}{drawn}; the surest first"
    say(console, found, wrap=True)
    shown = rows.slice(0, limit)
    lines = []
    for row in shown.to_pylist():
        share = "" if row["share"] is None else f" {row['share']:.0%}"
        told = row["neighbour_label"]
        near = cell("no label" if told is None else told, LABEL_WIDTH).plain + share
        label = {"label": f"{float(row['label']):.6g}"} if numbers else {}
        lines.append({**_example(row), **label, "neighbours": near, "cosine": f"{row['cosine']:.3f}"})
    _print(console, lines, rows.num_rows - shown.num_rows, "suspects")


def print_duplicates(console: Console, manifest: Manifest, rows: pa.Table, limit: int) -> None:
    """Print the first groups; of large ones the first examples."""
    first = "the largest" if rows["label"].null_count == rows.num_rows else "those of several labels"
    order = f"; {first} first" if rows.num_rows else ""
    say(console, f"{duplicate_lines(manifest.description)[0]}{order}", wrap=True)
    for line in meaning_lines(manifest.description):
        say(console, f"warning: {line}", wrap=True)
    sizes = rows["group"].value_counts().to_pylist()
    last = sum(each["counts"] for each in sizes[:limit])  # groups stand together, in order
    lines: list[dict[str, str]] = []
    for _, held in groupby(_rows(rows.slice(0, last)), key=lambda row: row["group"]):
        members = [row for _, row in zip(range(MEMBERS), held, strict=False)]
        lines += [{}] if lines else []
        for row in members:
            near = "–" if row["cosine"] is None else f"{row['cosine']:.3f}"
            kept = {True: "yes", False: "", None: "–"}[row["kept"]]
            lines.append({**_example(row), "cosine": near, "kept": kept})
        if (more := members[0]["size"] - len(members)) > 0:
            lines.append({"index": f"+{more:,}"})
    _print(console, lines, len(sizes) - min(limit, len(sizes)), "groups")


def print_holdout(console: Console, manifest: Manifest, rows: pa.Table, limit: int) -> None:
    """Print the first pairs: the test row, and the example below it."""
    found = manifest.description["holdout"]
    line = f"{found['near_duplicates']:,} of {found['rows']:,} test rows are near-duplicates of examples"
    order = "; the nearest first" if found["near_duplicates"] else ""
    say(console, f"{line} (cosine ≥ {found['threshold']:g}){order}", wrap=True)
    for line in meaning_lines(manifest.description):
        say(console, f"warning: {line}", wrap=True)
    shown, lines = rows.slice(0, limit), []
    for row in shown.to_pylist():
        lines += [{}] if lines else []
        place = cell(f"test {row['test_row']} {row['test_file']}", FILE_WIDTH).plain
        cosine = f"{row['cosine']:.3f}"
        lines.append({"cosine": cosine, "row": place, "label": "", "text": row["test_text"] or ""})
        name = f"{row['index']}" + ("" if row["id"] == f"{row['index']}" else f" {row['id']}")
        own = _example(row)
        lines.append({"row": cell(name, FILE_WIDTH).plain, "label": own["label"], "text": own["text"]})
    _print(console, lines, rows.num_rows - shown.num_rows, "test rows")


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=1000):
        yield from batch.to_pylist()


def _example(row: dict[str, Any]) -> dict[str, str]:
    index = f"{row['index']}"
    file = f"{row['source_file']} {row['source_row']}".removesuffix(" 0")
    return {
        "index": index,
        # Without a column of ids they are the indices; of a folder of images they may be the paths.
        "id": "" if row["id"] in (index, row["source_file"]) else cell(row["id"], ID_WIDTH).plain,
        "label": "" if row["label"] is None else cell(row["label"], LABEL_WIDTH).plain,
        "file": "" if row["text"] else tail(file, FILE_WIDTH),
        "text": row["text"] or "",
    }


def _print(console: Console, lines: list[dict[str, str]], more: int, what: str) -> None:
    """Print lines by column; the text, the last, has the room that the others leave."""
    names = list(dict.fromkeys(name for line in lines for name, value in line.items() if value))
    names = [name for name in names if name != "text"] + [name for name in names if name == "text"]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    left = console.width
    for name in names:
        widest = max(cell_len(text) for text in (name, *(line.get(name, "") for line in lines)))
        width = max(MIN_TEXT, left) if name == "text" else widest
        left -= width + 2
        figures = name in ("index", "cosine")
        table.add_column(name, justify="right" if figures else "left", no_wrap=True, width=min(width, widest))
        for line in lines:
            line[name] = line.get(name, "")[: 4 * width]
    for line in lines:
        table.add_row(*(cell(line[name], console.width) if line[name] else "" for name in names))
    if names:
        console.print()
        console.print(table, soft_wrap=False)
    if more > 0:
        console.print()
        one = what.removesuffix("s") if more == 1 else what
        say(console, f"… {more:,} more {one}: --limit shows more of them, --output FILE writes all")
