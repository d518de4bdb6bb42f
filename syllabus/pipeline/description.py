"""What is in a manifest, for people."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from syllabus.manifests import Manifest

SHOWN_PARTITIONS = 12
HIGH_COSINE = 0.3


def print_description(console: Console, manifest: Manifest) -> None:
    """Print counts, encoder, partitions, subsets, importances and orders of an opened manifest."""
    document = manifest.description
    counts, encoder = document["counts"], document["encoder"]
    console.print(f"[bold]{manifest.location}[/]", soft_wrap=True)
    console.print(f"fingerprint {manifest.fingerprint}", soft_wrap=True)
    console.print(
        f"{counts['accepted']:,} examples; {counts['rejected']:,} of {counts['source_rows']:,} rejected"
    )
    for reason, count in counts["reasons"].items():
        console.print(f"  {reason}: {count:,}")
    console.print(
        f"encoder {encoder['name']} ({encoder['kind']}, {encoder['dtype']}), {encoder['dimension']} dimensions"
    )
    _cosine(console, encoder.get("mean_cosine"))
    for table in (_partitions(document), _subsets(document), _importances(document), _orders(document)):
        if table.row_count:
            console.print()
            console.print(table)


def _cosine(console: Console, cosine: float | None) -> None:
    if cosine is None:
        return
    console.print(f"mean cosine of two examples {cosine:.3f}")
    if cosine > HIGH_COSINE:
        console.print(
            f"[yellow]warning:[/] above {HIGH_COSINE}: the vectors share a large mean and the cosine hardly"
            " separates them; try --preprocess center",
            soft_wrap=True,
        )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


def _partitions(document: dict[str, Any]) -> Table:
    parts = document["partitions"]
    table = _table(f"{len(parts)} partitions", "label", "examples")
    for part in parts[:SHOWN_PARTITIONS]:
        table.add_row(
            f"cluster {part['partition']}" if part["label"] is None else part["label"],
            f"{part['examples']:,}",
        )
    if len(parts) > SHOWN_PARTITIONS:
        table.add_row("…", f"{sum(part['examples'] for part in parts[SHOWN_PARTITIONS:]):,}")
    return table


def _subsets(document: dict[str, Any]) -> Table:
    table = _table(
        "easy subsets",
        "objective",
        "fraction",
        "budget",
        "count",
        "normalised gain",
        "Jaccard",
        "rows covered",
        "bound",
    )
    for each in document["subsets"]:
        gain = each.get("normalised_gain")
        bound = each.get("upper_bound")
        table.add_row(
            each.get("objective", ""),
            f"{each['fraction']:g}",
            f"{each['budget']:,}",
            str(each["count"]),
            "–" if gain is None else f"{gain['mean']:.3f} (least {gain['least']:.3f})",
            "–" if each.get("jaccard") is None else f"{each['jaccard']:.2f}",
            "–" if each.get("covered") is None else f"{each['covered']:.1%}",
            "–" if bound is None else f"greedy ≥ {each['greedy'] / bound:.3f} of the best",
        )
    return table


def _importances(document: dict[str, Any]) -> Table:
    table = _table("importances", "name", "effective sample size", "least", "greatest", "map")
    for name, each in document["importances"].items():
        ess = each.get("ess")
        figures = ["–"] * 3 if ess is None else [f"{ess[key]:.3f}" for key in ("mean", "least", "greatest")]
        table.add_row(name, *figures, each.get("map", "–"))
    return table


def _orders(document: dict[str, Any]) -> Table:
    table = _table("orders", "name", "discrepancy l2", "random", "l∞", "random")
    for name, each in document["orders"].items():
        own, random = each["discrepancy"], each["random"]
        table.add_row(
            name, f"{own['l2']:.2f}", f"{random['l2']:.2f}", f"{own['linf']:.2f}", f"{random['linf']:.2f}"
        )
    return table
