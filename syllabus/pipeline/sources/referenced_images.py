"""Images that a row names by a path and holds no bytes of: read where they lie inside the source."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from typing import Any

from syllabus.manifests.errors import first_line
from syllabus.manifests.storage import Store
from syllabus.pipeline.sources.sizes import UNBOUNDED, TooLarge


class NotRead(str):
    """Why an image that is named by a path was not read."""

    __slots__ = ()


def read_image(store: Store, file: str, path: str, most: int = UNBOUNDED) -> bytes | NotRead | TooLarge:
    """Return the bytes of the image at `path`, relative to the folder of the source's `file`; `most` of them.

    Nothing outside the source is read, neither by ``..`` nor by a link, nor by an absolute path or URL.
    """
    if not path.strip() or "\0" in path:
        return NotRead(f"{path!r} is no path")
    if path.startswith(("/", "\\", "~")) or "://" in path or re.match(r"[A-Za-z]:", path):
        return NotRead(f"{path!r} is not relative to the folder of {file}")
    relative = posixpath.normpath(posixpath.join(posixpath.dirname(file), path))
    outside = NotRead(f"{path!r} leads out of the source")
    if relative.split("/")[0] == "..":
        return outside
    try:
        if store.is_local:
            root = os.path.realpath(store.path())
            real = os.path.realpath(store.path(relative))
            if os.path.commonpath([root, real]) != root:
                return outside
        if not store.is_file(relative):
            return NotRead(f"{path!r} is no file in the folder of {file}")
        with store.open(relative) as handle:
            size = handle.size()
            return bytes(handle.read()) if size <= most else TooLarge(f"{size:,} bytes")
    except (OSError, ValueError) as error:
        return NotRead(f"{path!r} cannot be read: {first_line(error)}")


def with_images(
    store: Store, file: str, contents: list[Any], paths: list[Any], most: int = UNBOUNDED
) -> tuple[list[Any], str]:
    """Return the bytes of each row, read from its path where it has none, and a digest of what was read.

    A row is `NotRead` where its path was not, `TooLarge` where there are more than `most` bytes. The digest
    is empty where no row needed its path.
    """
    digest = hashlib.sha256()
    found: list[Any] = []
    needed = False
    for content, path in zip(contents, paths, strict=True):
        if content is None and path is not None:
            needed = True
            image = (
                read_image(store, file, path, most)
                if isinstance(path, str)
                else NotRead(f"{path!r} is no path in UTF-8")
            )
            digest.update(hashlib.sha256(image if isinstance(image, bytes) else b"").digest())
            found.append(image)
        else:
            found.append(content)
    return found, digest.hexdigest() if needed else ""
