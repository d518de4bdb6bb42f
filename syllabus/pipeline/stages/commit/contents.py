"""Contents of some rows, read from the source once more: beginnings of texts, and thumbnails of images."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np

from syllabus.pipeline.encoders.images import UnreadableImage, decode
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.sources import Columns
from syllabus.pipeline.stages.plan import Plan, PlannedChunk
from syllabus.pipeline.work_directory import WorkDirectory

TEXT_LENGTH = 300
"""Characters of a text that are kept."""
THUMBNAIL_SIDE, THUMBNAIL_QUALITY = 64, 60
MOST_IMAGES, THUMBNAIL_BYTES = 2500, 1_800_000
"""Images that are looked at, and bytes of all thumbnails: what a page shows at once."""
READ_ROWS = {"text": 1_000_000, "image": 100_000}
"""Rows of the source that are read again at most, since one process reads them: about a minute's work."""


def read_contents(
    plan: Plan, work: WorkDirectory, index: np.ndarray, priority: np.ndarray
) -> tuple[list[str | None], list[bytes | None]]:
    """Return the texts and the thumbnails of rows, None where there is none.

    Args:
      plan: of the data.
      work: its shards, which have the digests of the contents.
      index: (m,) int64 ascending, of accepted rows.
      priority: (m,) places in `index`, the most wanted first: images are bounded in number and bytes, and
        the chunks that are read again in rows.

    Raises:
      UserError: a row has another content than when it was encoded.
    """
    texts: list[str | None] = [None] * len(index)
    images: list[bytes | None] = [None] * len(index)
    if plan.columns.kind == "text":
        read = np.sort(_affordable(plan, index, priority))
        for place, value in zip(read.tolist(), _contents(plan, work, index[read]), strict=True):
            # Half a surrogate pair has no form in UTF-8.
            texts[place] = str(value)[:TEXT_LENGTH].encode("utf-8", "replace").decode()
    elif plan.columns.kind == "image":
        priority = _affordable(plan, index, priority)[:MOST_IMAGES]
        wanted = np.sort(priority)
        for place, value in zip(wanted.tolist(), _contents(plan, work, index[wanted]), strict=True):
            images[place] = thumbnail(value)
        room = THUMBNAIL_BYTES
        for place in priority.tolist():
            room -= len(images[place] or b"")
            if room < 0:
                images[place] = None
    return texts, images


def thumbnail(data: bytes) -> bytes | None:
    """Return an image as WebP of at most 64 × 64 pixels; None for one that has no such form."""
    from PIL import Image

    try:
        image = decode(data)
    except UnreadableImage:  # pragma: no cover - the encoder of the user may read more than this does
        return None
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    made = io.BytesIO()
    image.save(made, "WEBP", quality=THUMBNAIL_QUALITY, method=4)
    return made.getvalue()


def _affordable(plan: Plan, index: np.ndarray, priority: np.ndarray) -> np.ndarray:
    """Return those of `priority` whose chunks are read again: the most wanted chunks, one at least."""
    numbers = _chunks_of(plan, index[priority])
    left, kept = READ_ROWS[plan.columns.kind], []
    for number in dict.fromkeys(numbers.tolist()):
        chunk = plan.chunks[number].chunk
        # Of a folder of images only those are opened that are wanted.
        left -= 0 if chunk.members else chunk.rows
        if kept and left < 0:
            break
        kept.append(number)
    return priority[np.isin(numbers, kept)]


def _chunks_of(plan: Plan, index: np.ndarray) -> np.ndarray:
    """Return the number of the chunk that each row lies in."""
    firsts = np.array([planned.first_index for planned in plan.chunks])
    return np.asarray(np.searchsorted(firsts, index, side="right") - 1)


def _contents(plan: Plan, work: WorkDirectory, index: np.ndarray) -> Iterator[Any]:
    """The contents of the rows, in their order; chunks without any of them are not read."""
    # Within the same bounds: what is beyond them is neither held here nor part of the digests.
    columns = Columns(plan.columns.kind, plan.columns.content, limits=plan.columns.limits)
    numbers = _chunks_of(plan, index)
    held: list[tuple[PlannedChunk, list[int]]] = []
    for number in np.unique(numbers).tolist():
        planned = plan.chunks[number]
        held.append((planned, (index[numbers == number] - planned.first_index).tolist()))
    # File by file: a row group that holds many chunks is then decoded once, not once for each.
    for _, group in groupby(held, key=lambda each: each[0].chunk.members or each[0].chunk.file):
        some = list(group)
        found = plan.source.contents([each.chunk for each, _ in some], [rows for _, rows in some], columns)
        for (planned, rows), values in zip(some, found, strict=True):
            plan.source.check_unchanged(planned.chunk)
            digests = work.read("embed", planned.embed_key, ["content"]).column("content")
            for row, value in zip(rows, values, strict=True):
                content = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
                if not content or hashlib.sha256(content).digest() != digests[row].as_py():
                    file = planned.chunk.source_files()[row]
                    raise UserError(
                        f"{plan.source.store.url(file)}: row {planned.chunk.source_rows()[row]:,} has"
                        " changed since it was encoded; run again"
                    )
                yield value
