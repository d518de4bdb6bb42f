"""The file of a report: the page, the script of plotly and the content, packed so that nothing is fetched.

Values of the data are no part of the page's HTML or script: they come as one compressed text that the page
unpacks and shows as text. The page's policy forbids whatever else would run, and every connection.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zlib
from importlib import resources
from typing import Any

import pyarrow as pa

from syllabus.manifests import Manifest, Store
from syllabus.manifests.errors import first_line
from syllabus.manifests.locations import parent_and_name, with_suffix
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.reporting.html.content import gather
from syllabus.pipeline.reporting.html.points import Points

MOST_BYTES = 4_900_000
"""Of the file: contents of examples are left out where they would make it larger."""
MARK = b'<!doctype html><meta charset="utf-8"><meta name="generator" content="syllabus report">'
SCRIPTS = ("elements.js", "map.js", "charts.js", "lists.js", "start.js")


def write_report(manifest: Manifest, output: str | None = None, umap: bool | None = None) -> str:
    """Write a report of a manifest; return where.

    Args:
      manifest: an open one.
      output: a path or URL; by default the manifest's own, with `.html` behind it. An earlier report there
        is replaced.
      umap: with a map of the live points by UMAP beside that by principal axes; None: where umap-learn is
        installed and the manifest has vectors.

    Raises:
      UserError: plotly is missing, another file is there, or it cannot be written; `umap` is asked for, and
        umap-learn, the preview or the sketches are missing.

    Cost: seven seconds for a million examples on one core; about 60 bytes of memory each. UMAP of 20,000
    points takes 20 seconds more, and 300 MB.
    """
    plotly = _plotly()
    target = manifest.location if output is None else _absolute(output)
    if output is None:
        target = with_suffix(target, ".html")
    directory, name = parent_and_name(target)
    if not name:
        raise UserError(f"report: {target}: is no file")
    store = Store(directory)
    try:
        if store.exists(name) and (not store.is_file(name) or not _is_report(store, name)):
            raise UserError(f"report: {target}: is there already, and is no report; give another --output")
        content, points = gather(manifest, umap)
        store.sweep(name=name)
        store.write(name, render(content, points, plotly))
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"report: {target}: cannot be written: {first_line(error)}") from None
    return target


def render(content: dict[str, Any], points: Points, plotly: bytes) -> bytes:
    """Return the file; as many contents of examples are in it as fit, the listed ones first."""
    page, script, style = _page()
    policy = (
        f"default-src 'none'; script-src '{_source_hash(script)}' blob:; style-src 'unsafe-inline';"
        " img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    head = page.replace("POLICY", policy).replace("STYLE", style)
    library = _packed(plotly)
    fixed = len(MARK) + len(head) + len(script) + len(library) + 200
    data = _fitting(content, points, MOST_BYTES - fixed)
    parts = [
        MARK,
        head.encode(),
        b'<script type="text/plain" id="content">' + data + b"</script>",
        b'<script type="text/plain" id="plotly">' + library + b"</script>",
        b"<script>" + script.encode() + b"</script>",
    ]
    return b"\n".join(parts) + b"\n"


def _fitting(content: dict[str, Any], points: Points, room: int) -> bytes:
    """The packed content with as many examples' contents as `room` has, the listed ones first."""
    listed = _listed(content, points)
    wanted = [place for place, each in enumerate(points.contents) if any(each)]
    # Rows are in the order of the source, which may be that of the classes: the others spread over all.
    others = sorted(
        (place for place in wanted if place not in listed), key=lambda place: place * 0x9E3779B1 % 2**32
    )
    order = [place for place in wanted if place in listed] + others
    count = len(order)
    while True:
        kept: list[list[str | None] | None] = [None] * len(points.contents)
        for place in order[:count]:
            kept[place] = points.contents[place]
        packed = _packed(json.dumps({**content, "points": {**points.columns, "contents": kept}}).encode())
        if len(packed) <= room or count == 0:
            return packed
        count = min(count - 1, int(count * 0.97 * room / len(packed)))


def _listed(content: dict[str, Any], points: Points) -> set[int]:
    """The places of the examples that the lists of the report name."""
    named = {each["index"] for each in (*content["suspects"], *content["tested"])}
    named.update(index for each in content["suspects"] for index in each["neighbours"])
    named.update(index for each in content["groups"] for index in each["members"])
    named.update(index for each in content["extremes"] for side in ("easy", "hard") for index in each[side])
    return {place for place, index in enumerate(points.columns["index"]) if index in named}


def _page() -> tuple[str, str, str]:
    """The page without content, its script and its style."""
    folder = resources.files("syllabus.pipeline.reporting.html")
    scripts = "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{scripts}}})();\n'
    read = [folder.joinpath(name).read_text(encoding="utf-8") for name in ("page.html", "style.css")]
    return read[0], script, read[1]


def _plotly() -> bytes:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise UserError("report: plotly is missing: pip install 'syllabus[report]'") from None
    return str(get_plotlyjs()).encode()


def _packed(content: bytes) -> bytes:
    return base64.b64encode(zlib.compress(content, 9))


def _source_hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _is_report(store: Store, name: str) -> bool:
    with store.open(name) as file:
        return bytes(file.read(len(MARK))) == MARK


def _absolute(output: str) -> str:
    return output if "://" in output else os.path.abspath(os.path.expanduser(output))  # noqa: PTH100, PTH111
