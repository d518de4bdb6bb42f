"""Opening of a source: its kind is found from the names of its files."""

from __future__ import annotations

import pyarrow as pa

from syllabus.manifests.errors import ManifestError, first_line
from syllabus.manifests.locations import parent_and_name
from syllabus.manifests.storage import Store
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.sources.arrow import ArrowSource
from syllabus.pipeline.sources.base import Source
from syllabus.pipeline.sources.compression import SUFFIXES, without_compression
from syllabus.pipeline.sources.delimited import CsvSource
from syllabus.pipeline.sources.images import ImageFolderSource
from syllabus.pipeline.sources.json_lines import JsonLinesSource
from syllabus.pipeline.sources.listing import LeftOut, list_files
from syllabus.pipeline.sources.parquet import ParquetSource
from syllabus.pipeline.sources.saved_datasets import of_saved_datasets
from syllabus.pipeline.sources.text_lines import LineSource
from syllabus.pipeline.sources.webdataset import WebDatasetSource

KINDS: tuple[type[Source], ...] = (
    ParquetSource,
    ArrowSource,
    JsonLinesSource,
    CsvSource,
    WebDatasetSource,
    ImageFolderSource,
)


def open_source(location: str, follow_links: bool = False) -> tuple[Source, list[LeftOut]]:
    """Return the source at `location`, a file or a directory, and what of it is not read.

    The kind follows from the suffixes of the names; two kinds in one directory are an error, and so is
    none. Names that begin with a dot or an underscore are no data. Files come in canonical order: by the
    UTF-8 components of their path. With `follow_links` links may lead out of the directory.
    """
    if location.startswith("hf://"):
        raise UserError(
            f"source {location}: a job asks no hub; `syllabus fetch {location} FOLDER` downloads it once, and"
            " --source FOLDER reads it"
        )
    store = Store(location)
    try:
        kind_of_place = store.kind()
    except ManifestError as error:
        raise UserError(f"source {error}") from None
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"source {store.url()}: cannot be opened: {first_line(error)}") from None
    if kind_of_place == "nothing":
        raise UserError(f"source {store.url()}: no such file or directory")
    if kind_of_place == "special":
        raise UserError(f"source {store.url()}: is a pipe, a socket or a device; give a file or a directory")
    if kind_of_place == "file":
        parent, name = parent_and_name(store.location)
        store, files, left_out = Store(parent), [name], []
    else:
        files, left_out = list_files(store, lambda name: _kind_of(name) is not None, follow_links)
        files, left_out = of_saved_datasets(store, files, left_out)
    known = {file: kind for file in files if (kind := _kind_of(file)) is not None}
    kinds = sorted({kind.__name__ for kind in known.values()})
    if not kinds:
        suffixes = ", ".join(suffix for kind in KINDS for suffix in kind.suffixes)
        raise UserError(
            f"source {Store(location).url()}: holds no file that ends in {suffixes}; lines may be compressed"
            f" ({', '.join(SUFFIXES)})"
        )
    if len(kinds) > 1:
        examples = {kind.__name__: file for file, kind in reversed(known.items())}
        raise UserError(
            f"source {store.url()}: holds files of {len(kinds)} kinds, such as"
            f" {' and '.join(examples[name] for name in kinds)}; give a directory of one kind"
        )
    return next(iter(known.values()))(store, list(known)), left_out


def _kind_of(name: str) -> type[Source] | None:
    lowered, inner = name.lower(), without_compression(name)
    for kind in KINDS:
        if (inner if issubclass(kind, LineSource | WebDatasetSource) else lowered).endswith(kind.suffixes):
            return kind
    return None
