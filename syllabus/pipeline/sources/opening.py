"""Opening of a source: its kind is found from the names of its files."""

from __future__ import annotations

import pyarrow as pa

from syllabus.manifests.errors import first_line
from syllabus.manifests.storage import Store
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.sources.base import Source
from syllabus.pipeline.sources.delimited import CsvSource
from syllabus.pipeline.sources.images import ImageFolderSource
from syllabus.pipeline.sources.json_lines import JsonLinesSource
from syllabus.pipeline.sources.parquet import ParquetSource

KINDS: tuple[type[Source], ...] = (ParquetSource, JsonLinesSource, CsvSource, ImageFolderSource)


def open_source(location: str) -> tuple[Source, list[str]]:
    """Return the source at `location`, a file or a directory, and the files in it that it does not read.

    The kind follows from the suffixes of the names; two kinds in one directory are an error, and so is
    none. Names that begin with a dot or an underscore are no data. Files come in canonical order: by the
    UTF-8 components of their path.
    """
    store = Store(location)
    try:
        there = store.exists()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"source {store.url()}: cannot be read: {first_line(error)}") from None
    if not there:
        raise UserError(f"source {store.url()}: no such file or directory")
    if store.is_file():
        path, mark, query = store.location.partition("?" if "://" in store.location else "\0")
        parent, _, name = path.rpartition("/")
        store, files = Store((parent or "/") + mark + query), [name]
    else:
        files = _files(store)
    known = {file: kind for file in files if (kind := _kind_of(file)) is not None}
    kinds = sorted({kind.__name__ for kind in known.values()})
    if not kinds:
        suffixes = ", ".join(suffix for kind in KINDS for suffix in kind.suffixes)
        raise UserError(f"source {Store(location).url()}: holds no file that ends in {suffixes}")
    if len(kinds) > 1:
        examples = {kind.__name__: file for file, kind in reversed(known.items())}
        raise UserError(
            f"source {store.url()}: holds files of {len(kinds)} kinds, such as"
            f" {' and '.join(examples[name] for name in kinds)}; give a directory of one kind"
        )
    kind = next(iter(known.values()))
    return kind(store, list(known)), [file for file in files if file not in known]


def _files(store: Store) -> list[str]:
    try:
        found = list(store.files())
    except OSError as error:
        raise UserError(f"source {store.url()}: cannot be listed: {first_line(error)}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"source {store.url()}: a file name is not UTF-8: {error.object!r}") from None
    files = [file for file in found if not any(part.startswith((".", "_")) for part in file.split("/"))]
    return sorted(files, key=lambda path: [part.encode() for part in path.split("/")])


def _kind_of(name: str) -> type[Source] | None:
    lowered = name.lower()
    return next((kind for kind in KINDS if lowered.endswith(kind.suffixes)), None)
