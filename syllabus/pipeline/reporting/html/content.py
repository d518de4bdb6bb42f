"""The content of a report, gathered from a manifest alone: nothing of it is HTML."""

from __future__ import annotations

import base64
import shlex
from typing import Any

from syllabus.manifests import Manifest, schema
from syllabus.pipeline.options import Options
from syllabus.pipeline.reporting import sections
from syllabus.pipeline.reporting.advice import warnings_of
from syllabus.pipeline.reporting.html.maps import read_maps
from syllabus.pipeline.reporting.html.points import Points, read_points
from syllabus.pipeline.reporting.html.rows import importance_of, read_lists
from syllabus.pipeline.reporting.html.subsets import importance_figures, subset_figures

MOST_PARTITIONS = 1000
SHOWN_REJECTS = 50


def gather(manifest: Manifest, umap: bool | None = False) -> tuple[dict[str, Any], Points]:
    """Return what a report shows as values of JSON, and its examples; `umap` as in `write_report`.

    Memory: about 60 bytes an example.
    """
    document = manifest.description
    lists = read_lists(manifest)
    points = read_points(manifest, lists.indices())
    content = {
        "name": _name(manifest.location),
        "fingerprint": manifest.fingerprint,
        "version": document["code_version"],
        "encoder": document["encoder"],
        "counts": document["counts"],
        "unit": sections.unit_of(document) or "examples",
        "total": manifest.total,
        "warnings": warnings_of(document),
        "notes": sections.uniform_lines(document),
        "partitions": _partitions(document),
        "clusters": all(each["label"] is None for each in document["partitions"]),
        "maps": read_maps(manifest, umap),
        "preview": document.get("preview"),
        "hard": importance_of(manifest),
        "subsets": subset_figures(manifest),
        "importances": importance_figures(manifest),
        "orders": [{"name": name, **entry} for name, entry in sorted(document["orders"].items())],
        "neighbours": document.get("neighbours"),
        "hygiene": document.get("hygiene", {}),
        "holdout": _holdout(document),
        "extremes": lists.extremes,
        "suspects": lists.suspects,
        "groups": lists.groups,
        "tested": [_tested(row) for row in lists.tested],
        "rejects": _rejects(manifest),
        "options": sorted(document["options"].items()),
        "command": _command(document),
    }
    return content, points


def _name(location: str) -> str:
    path = location.partition("?" if "://" in location else "\0")[0]
    return path.rstrip("/").rpartition("/")[2]


def _partitions(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Label, examples and weight of each; of very many the largest."""
    parts = sorted(document["partitions"], key=lambda each: (-each["examples"], each["partition"]))
    return [
        {key: each.get(key) for key in ("partition", "label", "examples", "weight")}
        for each in parts[:MOST_PARTITIONS]
    ]


def _holdout(document: dict[str, Any]) -> dict[str, Any] | None:
    if "holdout" not in document:
        return None
    found = {key: document["holdout"][key] for key in ("rows", "threshold", "near_duplicates", "share")}
    return {**found, "tells_copies": not sections.meaning_lines(document)}


def _tested(row: dict[str, Any]) -> dict[str, Any]:
    """A test row of the table of hygiene, with its image as text."""
    image = row.pop("thumbnail")
    return {**row, "image": image and base64.b64encode(image).decode()}


def _rejects(manifest: Manifest) -> list[dict[str, Any]]:
    shown = min(SHOWN_REJECTS, int(manifest.description["counts"]["rejected"]))
    return list(manifest.table(schema.REJECTS, stop=shown).to_pylist())


def _command(document: dict[str, Any]) -> str:
    """The command that makes such a manifest: what differs from the defaults; places are not recorded."""
    options, encoder = document["options"], document["encoder"]
    words = ["syllabus", "prepare", "--source", "SOURCE", "--output", "MANIFEST"]
    if "holdout" in document:
        words += ["--holdout", "HOLDOUT"]
    if "guide" in document:
        words += [f"--{document['guide']['kind']}", "GUIDE"]
    if encoder["kind"] not in ("column", "embedding"):
        words += ["--encoder", shlex.quote(str(encoder["name"]))]
    for name, value in options.items():
        field = Options.model_fields.get(name)
        default = None if field is None else field.get_default()
        flag = f"--{name.replace('_', '-')}"
        if name == "subsets" and options.get("epochs") is not None:
            continue  # as many as the epochs use
        if name == "subsets" and value == 16:
            continue
        if value in (default, None) or (isinstance(value, list) and tuple(value) == default):
            continue
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        else:
            for each in value if isinstance(value, list) else [value]:
                words += [flag, shlex.quote(str(each))]
    return " ".join(words)
