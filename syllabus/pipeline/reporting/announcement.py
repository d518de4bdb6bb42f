"""How much the subsets will take, said while it can still be changed for nothing."""

from __future__ import annotations

from rich.console import Console

from syllabus.manifests import budget
from syllabus.pipeline.options import Options
from syllabus.pipeline.stages.census import Census
from syllabus.pipeline.stages.plan import Plan

SUBSET_ROW_BYTES = 12
"""A subset's row in the manifest as it is compressed: the gain does not shrink, most of the rest does."""


def announce(options: Options, plan: Plan, console: Console) -> None:
    """Print the rows of the subsets, and the units that they take by the weights of the first rows."""
    if not options.subset_count:
        return
    sizes = [budget(fraction, plan.source_rows) for fraction in options.fraction]
    each = f"{', '.join(f'{size:,}' for size in sizes)} rows"
    if options.weight is None:
        each += " each"
    else:
        mean = plan.mean_weight or 1.0
        units = (budget(fraction, round(mean * plan.source_rows)) for fraction in options.fraction)
        shown = ", ".join(f"{size:,}" for size in units)
        each = f"about {shown} {options.weight} each: {each} of {mean:,.1f}, the mean of the first ones"
    total = options.subset_count * sum(sizes)
    megabytes = total * SUBSET_ROW_BYTES / 1e6
    room = f"about {megabytes:,.1f} MB" if megabytes >= 0.1 else "under 0.1 MB"
    console.print(
        f"subsets: {options.subset_count:,} of {each}, {total:,} rows in all,"
        f" {room}, if no row is rejected{' or left out' if options.where else ''} (--subsets, --fraction)",
        soft_wrap=True,
        markup=False,
    )


def announce_weights(options: Options, census: Census, console: Console) -> None:
    """Print what all examples weigh, and the budgets, before anything is chosen."""
    if census.weight is None:
        return
    mean = census.weight / census.accepted
    sizes = [budget(fraction, census.weight) for fraction in options.fraction]
    rows = ", ".join(f"{size / mean:,.0f}" for size in sizes)
    shares = ", ".join(f"{size:,}" for size in sizes)
    more = ", or more light ones" if options.weight_power else ""
    console.print(
        f"weight: {census.accepted:,} examples have {census.weight:,} {options.weight},"
        f" {mean:,.1f} each; budgets of {shares}: about {rows} rows{more}",
        soft_wrap=True,
        markup=False,
    )
