"""What a job did, in a few lines, and the next command to type."""

from __future__ import annotations

import shlex

from rich.console import Console
from rich.table import Table

from syllabus.pipeline.outcome import Outcome
from syllabus.pipeline.reporting.advice import cautions
from syllabus.pipeline.reporting.hygiene import holdout_lines
from syllabus.pipeline.reporting.sections import spent_lines, unit_of


def print_summary(console: Console, outcome: Outcome) -> None:
    """Print the stages with their times and what they reused, the counts, and what comes next."""
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
    console.print(line, soft_wrap=True, markup=False)
    for line in spent_lines(outcome.document):
        console.print(line, soft_wrap=True, markup=False)
    for line in cautions(outcome.document):
        console.print(f"warning: {line}", soft_wrap=True, markup=False)
    if counts["rejected"]:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in counts["reasons"].items())
        console.print(f"{counts['rejected']:,} rows were rejected: {reasons}; see rejects/", soft_wrap=True)
    for line in holdout_lines(outcome.document):
        console.print(line, soft_wrap=True, markup=False)
    halvings = sum(stage.counters.get("out_of_memory", 0) for stage in outcome.stages)
    if halvings:
        console.print(
            f"memory ran out {halvings} times: batches were halved; the last bits of vectors may differ"
        )
    if outcome.ignored:
        console.print(
            f"{len(outcome.ignored)} files were not read, such as {outcome.ignored[0]}",
            soft_wrap=True,
            markup=False,
        )
    console.print(f"manifest: {outcome.manifest}", soft_wrap=True, markup=False)
    console.print(f"next: syllabus describe {shlex.quote(outcome.manifest)}", soft_wrap=True, markup=False)
