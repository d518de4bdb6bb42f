"""Runs a small job quietly; a file of its own, so that every test of the pipeline may start one."""

from pathlib import Path

from rich.console import Console

from syllabus.pipeline import Options, Outcome, prepare


def run(source: Path, output: Path, **options: object) -> Outcome:
    """Prepare a manifest from embeddings with labels, unless `options` say otherwise; None leaves one out."""
    given = {"embedding": "vector", "label": "label", **options}
    if "text" in given:
        given.pop("embedding")
        given.setdefault("encoder", "hashing")
    kept = {name: value for name, value in given.items() if value is not None}
    return prepare(Options(source=str(source), output=str(output), **kept), Console(quiet=True))
