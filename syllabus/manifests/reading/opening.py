"""The document of a manifest, read and checked in itself and against the files that are there."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from syllabus.manifests.errors import ManifestError, NoManifestError, first_line
from syllabus.manifests.format.document import checked
from syllabus.manifests.format.schema import DOCUMENT
from syllabus.manifests.replacement import interrupted
from syllabus.manifests.storage import Store


def load(store: Store) -> dict[str, Any]:
    """Return the description of the manifest at `store`, checked in itself and against the listing."""
    description = checked(read_document(store))
    sizes = store.files()
    for problem in size_problems(description, sizes):
        raise ManifestError(problem)
    return description


def read_document(store: Store) -> bytes:
    """Return the bytes of manifest.json; a ManifestError where there is none."""
    try:
        return store.read(DOCUMENT)
    except FileNotFoundError:
        if store.is_local and (staged := interrupted(Path(os.path.realpath(store.location)))):
            raise NoManifestError(
                f"{DOCUMENT}: not found: the job that was replacing {store.url()} ended between two renames; "
                f"the new manifest is {staged}, and the next job with this output puts it into its place"
            ) from None
        raise NoManifestError(f"{DOCUMENT}: not found: {store.url()} is no committed manifest") from None
    except (pa.ArrowException, OSError) as error:
        if store.is_local and os.path.isfile(store.location):  # noqa: PTH113 - a name that is none raises
            directory, _, name = store.url().rpartition("/")
            meant = f", here {directory}" if name == DOCUMENT else ""
            raise NoManifestError(f"{store.url()}: is a file; a manifest is a directory{meant}") from None
        raise NoManifestError(
            f"{DOCUMENT}: cannot be read from {store.url()}: {first_line(error)}"
        ) from error


def size_problems(description: dict[str, Any], sizes: dict[str, int]) -> Iterator[str]:
    """Yield a line for each listed file that is not there with its size."""
    for entry in description["files"]:
        path, size = entry["path"], sizes.get(entry["path"])
        if size is None:
            yield f"{path}: is missing"
        elif size != entry["bytes"]:
            yield f"{path}: has {size} bytes, manifest.json says {entry['bytes']}"
