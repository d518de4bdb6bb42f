"""A comparison of two manifests on a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from syllabus.pipeline.reporting.lines import cell, say, warn

SHOWN, WIDTH = 12, 26


def print_comparison(console: Console, found: dict[str, Any]) -> None:
    """Print what `compare` found, the first manifest as A and the second as B."""
    for name, location in zip("AB", found["manifests"], strict=True):
        say(console, f"{name}  {location}")
    one, other = found["examples"]
    if found["same_data"]:
        say(console, f"the same data: {one:,} examples")
    else:
        both = f"{one:,} and {other:,} examples, {found['in_both']:,} ids in both"
        say(console, f"other data (contents, ids or labels): {both}")
        if found["ids_are_rows"]:
            warn(
                console,
                "neither has ids: an id is the number of a row, which may be another example",
                wrap=True,
            )
    changed = {"version": found["versions"]} if len(set(found["versions"])) > 1 else {}
    encoder = {f"encoder {name}": pair for name, pair in found["encoder"].items()}
    _pairs(console, "options", {**changed, **encoder, **found["options"]})
    _pairs(console, "counts", found["counts"])
    _pairs(console, "partitions", found["partitions"])
    if found["subsets"]:
        _subsets(console, found["subsets"])
    else:
        say(console, "\nsubsets: no fraction is in both, so none can be compared")
    table = _table("importances", "name", "rank correlation", "Jaccard of the top", "ESS A", "ESS B")
    for each in found["importances"]:
        tops = ", ".join(f"{fraction}: {value:.2f}" for fraction, value in each["top_jaccard"].items())
        table.add_row(
            cell(each["name"], WIDTH), _figure(each["correlation"]), tops or "–", *map(_figure, each["ess"])
        )
    _print(console, table)
    table = _table("orders", "name", "rank correlation", "discrepancy A", "B")
    for each in found["orders"]:
        table.add_row(
            cell(each["name"], WIDTH), _figure(each["correlation"]), *map(_value, each["discrepancy"])
        )
    _print(console, table)
    _pairs(console, "hygiene", found["hygiene"])


def _subsets(console: Console, subsets: list[dict[str, Any]]) -> None:
    table = _table(
        "subsets", "fraction", "number", "Jaccard", "least", "of draws", "gain A", "gain B", "greedy B / A"
    )
    for each in subsets:
        overlaps = each["jaccard"]
        one, other = each["greedy"]
        comparable = one and other and len(set(each["objective"])) == 1
        table.add_row(
            f"{each['fraction']:g}",
            f"{len(overlaps)}",
            _figure(sum(overlaps) / len(overlaps) if overlaps else None),
            _figure(min(overlaps, default=None)),
            _figure(each["jaccard_of_draws"]),
            *map(_figure, each["gain"]),
            _value(other / one if comparable else None),
        )
    _print(console, table)


def _pairs(console: Console, title: str, pairs: dict[str, list[Any]]) -> None:
    """A table of values side by side; nothing where there are none."""
    table = _table(title, "", "A", "B")
    for name, values in list(pairs.items())[:SHOWN]:
        table.add_row(cell(name, WIDTH), *(cell(_value(value), WIDTH) for value in values))
    if len(pairs) > SHOWN:
        table.add_row(f"… {len(pairs) - SHOWN:,} more")
    _print(console, table)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(Text(column), justify="left" if number == 0 else "right", no_wrap=True)
    return table


def _print(console: Console, table: Table) -> None:
    if table.row_count:
        console.print()
        console.print(table)


def _value(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.5g}"
    return ", ".join(map(_value, value)) if isinstance(value, list) else str(value)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
