"""Description of a manifest, for people."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from syllabus.manifests import Manifest
from syllabus.pipeline.errors import printable
from syllabus.pipeline.reporting import sections
from syllabus.pipeline.reporting.advice import cautions
from syllabus.pipeline.reporting.input_warnings import input_warnings
from syllabus.pipeline.reporting.lines import cell, say, warn

SHOWN_PARTITIONS = 12
SHOWN_FRACTIONS = 3
LABEL_WIDTH = 40
NAME_WIDTH = 22
UNIT_WIDTH = 12
SUBSETS_LEGEND = (
    "gain: 0 is a random subset, 1 greedy's; Jaccard: shared by two subsets; covered: examples in any;"
    " certificate: greedy's value is at least this share of the best there is"
)

IMPORTANCES_LEGEND = (
    "1 draws all examples of a partition alike, 0.1 about a tenth of them; mean, least, most: over partitions"
)
ORDERS_LEGEND = (
    "discrepancy: greatest norm of the sum of an order's first centred embeddings, l2, or l∞: of one"
    " dimension; small is even; random: the same of shuffles"
)


def print_description(console: Console, manifest: Manifest) -> None:
    """Print counts, encoder, neighbours, partitions, subsets, importances and orders of a manifest."""
    document = manifest.description
    counts, encoder = document["counts"], document["encoder"]
    console.print(Text(printable(str(manifest.location)), style="bold"), soft_wrap=True)
    say(console, f"fingerprint {manifest.fingerprint}")
    console.print(
        f"{counts['accepted']:,} examples; {counts['rejected']:,} of {counts['source_rows']:,} rejected"
    )
    if counts.get("excluded"):
        console.print(f"  {counts['excluded']:,} more were left out by --where")
    for reason, count in counts["reasons"].items():
        say(console, f"  {reason}: {count:,}")
    if (line := sections.total_line(document)) is not None:
        say(console, line, wrap=True)
    say(
        console,
        f"encoder {encoder['name']} ({encoder['kind']}, {encoder['dtype']}),"
        f" {encoder['dimension']} dimensions{_limit(encoder)}",
    )
    _cosine(console, encoder.get("mean_cosine"))
    if "sketches" in document:
        console.print(f"sketches of {document['sketches']['dimension']} dimensions in 8 bits")
    if "guide" in document:
        guide = document["guide"]
        console.print(f"guided by {guide['rows']:,} rows ({guide['kind']}), sha256 {guide['sha256'][:12]}…")
    for line in sections.parts_lines(document):
        say(console, line)
    for line in (*sections.neighbour_lines(document), *sections.holdout_lines(document)):
        say(console, line)
    for line in input_warnings(document):
        warn(console, line)
    subsets = SUBSETS_LEGEND
    if sections.unit_of(document):
        subsets = subsets.replace("random subset", "random subset of as many rows")
    for table, legend in (
        (_partitions(document), ""),
        (_subsets(document), subsets),
        (_importances(document), IMPORTANCES_LEGEND),
        (_orders(document), ORDERS_LEGEND),
    ):
        if table.row_count:
            console.print()
            console.print(table)
            if legend:
                console.print(legend, style="dim")
    if document["subsets"]:
        console.print()
        for line in sections.spent_lines(document):
            say(console, line, wrap=True)
        for line in cautions(document):
            warn(console, line, wrap=True)
    for line in sections.uniform_lines(document):
        say(console, line, wrap=True)


def _limit(encoder: dict[str, Any]) -> str:
    """What becomes of long texts."""
    if (tokens := encoder.get("max_seq_length")) is None:
        return ""
    chunks = encoder.get("long_texts") == "chunks"
    return f"; texts are {'read in chunks of' if chunks else 'cut at'} {tokens:,} tokens"


def _cosine(console: Console, cosine: float | None) -> None:
    if cosine is None:
        return
    console.print(f"mean cosine of two examples {cosine:.3f}")
    if cosine > sections.HIGH_COSINE:
        console.print(
            f"[yellow]warning:[/] above {sections.HIGH_COSINE}: the vectors share a large mean and the cosine"
            " hardly separates them; try --preprocess center, for a table standardise",
        )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=printable(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(Text(printable(column)), justify="left" if number == 0 else "right", no_wrap=True)
    return table


def _partitions(document: dict[str, Any]) -> Table:
    parts = document["partitions"]
    # In every subset of a fraction a partition has the same number.
    chosen = [each for each in document["subsets"] if "partitions" in each][:SHOWN_FRACTIONS]
    titles = [f"in {each['fraction']:g}" for each in chosen]
    title = f"{len(parts):,} partition{'s' if len(parts) > 1 else ''}"
    unit = sections.unit_of(document)
    sizes = {"examples": "examples"} if unit is None else {"examples": "examples", _short(unit): "weight"}
    title += "" if unit is None else f"; budgets in {_short(unit)}"
    table = _table(title, "label", *sizes, *titles)
    clusters = all(part["label"] is None for part in parts)
    for part in parts[:SHOWN_PARTITIONS]:
        nameless = f"cluster {part['partition']}" if clusters else "no label"
        label = nameless if part["label"] is None else part["label"]
        counts = [f"{each['partitions'][part['partition']]:,}" for each in chosen]
        table.add_row(cell(label, LABEL_WIDTH), *(f"{part[key]:,}" for key in sizes.values()), *counts)
    if len(parts) > SHOWN_PARTITIONS:
        rest = parts[SHOWN_PARTITIONS:]
        counts = [f"{sum(each['partitions'][SHOWN_PARTITIONS:]):,}" for each in chosen]
        totals = [f"{sum(part[key] for part in rest):,}" for key in sizes.values()]
        table.add_row(f"… {len(rest):,} more", *totals, *counts)
    return table


def _subsets(document: dict[str, Any]) -> Table:
    # As few and as narrow columns as fit 80: a figure that is wrapped cannot be read.
    objectives = sorted({each.get("objective", "?") for each in document["subsets"]})
    table = _table(
        f"easy subsets by {', '.join(objectives)}",
        *("fraction", "budget", "count", "gain", "least", "Jaccard", "covered", "certificate"),
    )
    for each in document["subsets"]:
        gain, bound = each.get("normalised_gain"), each.get("upper_bound")
        table.add_row(
            f"{each['fraction']:g}",
            f"{each['budget']:,}",
            f"{each['count']:,}",
            _figure(gain and gain["mean"], ".3f"),
            _figure(gain and gain["least"], ".3f"),
            _figure(each.get("jaccard"), ".2f"),
            _figure(each.get("covered"), ".1%"),
            _figure(each["greedy"] / bound if bound and "greedy" in each else None, ".3f"),
        )
    return table


def _importances(document: dict[str, Any]) -> Table:
    # Another writer's may hold less.
    every = [each.get("inclusion_ess", [])[:SHOWN_FRACTIONS] for each in document["importances"].values()]
    shown = max(every, key=len, default=[])
    # As many figures as fit 80: the heads are short.
    titles = [f"{each['fraction']:g}" for each in shown]
    title = "importances: effective sample size of probabilities, and of draws by fraction"
    table = _table(title, "name", "mean", "least", "most", *titles, "map")
    for name, each in document["importances"].items():
        ess = each.get("ess") or {}
        figures = [ess.get(key) for key in ("mean", "least", "greatest")]
        figures += [one.get("mean") for one in each.get("inclusion_ess", [])[:SHOWN_FRACTIONS]]
        figures += [None] * (len(titles) + 3 - len(figures))
        table.add_row(
            cell(name, NAME_WIDTH), *(_figure(value, ".3f") for value in figures), each.get("map", "–")
        )
    return table


def _orders(document: dict[str, Any]) -> Table:
    table = _table("orders: discrepancy", "name", "l2", "random l2", "l∞", "random l∞")
    for name, each in document["orders"].items():
        own, random = each.get("discrepancy") or {}, each.get("random") or {}
        figures = (own.get("l2"), random.get("l2"), own.get("linf"), random.get("linf"))
        shown = f"{name} ({each['interleaved']:,} parts interleaved)" if "interleaved" in each else name
        table.add_row(cell(shown, LABEL_WIDTH), *(_figure(value, ".4g") for value in figures))
    return table


def _short(unit: str) -> str:
    """The name of a unit as a column's title."""
    return unit if len(unit) <= UNIT_WIDTH else unit[: UNIT_WIDTH - 1] + "…"


def _figure(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
