"""What a dry run found, in lines for people."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from syllabus.pipeline.reporting.lines import say, warn

SHOWN = 12
WIDTH = 30


def print_dry_run(console: Console, found: dict[str, Any]) -> None:
    """Print source, columns, sample, encoder and estimate."""
    source, sample, encoder, estimate = (found[name] for name in ("source", "sample", "encoder", "estimate"))
    about = "" if source["rows_are_counted"] else "about "
    say(console, f"source    {source['location']}: {_files(source['files'])}, {about}{source['rows']:,} rows")
    if source["not_read"]:
        say(console, f"not read  {_files(source['not_read'])}")
    if source["schema"]:
        columns = [f"{_short(name)} {kind}".rstrip() for name, kind in source["schema"].items()]
        more = f" and {len(columns) - SHOWN:,} more" if len(columns) > SHOWN else ""
        say(console, f"columns   {', '.join(columns[:SHOWN])}{more}", wrap=True)
    of = f" of {_files(sample['files'])}" if source["files"] > 1 else ""
    read = f"first {sample['rows']:,} rows{of}: {sample['accepted']:,} accepted"
    read += f", {sample['excluded']:,} left out by --where" if sample["excluded"] else ""
    rejected = sum(sample["rejected"].values())
    say(console, f"read      {read}, {rejected:,} rejected{_counts(sample['rejected'])}", wrap=True)
    if "characters" in sample:
        length = sample["characters"]
        say(
            console, f"texts     {length['median']:,} characters in the median, {length['longest']:,} at most"
        )
    if sample["labels"]:
        labels = f"{len(sample['labels']):,} in these rows{_counts(sample['labels'])}"
        say(console, f"labels    {labels}", wrap=True)
    rate = encoder["rows_per_second"]
    speed = (
        "no row to encode"
        if rate is None
        else f"{rate:,.0f} rows/s on one worker, tried on {encoder['rows']:,}"
    )
    say(
        console,
        f"encoder   {encoder['name']} ({encoder['kind']}), {encoder['dimension']} dimensions, {speed}",
    )
    if encoder["truncated"]:
        warn(
            console,
            f"{encoder['truncated']:,} of {encoder['rows']:,} texts are cut at"
            f" {encoder['max_seq_length']:,} tokens",
        )
    if encoder["unreadable"]:
        warn(console, f"the encoder rejects{_counts(encoder['unreadable'])}")
    say(console, f"estimate for {estimate['examples']:,} examples:")
    if estimate["encoding_seconds"] is not None:
        say(console, f"  encoding    {_time(estimate['encoding_seconds'])}")
    say(console, f"  neighbours  {_time(estimate['neighbours_seconds'])}")
    say(console, "  the rest    seconds for thousands of examples, minutes for millions")
    say(console, f"  memory      {_size(estimate['memory_bytes'])}")
    work, manifest = _size(estimate["work_bytes"]), _size(estimate["manifest_bytes"])
    say(console, f"  disk        {work} in the work directory, {manifest} in the manifest")
    say(console, "nothing was written")


def _files(count: int) -> str:
    return f"{count:,} file{'s' if count > 1 else ''}"


def _counts(counts: dict[str, int]) -> str:
    if not counts:
        return ""
    shown = ", ".join(f"{_short(name)} {count:,}" for name, count in list(counts.items())[:SHOWN])
    return f": {shown}" + (f" and {len(counts) - SHOWN:,} more" if len(counts) > SHOWN else "")


def _short(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= WIDTH else name[: WIDTH - 1] + "…"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:,.0f} s" if seconds >= 1 else "under 1 s"
    return f"{seconds / 60:,.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def _size(count: float) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{max(count, 1e5) / 1e6:,.1f} MB"
