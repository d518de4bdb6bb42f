"""Messages of a job before and after it runs: what subsets will take, what was done, what comes next."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table

from syllabus.manifests import budget
from syllabus.pipeline.options import Options
from syllabus.pipeline.outcome import Outcome
from syllabus.pipeline.reporting.advice import cautions, warnings_of
from syllabus.pipeline.reporting.input_warnings import input_warnings
from syllabus.pipeline.reporting.lines import WarningsOnly, say, warn
from syllabus.pipeline.reporting.sections import duplicate_lines, holdout_lines, spent_lines, unit_of

SUBSET_ROW_BYTES = 12
"""A subset's row in the manifest as it is compressed: the gain does not shrink, most of the rest does."""


def announce_subsets(options: Options, rows: int, mean_weight: float | None, console: Console) -> None:
    """Print how much the subsets will take, while it can still be changed for nothing.

    `rows` is the number of source rows, `mean_weight` that of the first of them where budgets count weights.
    """
    if not options.subset_count:
        return
    sizes = [budget(fraction, rows) for fraction in options.fraction]
    each = f"{', '.join(f'{size:,}' for size in sizes)} rows"
    if options.weight is None:
        each += " each"
    else:
        mean = mean_weight or 1.0
        units = (budget(fraction, round(mean * rows)) for fraction in options.fraction)
        shown = ", ".join(f"{size:,}" for size in units)
        each = f"about {shown} {options.weight} each: {each} of {mean:,.1f}, the mean of the first ones"
    total = options.subset_count * sum(sizes)
    megabytes = total * SUBSET_ROW_BYTES / 1e6
    room = f"about {megabytes:,.1f} MB" if megabytes >= 0.1 else "under 0.1 MB"
    say(
        console,
        f"subsets: {options.subset_count:,} of {each}, {total:,} rows in all,"
        f" {room}, if no row is rejected{' or left out' if options.where else ''} (--subsets, --fraction)",
    )


def announce_weights(options: Options, accepted: int, weight: int | None, console: Console) -> None:
    """Print what the `accepted` examples weigh together, and the budgets, before anything is chosen."""
    if weight is None:
        return
    mean = weight / accepted
    sizes = [budget(fraction, weight) for fraction in options.fraction]
    rows = ", ".join(f"{size / mean:,.0f}" for size in sizes)
    shares = ", ".join(f"{size:,}" for size in sizes)
    more = ", or more light ones" if options.weight_power else ""
    say(
        console,
        f"weight: {accepted:,} examples have {weight:,} {options.weight},"
        f" {mean:,.1f} each; budgets of {shares}: about {rows} rows{more}",
    )


def summary(outcome: Outcome) -> dict[str, Any]:
    """Return what a job did as values of JSON."""
    document = outcome.document
    keys = ("fraction", "budget", "count", "objective", "greedy", "normalised_gain", "jaccard")
    return {
        "manifest": outcome.manifest,
        "fingerprint": document["fingerprint"]["sha256"],
        "code_version": document["code_version"],
        "counts": document["counts"],
        "partitions": len(document["partitions"]),
        "subsets": [{key: each[key] for key in keys if key in each} for each in document["subsets"]],
        "importances": sorted(document["importances"]),
        "orders": sorted(document["orders"]),
        "warnings": warnings_of(document),
        "not_read": [{"name": name, "why": why} for name, why in outcome.ignored],
        "stages": [vars(stage) for stage in outcome.stages],
        "seconds": round(sum(stage.seconds for stage in outcome.stages), 3),
    }


def announce_buckets(
    options: Options, buckets: tuple[int, ...], limited: int | None, dimension: int, console: Console
) -> None:
    """Print that a worker's memory cuts partitions into more buckets than was asked for.

    `buckets` are those of each partition, `limited` the most examples of one where memory limits it.
    """
    if limited is not None:
        cut = sum(count > 1 for count in buckets)
        again = ""
        if options.objective == "facility_location" and limited > dimension:
            again = "; it does not hold their similarities too, which are computed again and again: slower"
        warn(
            console,
            f"memory_per_worker={options.memory_per_worker:g} GB holds {limited:,} vectors of {dimension}"
            f" dimensions of a bucket ({4 * dimension * limited / 1e9:.2g} GB), less than"
            f" bucket_size={options.bucket_size}: {cut:,} partition{'s are' if cut > 1 else ' is'} selected"
            f" from in up to {max(buckets):,} parts; the manifest says what that loses{again}",
        )


def announce_device(options: Options, console: Console) -> None:
    """Print that faiss stays on the CPU where a GPU was asked for and the installed faiss has none."""
    if not (options.device or "").startswith("cuda"):
        return
    from syllabus.selectors.neighbours import faiss_has_gpu  # loads numba

    if not faiss_has_gpu():
        warn(
            console,
            f"device={options.device!r}: the installed faiss has no GPU; it fits k-means on the CPU, and"
            " torch searches; pip install 'syllabus[gpu]' in place of 'syllabus[cpu]'",
        )


def print_summary(console: Console, outcome: Outcome) -> None:
    """Print the stages with their times and what they reused, the counts, and what comes next."""
    if isinstance(console, WarningsOnly):
        for line in warnings_of(outcome.document):
            warn(console, line)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("stage", "reused", "new", "", "seconds"):
        table.add_column(name, justify="left" if name in ("stage", "") else "right")
    for stage in outcome.stages:
        table.add_row(stage.stage, f"{stage.reused:,}", f"{stage.new:,}", stage.unit, f"{stage.seconds:.1f}")
    console.print(table)
    counts, unit = outcome.document["counts"], unit_of(outcome.document)
    line = f"{counts['accepted']:,} examples in {len(outcome.document['partitions'])} partitions"
    for subset in outcome.document["subsets"]:
        line += f"; {subset['count']} subsets of {subset['budget']:,}{f' {unit}' if unit else ''}"
    say(console, line)
    for line in spent_lines(outcome.document):
        say(console, line)
    for line in cautions(outcome.document):
        warn(console, line)
    if counts["rejected"]:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in counts["reasons"].items())
        were = "row was" if counts["rejected"] == 1 else "rows were"
        say(console, f"{counts['rejected']:,} {were} rejected: {reasons}; see rejects/")
    for line in (*duplicate_lines(outcome.document), *holdout_lines(outcome.document)):
        say(console, line)
    for line in input_warnings(outcome.document):
        warn(console, line)
    halvings = sum(stage.counters.get("out_of_memory", 0) for stage in outcome.stages)
    if halvings:
        console.print(
            f"memory ran out {halvings} times: batches were halved; the last bits of vectors may differ"
        )
    reasons = Counter(why for _, why in outcome.ignored)
    for why, count in sorted(reasons.items()):
        first = next(name for name, reason in outcome.ignored if reason == why)
        say(console, f"not read: {why}, {count:,} in all, such as {first}")
    say(console, f"manifest: {outcome.manifest}")
    say(console, f"next: syllabus describe {shlex.quote(outcome.manifest)}")
    say(console, f"      syllabus report {shlex.quote(outcome.manifest)}")
