"""The target of a writer: which of its files may be deleted before a manifest is written, and which not."""

import os

import pyarrow as pa

from syllabus.manifests.errors import ManifestError, first_line
from syllabus.manifests.format.schema import DOCUMENT, PART
from syllabus.manifests.storage import TEMPORARY, Store


def check_target(location: str | os.PathLike[str] | Store, overwrite: bool = False) -> None:
    """Raise the ManifestError with which a ManifestWriter would refuse this place; nothing is touched.

    For jobs that take long: at their start. A place that is not there yet is a good one.
    """
    _checked(location if isinstance(location, Store) else Store(location), overwrite)


def clear(store: Store, overwrite: bool) -> None:
    """Make a directory ready to be written: empty, or a ManifestError before anything is deleted."""
    found = _checked(store, overwrite)
    if DOCUMENT in found:
        # From here on nobody takes the remains for a manifest.
        store.delete(DOCUMENT)
    for path in sorted(found - {DOCUMENT}):
        store.delete(path)


def _checked(store: Store, overwrite: bool) -> set[str]:
    """Return the files at `store`, all of them a manifest's."""
    where = store.url()
    try:
        found = store.files()
    except (pa.ArrowException, OSError) as error:
        raise ManifestError(f"{where}: cannot be written to: {first_line(error)}") from error
    foreign = sorted(path for path in found if not _is_own(path))
    if foreign:
        names = ", ".join(foreign[:3]) + (", …" if len(foreign) > 3 else "")
        raise ManifestError(
            f"{where}: {len(foreign)} files there are no part of a manifest ({names}); nothing was touched"
        )
    if DOCUMENT in found and not overwrite:
        raise ManifestError(f"{where}: holds a committed manifest; give another place, or --overwrite")
    return set(found)


def _is_own(path: str) -> bool:
    """Return whether `path` is the name of a part, of manifest.json, or of either while it is written."""
    directory, _, name = path.rpartition("/")
    if name.startswith(".") and name.endswith(TEMPORARY):
        name = name[1:].removesuffix(TEMPORARY).rpartition(".")[0]
        path = f"{directory}/{name}" if directory else name
    return path == DOCUMENT or PART.fullmatch(path) is not None
